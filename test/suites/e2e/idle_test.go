package e2e_test

import (
	"bufio"
	"bytes"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

var (
	requestTotal = regexp.MustCompile(`^apiserver_request_total\{(.*)\} (\S+)$`)
	label        = regexp.MustCompile(`(\w+)="([^"]*)"`)
)

// apiRequests returns the number of requests by verb and resource, from the metrics of the API
// server. It covers the resources that the controller has permissions for, without watches and
// leases.
func (env *environment) apiRequests() map[string]float64 {
	env.T.Helper()
	config := rest.CopyConfig(env.Cluster.Config)
	config.GroupVersion = &scheme.Scheme.PrioritizedVersionsAllGroups()[0]
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	server, err := rest.RESTClientFor(config)
	must(env.T, err)
	text, err := server.Get().AbsPath("/metrics").DoRaw(env.T.Context())
	must(env.T, err)
	out := map[string]float64{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		match := requestTotal.FindStringSubmatch(lines.Text())
		if match == nil {
			continue
		}
		labels := map[string]string{}
		for _, l := range label.FindAllStringSubmatch(match[1], -1) {
			labels[l[1]] = l[2]
		}
		ours := strings.HasSuffix(labels["group"], "istio.io") || labels["group"] == "isthmus.dev" || labels["group"] == "events.k8s.io" ||
			labels["group"] == "" && slices.Contains([]string{"namespaces", "secrets", "events"}, labels["resource"])
		if !ours || labels["verb"] == "WATCH" {
			continue
		}
		value, err := strconv.ParseFloat(match[2], 64)
		must(env.T, err)
		out[labels["verb"]+" "+labels["resource"]+"."+labels["group"]] += value
	}
	must(env.T, lines.Err())
	return out
}

func TestSteadyClusterNeedsNoRequests(t *testing.T) {
	env := newEnvironment(t)
	env.Git.Commit(manyServices(4))
	last := env.Git.Edit("services/web.cue", "stock: {}", "stock: {}, \"item-0\": {}")
	c := env.start()
	env.Create("mesh")
	env.ready("mesh", last)
	// The first reconciliations may still write the status.
	env.Polled(3)
	before := env.apiRequests()
	if before["POST serviceentries.networking.istio.io"] == 0 || before["LIST namespaces."] == 0 {
		t.Fatalf("the metrics of the API server do not show the first sync, so this test proves nothing: %v", slices.Sorted(maps.Keys(before)))
	}
	versions, sync := env.versions(), env.Get("mesh").ResourceVersion
	before = env.apiRequests()
	c.recorder.reset()
	env.Polled(20)
	after := env.apiRequests()
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("twenty intervals without any change, by the API server's metrics: -before, +after:\n%s", diff)
	}
	if sent := c.recorder.requests(notWatching); len(sent) > 0 {
		t.Errorf("twenty intervals without any change sent %q", sent)
	}
	if diff := cmp.Diff(versions, env.versions()); diff != "" || env.Get("mesh").ResourceVersion != sync {
		t.Errorf("twenty intervals without any change wrote something: -before, +after:\n%s", diff)
	}
}
