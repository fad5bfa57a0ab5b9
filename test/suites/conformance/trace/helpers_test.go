package trace_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/scenario"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/trace"
)

// bundle reads YAML documents.
func bundle(t *testing.T, documents string) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	for _, document := range strings.Split(documents, "\n---\n") {
		object := map[string]any{}
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatalf("invalid YAML in the test: %v\n%s", err, document)
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
func gatewayOf(n int) scenario.Gateway {
	return scenario.Gateway{Address: fmt.Sprintf("192.0.2.%d", n), Port: 15443, Workload: scenario.Workload{
		Namespace: "istio-system", ServiceAccount: "eastwestgateway", Labels: map[string]string{"istio": "eastwestgateway"},
	}}
}

// isolated has two clusters without discovery: that of the caller, and one with httpbin and a
// gateway.
func isolated(t *testing.T, caller, publisher string) *scenario.Scenario {
	t.Helper()
	return &scenario.Scenario{
		Clusters: []scenario.Cluster{
			{Name: "one", ControlPlane: "one", TrustDomain: "one.example", Region: "eu", Zone: "eu-a", Gateways: []scenario.Gateway{gatewayOf(1)}},
			{
				Name: "two", ControlPlane: "two", TrustDomain: "two.example", TrustDomainAliases: []string{"one.example"}, Region: "eu", Zone: "eu-b",
				Gateways: []scenario.Gateway{gatewayOf(2)},
			},
		},
		Pods: []scenario.Pod{sleep("one", "10.1.0.1"), httpbin("two", "10.2.0.1", "v1"), httpbin("two", "10.2.0.2", "v2")},
		Bundles: map[string]map[string]map[string]any{
			"one": bundle(t, caller), "two": bundle(t, publisher),
		},
	}
}

func sleep(cluster, ip string) scenario.Pod {
	return scenario.Pod{
		Cluster: cluster, Name: "sleep", IP: ip, Ready: true, Ports: map[int]string{8080: ""},
		Workload: scenario.Workload{Namespace: "app1", ServiceAccount: "sleep", Labels: map[string]string{"app": "sleep"}},
	}
}

func httpbin(cluster, ip, version string) scenario.Pod {
	return scenario.Pod{
		Cluster: cluster, Name: "httpbin-" + version, IP: ip, Ready: true, Ports: map[int]string{80: "http", 9090: ""},
		Service: "httpbin", ServicePorts: map[int]int{8000: 80, 9000: 9090},
		Workload: scenario.Workload{Namespace: "app2", ServiceAccount: "httpbin", Labels: map[string]string{"app": "httpbin", "version": version}},
	}
}

func start(t *testing.T, sc *scenario.Scenario) *trace.Mesh {
	t.Helper()
	m, err := trace.Start(t, sc)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func get(host string, port int) trace.Call {
	return trace.Call{Cluster: "one", Pod: "sleep", Host: host, Port: port, Protocol: "HTTP"}
}

// format writes one line for each arrival, mirror, dead end, loop risk, local reply, and error.
func format(r trace.Result) []string {
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
	for _, text := range r.LoopRisks {
		lines = append(lines, "loop risk "+text)
	}
	if r.LocalReply != "" {
		lines = append(lines, fmt.Sprintf("%.3g%% %s", r.LocalReplyShare*100, r.LocalReply))
	}
	if r.Error != "" {
		lines = append(lines, "error "+r.Error)
	}
	if r.Passthrough {
		lines = append(lines, "passthrough")
	}
	for _, text := range r.DeadMirrors {
		lines = append(lines, "dead mirror "+text)
	}
	for _, text := range r.Undecided {
		lines = append(lines, "undecided "+text)
	}
	return lines
}

// expect compares a formatted result.
func expect(t *testing.T, reason string, r trace.Result, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, format(r)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", reason, diff)
	}
}

// withPublic gives cluster one a public gateway.
func withPublic(sc *scenario.Scenario) *scenario.Scenario {
	sc.Clusters[0].Public = &scenario.Workload{
		Namespace: "istio-ingress", ServiceAccount: "ingress", Labels: map[string]string{"istio": "ingressgateway"},
	}
	return sc
}
