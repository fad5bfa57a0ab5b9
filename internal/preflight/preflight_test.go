package preflight_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/preflight"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

const ours = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: isthmus-crosscluster, namespace: istio-system, labels: {isthmus.dev/side: publish}}
spec:
  selector: {istio: eastwestgateway}
  servers:
  - {port: {number: 15443, name: tls, protocol: TLS}, tls: {mode: AUTO_PASSTHROUGH}, hosts: ["*.isthmus.internal"]}
  - {port: {number: 15443, name: tls-discovery, protocol: TLS}, tls: {mode: AUTO_PASSTHROUGH}, hosts: ["*.local"]}
`

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	return o
}

// bundle returns the bundle of a cluster with one gateway.
func bundle(t *testing.T, addresses ...manifest.Gateway) *render.Bundle {
	t.Helper()
	resource, err := render.NewResource(object(t, ours))
	if err != nil {
		t.Fatal(err)
	}
	return &render.Bundle{Cluster: "east", ControlPlane: "east", Resources: []render.Resource{resource}, Gateways: addresses}
}

// check plans for a cluster with these foreign objects, and returns the problems.
func check(t *testing.T, bundle *render.Bundle, others ...*unstructured.Unstructured) []preflight.Problem {
	t.Helper()
	owner := ownership.Owner{ID: ownership.ApplySetID("mesh", "isthmus-system", "MeshSync", "isthmus.dev")}
	view := clustercache.State{Objects: others, Namespaces: map[string]clustercache.Namespace{"istio-system": {}}}
	return preflight.Check(bundle, view, plans.Make(bundle, view, plans.Options{Owner: owner, Prune: true}), owner)
}

func TestOverlappingGatewaysBlock(t *testing.T) {
	cases := map[string]struct {
		reason   string
		selector string
		port     string
		mode     string
		hosts    string
		overlaps bool
	}{
		"TheSample":       {"Istio's own multicluster sample serves *.local", "{istio: eastwestgateway}", "15443", "AUTO_PASSTHROUGH", `["*.local"]`, true},
		"Everything":      {"* matches every name", "{istio: eastwestgateway}", "15443", "AUTO_PASSTHROUGH", `["*"]`, true},
		"WithinOurs":      {"a host within our wildcard", "{istio: eastwestgateway}", "15443", "AUTO_PASSTHROUGH", `["a.b.isthmus.internal"]`, true},
		"WiderWildcard":   {"a wildcard that contains ours", "{istio: eastwestgateway}", "15443", "AUTO_PASSTHROUGH", `["*.internal"]`, true},
		"Qualified":       {"a namespace before the host does not change the SNI", "{istio: eastwestgateway}", "15443", "AUTO_PASSTHROUGH", `["istio-system/*.local"]`, true},
		"MoreLabels":      {"it selects a subset of our pods", "{istio: eastwestgateway, app: gw}", "15443", "AUTO_PASSTHROUGH", `["*.local"]`, true},
		"NoSelector":      {"it selects all workloads", "{}", "15443", "AUTO_PASSTHROUGH", `["*.local"]`, true},
		"AnotherSuffix":   {"other hosts do not overlap", "{istio: eastwestgateway}", "15443", "AUTO_PASSTHROUGH", `["*.global", "local", "xisthmus.internal"]`, false},
		"AnotherPort":     {"each port has its own listener", "{istio: eastwestgateway}", "15444", "AUTO_PASSTHROUGH", `["*.local"]`, false},
		"AnotherWorkload": {"another proxy", "{istio: ingressgateway}", "15443", "AUTO_PASSTHROUGH", `["*.local"]`, false},
		"Terminating":     {"it does not route by SNI", "{istio: eastwestgateway}", "15443", "SIMPLE", `["*.local"]`, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			other := object(t, "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: cross-network-gateway, namespace: istio-system}\nspec:\n  selector: "+tc.selector+
				"\n  servers:\n  - {port: {number: "+tc.port+", name: tls, protocol: TLS}, tls: {mode: "+tc.mode+"}, hosts: "+tc.hosts+"}\n")
			problems := check(t, bundle(t), other)
			if got := len(problems) > 0; got != tc.overlaps {
				t.Fatalf("overlaps: %v, want %v: %s", got, tc.overlaps, tc.reason)
			}
			for _, p := range problems {
				if !p.Blocks || p.Reason != preflight.GatewayOverlaps || !strings.Contains(p.Message, "Gateway/istio-system/cross-network-gateway") {
					t.Errorf("%+v", p)
				}
			}
		})
	}
}

// cross returns another Gateway with a host of ours.
func cross(t *testing.T, name, labels string) *unstructured.Unstructured {
	t.Helper()
	return object(t, "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: "+name+", namespace: istio-system, labels: "+labels+"}\nspec:\n"+
		"  selector: {istio: eastwestgateway}\n  servers:\n  - {port: {number: 15443, name: tls, protocol: TLS}, tls: {mode: AUTO_PASSTHROUGH}, hosts: [\"*.local\"]}\n")
}

func TestGatewayDoesNotOverlapWithItself(t *testing.T) {
	for _, labels := range []string{"{}", "{applyset.kubernetes.io/part-of: applyset-of-another-v1}"} {
		if problems := check(t, bundle(t), cross(t, "isthmus-crosscluster", labels)); len(problems) > 0 {
			t.Errorf("a Gateway with our key and the labels %s: %+v", labels, problems)
		}
	}
}

func TestOverlapNamesTheOwnerOfTheOtherGateway(t *testing.T) {
	for labels, want := range map[string]string{
		"{}": "which Isthmus did not write",
		"{applyset.kubernetes.io/part-of: applyset-of-another-v1}": "which belongs to another MeshSync or ApplySet (applyset-of-another-v1)",
	} {
		problems := check(t, bundle(t), cross(t, "cross", labels))
		if len(problems) != 1 || !strings.HasPrefix(problems[0].Message, "Gateway/istio-system/cross, "+want+", serves *.local") ||
			!strings.HasSuffix(problems[0].Message, "remove *.local from Gateway/istio-system/cross, or delete it") {
			t.Errorf("%s: %+v, want %q", labels, problems, want)
		}
	}
}

func TestGatewayAddressDiffersFromTheInventory(t *testing.T) {
	cases := map[string]struct {
		reason    string
		inventory manifest.Gateway
		spec      string
		status    string
		want      string
	}{
		"Same":        {"equal", manifest.Gateway{Address: "192.0.2.1", Port: 15443}, "ports: [{port: 15443}]", `[{ip: 192.0.2.1}]`, ""},
		"Another":     {"another address", manifest.Gateway{Address: "192.0.2.9", Port: 15443}, "ports: [{port: 15443}]", `[{ip: 192.0.2.1}]`, "has 192.0.2.1"},
		"Port":        {"another port", manifest.Gateway{Address: "192.0.2.1", Port: 443}, "ports: [{port: 15443}]", `[{ip: 192.0.2.1}]`, "has the ports 15443"},
		"ExternalIP":  {"spec.externalIPs", manifest.Gateway{Address: "192.0.2.1", Port: 15443}, "externalIPs: [192.0.2.1], ports: [{port: 15443}]", `[]`, ""},
		"NoAddress":   {"the load balancer is not ready", manifest.Gateway{Address: "192.0.2.1", Port: 15443}, "ports: [{port: 15443}]", `[]`, ""},
		"NameOfOurs":  {"a host name in the inventory may resolve to any address", manifest.Gateway{Address: "gw.example.com", Port: 15443}, "ports: [{port: 15443}]", `[{ip: 192.0.2.1}]`, ""},
		"NameOfTheir": {"a load balancer with a host name may have any address", manifest.Gateway{Address: "192.0.2.9", Port: 15443}, "ports: [{port: 15443}]", `[{hostname: lb.example.com}]`, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			service := object(t, "apiVersion: v1\nkind: Service\nmetadata: {name: istio-eastwestgateway, namespace: istio-system}\nspec: {type: LoadBalancer, selector: {istio: eastwestgateway, app: gw}, "+
				tc.spec+"}\nstatus: {loadBalancer: {ingress: "+tc.status+"}}\n")
			problems := check(t, bundle(t, tc.inventory), service)
			if tc.want == "" {
				if len(problems) > 0 {
					t.Errorf("%s: %+v, want none", tc.reason, problems)
				}
				return
			}
			if len(problems) != 1 || problems[0].Blocks || problems[0].Reason != preflight.GatewayAddress || !strings.Contains(problems[0].Message, tc.want) ||
				!strings.Contains(problems[0].Message, "clusters.east.gateways") {
				t.Errorf("%s: %+v, want one problem with %q", tc.reason, problems, tc.want)
			}
		})
	}
}
