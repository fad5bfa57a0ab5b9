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

// counted is what the API server itself counted of requests for all that the controller has any right to, watches and leases aside.
func (w *world) counted() map[string]float64 {
	w.T.Helper()
	config := rest.CopyConfig(w.Cluster.Config)
	config.GroupVersion = &scheme.Scheme.PrioritizedVersionsAllGroups()[0]
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	server, err := rest.RESTClientFor(config)
	must(w.T, err)
	text, err := server.Get().AbsPath("/metrics").DoRaw(w.T.Context())
	must(w.T, err)
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
		must(w.T, err)
		out[labels["verb"]+" "+labels["resource"]+"."+labels["group"]] += value
	}
	must(w.T, lines.Err())
	return out
}

func TestASteadyClusterCostsNoRequest(t *testing.T) {
	w := newWorld(t)
	w.Git.Commit(many(4))
	last := w.Git.Edit("services/web.cue", "stock: {}", "stock: {}, \"item-0\": {}")
	c := w.start()
	w.Create("mesh")
	w.ready("mesh", last)
	// The first looks may still write the status; after that nothing does.
	w.Polled(3)
	before := w.counted()
	if before["POST serviceentries.networking.istio.io"] == 0 || before["LIST namespaces."] == 0 {
		t.Fatalf("the API server's metrics do not tell of the first sync, so this test shows nothing: %v", slices.Sorted(maps.Keys(before)))
	}
	versions, sync := w.versions(), w.Get("mesh").ResourceVersion
	before = w.counted()
	c.wire.forget()
	w.Polled(20)
	after := w.counted()
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("twenty intervals without any change, by the API server's metrics: -before, +after:\n%s", diff)
	}
	if sent := c.wire.requests(func(r request) bool { return !r.lease() && !r.watches() }); len(sent) > 0 {
		t.Errorf("twenty intervals without any change sent %q", sent)
	}
	if diff := cmp.Diff(versions, w.versions()); diff != "" || w.Get("mesh").ResourceVersion != sync {
		t.Errorf("twenty intervals without any change wrote something: -before, +after:\n%s", diff)
	}
}
