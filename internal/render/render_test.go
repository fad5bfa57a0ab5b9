package render_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/mesh"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// bundle returns the bundle of cluster east of the quickstart with one more file.
func bundle(t *testing.T, name, content string) (*render.Bundle, error) {
	t.Helper()
	return bundleOf(t, "east", name, content)
}

func bundleOf(t *testing.T, cluster, name, content string) (*render.Bundle, error) {
	t.Helper()
	ctx := context.Background()
	snap, err := source.FromDir(ctx, filepath.Join("..", "..", "examples", "quickstart"), source.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if name != "" {
		snap.Files[name] = source.Blob{Data: []byte(content)}
	}
	result, err := evaluate.Evaluate(ctx, snap, evaluate.Options{Cluster: cluster})
	if err != nil {
		t.Fatal(err)
	}
	view, err := mesh.NewView(result.Mesh, cluster)
	if err != nil {
		t.Fatal(err)
	}
	validator, err := istio.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	return render.Render(view, result, validator, "main@sha1:0")
}

func TestInvalidResourceIsAFindingOfItsService(t *testing.T) {
	const services = "package config\n\nservices: cart: {\n\t"
	const template = "package config\n\n#template: {\n\tname: string\n\tnamespace: string\n\tresources: "
	cases := []struct {
		reason, file, content string
		want                  manifest.Finding
		says                  string
	}{
		{
			"a misspelt field of a route", "services/x.cue", services + `routes: [{retries: {atempts: 3}}]` + "\n}\n",
			manifest.Finding{Service: "cart", Cluster: "east", File: "services/x.cue", Line: 4, Path: "VirtualService/cart/cart.cart.global.spec.http[0].retries.atempts"},
			"attempts",
		},
		{
			"a misspelt field of a TCP route",
			"services/x.cue", services + `ports: raw: {port: 9000, protocol: "TCP"}` + "\n\t" + `tcpRoutes: [{match: [{sourceLabel: {}}]}]` + "\n}\n",
			manifest.Finding{Service: "cart", Cluster: "east", File: "services/x.cue", Line: 5, Path: "VirtualService/cart/cart.cart.global.spec.tcp[0].match[0].sourceLabel"},
			"sourceLabel",
		},
		{
			"a route of one host, beside those of all hosts", "services/x.cue",
			services + "routes: [{timeout: \"1s\"}]\n\tperHost: \"cart.cart.global\":\n\t\troutes: [{timeout: \"soon\"}]\n}\n",
			manifest.Finding{Service: "cart", Cluster: "east", File: "services/x.cue", Line: 6, Path: "VirtualService/cart/cart.cart.global.spec.http[0].timeout"},
			"duration",
		},
		{
			"a route of all hosts, beside the policy of one host", "services/x.cue",
			services + "routes: [{timeout: \"soon\"}]\n\tperHost: \"cart.cart.global\":\n\t\ttraffic: outlierDetection: interval: \"1s\"\n}\n",
			manifest.Finding{Service: "cart", Cluster: "east", File: "services/x.cue", Line: 4, Path: "VirtualService/cart/cart.cart.global.spec.http[0].timeout"},
			"duration",
		},
		{
			"an endpoint of an external", "services/x.cue", "package config\n\nexternals: stripe: {\n\thosts: [\"api.stripe.com\"]\n\tports: https: {port: 443, protocol: \"TLS\"}\n\tendpoints: [{host: \"192.0.2.1\"}]\n}\nservices: web: egress: stripe: {}\n",
			manifest.Finding{Service: "stripe", Cluster: "east", File: "services/x.cue", Line: 6, Path: "ServiceEntry/isthmus-externals/stripe.spec.endpoints[0].host"},
			"unknown field",
		},
		{
			"an invalid duration", "services/x.cue", services + `routes: [{timeout: "soon"}]` + "\n}\n",
			manifest.Finding{Service: "cart", Cluster: "east", File: "services/x.cue", Line: 4, Path: "VirtualService/cart/cart.cart.global.spec.http[0].timeout"},
			"duration",
		},
		{
			"a policy of the wrong type", "services/x.cue", services + `traffic: outlierDetection: interval: 10` + "\n}\n",
			manifest.Finding{Service: "cart", Cluster: "east", File: "services/x.cue", Line: 4, Path: "DestinationRule/cart/cart.cart.global.spec.trafficPolicy.outlierDetection.interval"},
			"string",
		},
		{
			"a kind that Isthmus does not manage", "services/x.cue", template + "\"ConfigMap/\\(namespace)/\\(name)\": {apiVersion: \"v1\", kind: \"ConfigMap\", metadata: {\"name\": name, \"namespace\": namespace}}\n}\n",
			manifest.Finding{Service: "cart", Cluster: "east", File: "services/cart.cue", Line: 3, Path: "ConfigMap/cart/cart.kind"},
			"ConfigMap",
		},
		{
			"half a resource under an exact key", "services/x.cue", template + "{if name == \"cart\" {\"Sidecar/web/web\": spec: egress: [{hosts: [\"*/*\"]}]}}\n}\n",
			manifest.Finding{Service: "cart", Cluster: "east", File: "services/cart.cue", Line: 3, Path: "Sidecar/web/web"},
			"use a pattern",
		},
		{
			"a key that is not that of the resource", "services/x.cue", template + "\"Sidecar/\\(namespace)/other\": {apiVersion: \"networking.istio.io/v1\", kind: \"Sidecar\", metadata: {\"name\": name, \"namespace\": namespace}}\n}\n",
			manifest.Finding{Service: "cart", Cluster: "east", File: "services/cart.cue", Line: 3, Path: "Sidecar/cart/other"},
			"the key of a resource is Kind/namespace/name",
		},
	}
	for _, c := range cases {
		t.Run(c.reason, func(t *testing.T) {
			b, err := bundle(t, c.file, c.content)
			var findings manifest.Findings
			if !errors.As(err, &findings) || b != nil {
				t.Fatalf("got %v, want findings and no bundle", err)
			}
			var got *manifest.Finding
			for i := range findings {
				if findings[i].Path == c.want.Path {
					got = &findings[i]
				}
			}
			if got == nil {
				t.Fatalf("no finding for %s in:\n%s", c.want.Path, err)
			}
			if !strings.Contains(got.Message, c.says) {
				t.Errorf("message %q, want it to contain %q", got.Message, c.says)
			}
			got.Message, got.Column = "", 0
			if d := cmp.Diff(c.want, *got); d != "" {
				t.Errorf("finding (-want +got):\n%s", d)
			}
		})
	}
}

func TestDigestDependsOnResourcesOnly(t *testing.T) {
	a, err := bundle(t, "", "")
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle(t, "services/note.cue", "// A comment changes nothing.\npackage config\n")
	if err != nil {
		t.Fatal(err)
	}
	if a.Digest != b.Digest {
		t.Error("a comment changed the digest")
	}
	c, err := bundle(t, "services/x.cue", "package config\n\nservices: cart: hosts: [\"cart.example.com\"]\n")
	if err != nil {
		t.Fatal(err)
	}
	if a.Digest == c.Digest {
		t.Error("another host did not change the digest")
	}
}

func TestResourcesHaveServiceAndSide(t *testing.T) {
	b, err := bundle(t, "services/x.cue", "package config\n\nservices: stock: egress: cart: {}\n")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][2]string{}
	for _, r := range b.Resources {
		got[r.Key.String()] = [2]string{r.Service, string(r.Side)}
	}
	want := map[string][2]string{
		"Gateway/istio-system/isthmus-crosscluster":           {"", "publish"},
		"ServiceEntry/cart/cart.cart.global.isthmus.internal": {"cart", "publish"},
		"ServiceEntry/cart/cart.cart.global-local":            {"cart", "call"},
		"ServiceEntry/cart/cart.cart.global-remote":           {"cart", "call"},
		"DestinationRule/cart/cart.cart.global":               {"cart", "call"},
		"ServiceEntry/stock/stock.stock.global-remote":        {"stock", "call"},
		"DestinationRule/stock/stock.stock.global":            {"stock", "call"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("resources (-want +got):\n%s", d)
	}
	calls := []render.Call{
		{Caller: "cart", Callee: "stock", Entries: []render.Key{{Kind: "ServiceEntry", Namespace: "stock", Name: "stock.stock.global-remote"}}},
		{Caller: "web", Callee: "cart", Entries: []render.Key{
			{Kind: "ServiceEntry", Namespace: "cart", Name: "cart.cart.global-local"},
			{Kind: "ServiceEntry", Namespace: "cart", Name: "cart.cart.global-remote"},
		}},
		{Caller: "web", Callee: "stock", Entries: []render.Key{{Kind: "ServiceEntry", Namespace: "stock", Name: "stock.stock.global-remote"}}},
	}
	if d := cmp.Diff(calls, b.Calls); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
}

// The host stays in the mesh, but the call has lost its last endpoint.
func TestEntryWithoutEndpointsIsNotAnEntryOfTheCall(t *testing.T) {
	b, err := bundle(t, "services/x.cue", "package config\n\nclusters: west: state: \"down\"\n")
	if err != nil {
		t.Fatal(err)
	}
	nowhere := render.Key{Kind: "ServiceEntry", Namespace: "stock", Name: "stock.stock.global-remote"}
	if !slices.ContainsFunc(b.Resources, func(r render.Resource) bool {
		return r.Key == nowhere && r.Object().GetLabels()[render.LabelNoEndpoint] == "true"
	}) {
		t.Fatalf("%s is missing, or has no label %s", nowhere, render.LabelNoEndpoint)
	}
	want := []render.Call{
		{Caller: "cart", Callee: "stock"},
		{Caller: "web", Callee: "cart", Entries: []render.Key{{Kind: "ServiceEntry", Namespace: "cart", Name: "cart.cart.global-local"}}},
		{Caller: "web", Callee: "stock"},
	}
	if d := cmp.Diff(want, b.Calls); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
}

func TestPrimaryHasTheResourcesOfItsRemoteCluster(t *testing.T) {
	const remote = "package config\n\nclusters: east: controlPlane: {kind: \"remote\", primary: \"west\"}\n"
	b, err := bundleOf(t, "east", "services/x.cue", remote)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Resources)+len(b.Calls)+len(b.Namespaces)+b.Services > 0 || b.ControlPlane != "west" {
		t.Errorf("the remote cluster's bundle is not empty, or has no ControlPlane: %+v", b)
	}
	b, err = bundleOf(t, "west", "services/x.cue", remote+"services: web: placement: west: {}\n")
	if err != nil {
		t.Fatal(err)
	}
	// web runs in both clusters, which share the entries.
	want := []render.Call{
		{Caller: "cart", Callee: "stock", Entries: []render.Key{{Kind: "ServiceEntry", Namespace: "stock", Name: "stock.stock.global-local"}}},
		{Caller: "web", Callee: "cart", Entries: []render.Key{
			{Kind: "ServiceEntry", Namespace: "cart", Name: "cart.cart.global-in-east"},
			{Kind: "ServiceEntry", Namespace: "cart", Name: "cart.cart.global-local"},
		}},
		{Caller: "web", Callee: "stock", Entries: []render.Key{{Kind: "ServiceEntry", Namespace: "stock", Name: "stock.stock.global-local"}}},
	}
	if d := cmp.Diff(want, b.Calls); d != "" {
		t.Errorf("calls of the primary (-want +got):\n%s", d)
	}
	if b.ControlPlane != "west" {
		t.Errorf("the control plane of the primary is %q", b.ControlPlane)
	}
}

// Kubernetes names resolve by the API server of the remote cluster itself.
func TestBundleOfARemoteClusterHasStubServices(t *testing.T) {
	b, err := bundleOf(t, "east", "services/x.cue", "package config\n\nclusters: east: controlPlane: {kind: \"remote\", primary: \"west\"}\n"+
		"services: stock: hosts: [\"stock.stock.svc.cluster.local\"]\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Resources) != 1 || b.Resources[0].Key != (render.Key{Kind: "Service", Namespace: "stock", Name: "stock"}) {
		t.Errorf("got %+v, want the stub Service of stock", b.Resources)
	}
	if len(b.Calls) > 0 {
		t.Errorf("the remote cluster's bundle has calls: %+v", b.Calls)
	}
}

func TestPublicGatewayCallsTheServicesThatItExposes(t *testing.T) {
	b, err := bundle(t, "services/x.cue", "package config\n\nclusters: east: publicGateway: {}\nservices: web: expose: credentialName: \"web\"\n")
	if err != nil {
		t.Fatal(err)
	}
	want := render.Call{Caller: mesh.PublicGateway, Callee: "web", Entries: []render.Key{{Kind: "ServiceEntry", Namespace: "web", Name: "web.web.global-local"}}}
	if !slices.ContainsFunc(b.Calls, func(c render.Call) bool { return cmp.Equal(c, want) }) {
		t.Errorf("got %+v, want among them %+v", b.Calls, want)
	}
	gateway := render.Key{Kind: "Gateway", Namespace: "istio-ingress", Name: "isthmus-public-web"}
	if !slices.ContainsFunc(b.Resources, func(r render.Resource) bool { return r.Key == gateway && r.Service == "web" }) {
		t.Errorf("%s of web is missing", gateway)
	}
	if slices.Contains(b.Namespaces, "istio-ingress") {
		t.Error("the namespace of the public gateway would be created without a gateway in it")
	}
}
