package check_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/check"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/scenario"
)

func object(kind, name string, spec map[string]any) map[string]any {
	return map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": map[string]any{"name": name, "namespace": "app"}, "spec": spec,
	}
}

func entry(change func(spec map[string]any)) map[string]any {
	spec := map[string]any{
		"hosts": []any{"a.global"}, "location": "MESH_INTERNAL", "resolution": "STATIC",
		"ports":     []any{map[string]any{"number": 80, "name": "http-a", "protocol": "HTTP"}},
		"endpoints": []any{map[string]any{"address": "192.0.2.2", "labels": map[string]any{"cluster": "two"}}},
	}
	if change != nil {
		change(spec)
	}
	return object("ServiceEntry", "a", spec)
}

func TestValidateReportsWebhookErrorsAndUnknownFields(t *testing.T) {
	for _, c := range []struct {
		reason string
		object map[string]any
		want   []string
	}{
		{"a valid entry", entry(nil), nil},
		{"an error of the webhook", entry(func(s map[string]any) { s["endpoints"] = []any{map[string]any{"address": "gw.example"}} }), []string{"error", "gw.example"}},
		{"a field that the API server would drop", entry(func(s map[string]any) { s["adresses"] = []any{} }), []string{"error", "adresses"}},
		{"a warning of the webhook", object("VirtualService", "a", map[string]any{
			"hosts": []any{"a.global"}, "http": []any{
				map[string]any{"route": []any{map[string]any{"destination": map[string]any{"host": "a.global"}}}},
				map[string]any{"route": []any{map[string]any{"destination": map[string]any{"host": "b.global"}}}},
			},
		}), []string{"warning", "VirtualService/app/a"}},
		{"a kind that Istio does not have", object("Nothing", "a", nil), []string{"error", "no kind Nothing"}},
	} {
		got := check.Validate(map[string]map[string]any{c.object["kind"].(string) + "/app/a": c.object})
		if len(c.want) == 0 && len(got) == 0 {
			continue
		}
		if len(got) != 1 {
			t.Errorf("%s: findings %v", c.reason, got)
			continue
		}
		for _, word := range c.want {
			if !strings.Contains(got[0].String(), word) {
				t.Errorf("%s: %q lacks %q", c.reason, got[0], word)
			}
		}
	}
}

// analyzed is a scenario whose subset v1 selects no pod that the analyzer sees.
func analyzed(labels map[string]any, exportTo string) *scenario.Scenario {
	gateway := scenario.Gateway{Address: "192.0.2.1", Port: 15443, Workload: scenario.Workload{
		Namespace: "istio-system", ServiceAccount: "gateway", Labels: map[string]string{"istio": "eastwestgateway"},
	}}
	pod := scenario.Pod{Cluster: "two", Name: "a", IP: "10.2.0.1", Ready: true, Ports: map[int]string{80: ""}, Workload: scenario.Workload{
		Namespace: "app", ServiceAccount: "a", Labels: map[string]string{"app": "a", "version": "v1"},
	}}
	own := pod
	own.Cluster, own.Name, own.IP, own.Labels = "one", "b", "10.1.0.1", map[string]string{"app": "b"}
	return &scenario.Scenario{
		Clusters: []scenario.Cluster{{Name: "one", Watched: []string{"two"}, Gateways: []scenario.Gateway{gateway}}, {Name: "two", IstioID: "id-two"}},
		Pods:     []scenario.Pod{pod, own},
		Bundles: map[string]map[string]map[string]any{"one": {
			"ServiceEntry/app/a": entry(func(s map[string]any) {
				s["ports"] = []any{map[string]any{"number": 80, "name": "tcp-a", "protocol": "TCP"}}
				s["exportTo"] = []any{exportTo}
			}),
			"DestinationRule/app/a": object("DestinationRule", "a", map[string]any{
				"host": "a.global", "exportTo": []any{exportTo}, "subsets": []any{map[string]any{"name": "v1", "labels": labels}},
			}),
		}},
	}
}

func TestFilterRemovesFalseAlarmsOnly(t *testing.T) {
	filter := &check.Filter{}
	for _, c := range []struct {
		reason   string
		labels   map[string]any
		exportTo string
		want     []string
	}{
		{"a subset of endpoints, an entry for gateways", map[string]any{"cluster": "two"}, "istio-system", nil},
		{"a subset of watched pods", map[string]any{"version": "v1", "topology.istio.io/cluster": "id-two"}, "istio-system", nil},
		{"a subset of nothing", map[string]any{"version": "v9"}, "istio-system", []string{"IST0173"}},
		{"a TCP port without address, exported to sidecars", map[string]any{"cluster": "two"}, "*", []string{"IST0134"}},
	} {
		sc := analyzed(c.labels, c.exportTo)
		findings, err := check.Analyze(sc, "one")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range filter.Real(sc, "one", findings) {
			got = append(got, f.Code)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s\n%v", c.reason, diff, findings)
		}
	}
	sc := analyzed(map[string]any{"cluster": "two"}, "istio-system")
	sc.Clusters[0].Public = &scenario.Workload{Namespace: "app", ServiceAccount: "public", Labels: map[string]string{"istio": "ingressgateway"}}
	sc.Bundles["one"]["Gateway/app/shop"] = object("Gateway", "shop", map[string]any{
		"selector": map[string]any{"istio": "ingressgateway"},
		"servers": []any{map[string]any{
			"port":  map[string]any{"number": 443, "name": "https", "protocol": "HTTPS"},
			"tls":   map[string]any{"mode": "SIMPLE", "credentialName": "shop"},
			"hosts": []any{"shop.example.com"},
		}},
	})
	findings, err := check.Analyze(sc, "one")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range filter.Real(sc, "one", findings) {
		if f.Code == "IST0101" {
			t.Errorf("a certificate of the platform: %s", f)
		}
	}
	if unused := filter.Unused(); len(unused) > 0 {
		t.Errorf("entries of the table that match no finding: %q", unused)
	}
}
