package trace_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/trace"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/world"
)

// bundle reads YAML documents.
func bundle(t *testing.T, documents string) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	for _, document := range strings.Split(documents, "\n---\n") {
		object := map[string]any{}
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatalf("YAML of the test: %v\n%s", err, document)
		}
		if len(object) == 0 {
			continue
		}
		metadata, _ := object["metadata"].(map[string]any)
		all[fmt.Sprintf("%v/%v/%v", object["kind"], metadata["namespace"], metadata["name"])] = object
	}
	return all
}

// gatewayOf is a cluster's cross-cluster gateway at 192.0.2.N.
func gatewayOf(n int) world.Gateway {
	return world.Gateway{Address: fmt.Sprintf("192.0.2.%d", n), Port: 15443, Workload: world.Workload{
		Namespace: "istio-system", ServiceAccount: "eastwestgateway", Labels: map[string]string{"istio": "eastwestgateway"},
	}}
}

// isolated are two clusters that know nothing of each other: the caller's, and one with httpbin and a gateway.
func isolated(t *testing.T, caller, publisher string) *world.World {
	t.Helper()
	return &world.World{
		Clusters: []world.Cluster{
			{Name: "one", ControlPlane: "one", TrustDomain: "one.example", Region: "eu", Zone: "eu-a", Gateways: []world.Gateway{gatewayOf(1)}},
			{
				Name: "two", ControlPlane: "two", TrustDomain: "two.example", TrustDomainAliases: []string{"one.example"}, Region: "eu", Zone: "eu-b",
				Gateways: []world.Gateway{gatewayOf(2)},
			},
		},
		Pods: []world.Pod{sleep("one", "10.1.0.1"), httpbin("two", "10.2.0.1", "v1"), httpbin("two", "10.2.0.2", "v2")},
		Bundles: map[string]map[string]map[string]any{
			"one": bundle(t, caller), "two": bundle(t, publisher),
		},
	}
}

func sleep(cluster, ip string) world.Pod {
	return world.Pod{
		Cluster: cluster, Name: "sleep", IP: ip, Ready: true, Ports: map[int]string{8080: ""},
		Workload: world.Workload{Namespace: "app1", ServiceAccount: "sleep", Labels: map[string]string{"app": "sleep"}},
	}
}

func httpbin(cluster, ip, version string) world.Pod {
	return world.Pod{
		Cluster: cluster, Name: "httpbin-" + version, IP: ip, Ready: true, Ports: map[int]string{80: "http", 9090: ""},
		Service: "httpbin", ServicePorts: map[int]int{8000: 80, 9000: 9090},
		Workload: world.Workload{Namespace: "app2", ServiceAccount: "httpbin", Labels: map[string]string{"app": "httpbin", "version": version}},
	}
}

func start(t *testing.T, w *world.World) *trace.Mesh {
	t.Helper()
	m, err := trace.Start(t, w)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func get(host string, port int) trace.Call {
	return trace.Call{Cluster: "one", Pod: "sleep", Host: host, Port: port, Protocol: "HTTP"}
}

// ways puts a result into lines: arrivals, mirrors, dead ends, escapes, answer, error.
func ways(r trace.Result) []string {
	var lines []string
	arrival := func(what string, a trace.Arrival) {
		line := fmt.Sprintf("%sp%d %.3g%% %s/%s:%d%s", what, a.Priority, a.Share*100, a.Cluster, a.Pod, a.Port, a.External)
		if len(a.Via) > 0 {
			line += " via " + strings.Join(a.Via, ",")
		}
		for _, why := range []string{a.Rejected, a.Denied} {
			if why != "" {
				line += " BUT " + why
			}
		}
		if a.DryRunDenied != "" {
			line += " DRYRUN " + a.DryRunDenied
		}
		lines = append(lines, line)
	}
	for _, a := range r.Arrivals {
		arrival("", a)
	}
	for _, a := range r.Mirrors {
		arrival("mirror ", a)
	}
	for _, d := range r.DeadEnds {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("dead p%d %.3g%% %s", d.Priority, d.Share*100, strings.Join(d.Via, ",")))+": "+d.Reason)
	}
	for _, e := range r.Escapes {
		lines = append(lines, "escape "+e)
	}
	if r.Answer != "" {
		lines = append(lines, fmt.Sprintf("%.3g%% %s", r.AnswerShare*100, r.Answer))
	}
	if r.Error != "" {
		lines = append(lines, "error "+r.Error)
	}
	if r.Passthrough {
		lines = append(lines, "passthrough")
	}
	for _, u := range r.Undecided {
		lines = append(lines, "undecided "+u)
	}
	return lines
}

// expect compares a result's lines.
func expect(t *testing.T, reason string, r trace.Result, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, ways(r)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", reason, diff)
	}
}

// withPublic gives cluster one a public gateway.
func withPublic(w *world.World) *world.World {
	w.Clusters[0].Public = &world.Workload{
		Namespace: "istio-ingress", ServiceAccount: "ingress", Labels: map[string]string{"istio": "ingressgateway"},
	}
	return w
}
