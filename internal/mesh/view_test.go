package mesh_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/mesh"
)

type (
	at    = map[string]manifest.Placement
	calls = map[string]struct{}
)

func service(namespace string, placement at, egress ...string) manifest.Service {
	s := manifest.Service{Backend: manifest.Backend{Namespace: namespace}, Placement: placement, Egress: calls{}}
	for _, e := range egress {
		s.Egress[e] = struct{}{}
	}
	return s
}

func TestAClusterSeesWhatItsServicesNeed(t *testing.T) {
	m := &manifest.Mesh{
		Clusters: map[string]manifest.Cluster{
			"a": {State: "active"}, "b": {State: "active"}, "c": {State: "draining"}, "d": {State: "down"}, "empty": {State: "active"},
		},
		Services: map[string]manifest.Service{
			"web":    service("web", at{"a": {}}, "cart", "stock", "stripe", "attic"),
			"cart":   service("cart", at{"a": {}, "b": {Backend: &manifest.Backend{Namespace: "cart-b"}}}, "stock"),
			"stock":  service("stock", at{"b": {}, "c": {}, "d": {}}),
			"attic":  service("attic", nil),
			"unused": service("unused", at{"a": {}, "b": {}}),
		},
		Externals: map[string]manifest.External{"stripe": {}},
	}
	cases := []struct {
		reason  string
		cluster string
		want    mesh.View
	}{
		{
			reason:  "a caller's cluster: local pods first, then active clusters; a callee that runs nowhere stays a call; nobody elsewhere calls cart",
			cluster: "a",
			want: mesh.View{
				Cluster: "a", ControlPlane: "a", Clusters: []string{"a"}, Runs: []string{"cart", "unused", "web"},
				Publishes: nil,
				Calls: []mesh.Call{
					{From: "a", Caller: "cart", Callee: "stock", Publishers: map[mesh.Relation][]string{mesh.Gatewayed: {"b"}}},
					{From: "a", Caller: "web", Callee: "attic", Publishers: map[mesh.Relation][]string{}},
					{From: "a", Caller: "web", Callee: "cart", Publishers: map[mesh.Relation][]string{mesh.Same: {"a"}, mesh.Gatewayed: {"b"}}},
					{From: "a", Caller: "web", Callee: "stock", Publishers: map[mesh.Relation][]string{mesh.Gatewayed: {"b"}}},
					{From: "a", Caller: "web", Callee: "stripe", External: true, Publishers: map[mesh.Relation][]string{}},
				},
			},
		},
		{
			reason:  "a publisher's cluster: published is what runs here and is called from elsewhere, in the namespace that it has here",
			cluster: "b",
			want: mesh.View{
				Cluster: "b", ControlPlane: "b", Clusters: []string{"b"}, Runs: []string{"cart", "stock", "unused"},
				Publishes: []string{"cart", "stock"},
				Calls:     []mesh.Call{{From: "b", Caller: "cart", Callee: "stock", Publishers: map[mesh.Relation][]string{mesh.Same: {"b"}}}},
			},
		},
		{
			reason:  "a draining cluster goes on publishing, for callers that have not heard of it yet",
			cluster: "c",
			want:    mesh.View{Cluster: "c", ControlPlane: "c", Clusters: []string{"c"}, Runs: []string{"stock"}, Publishes: []string{"stock"}},
		},
		{
			reason:  "a cluster that runs nothing needs nothing",
			cluster: "empty",
			want:    mesh.View{Cluster: "empty", ControlPlane: "empty", Clusters: []string{"empty"}},
		},
	}
	for _, c := range cases {
		t.Run(c.cluster, func(t *testing.T) {
			got, err := mesh.NewView(m, c.cluster)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&c.want, got); d != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, d)
			}
		})
	}
}

func TestAPrimarySeesForItsRemotes(t *testing.T) {
	m := &manifest.Mesh{
		Clusters: map[string]manifest.Cluster{
			"primary": {State: "active", UID: "p"}, "moon": {State: "active", UID: "m", ControlPlane: remoteTo("primary")}, "other": {State: "active"},
		},
		Services: map[string]manifest.Service{
			"web":   service("web", at{"primary": {}, "moon": {}}, "cart"),
			"cart":  service("cart", at{"moon": {}, "other": {}}, "stock"),
			"stock": service("stock", at{"primary": {}}),
			"app":   service("app", at{"other": {}}, "cart", "web"),
		},
		Settings: manifest.Settings{NamespaceLabels: map[string]string{"team": "x"}},
	}
	labels := map[string]string{"team": "x"}
	cases := []struct {
		reason, cluster string
		want            mesh.View
	}{
		{
			reason:  "the primary: calls of both clusters, told apart; cart, which runs in the remote only, is called by other; stock, on the primary's own network, from the remote's",
			cluster: "primary",
			want: mesh.View{
				Cluster: "primary", ControlPlane: "primary", Clusters: []string{"moon", "primary"}, UID: "p", NamespaceLabels: labels,
				Runs:      []string{"cart", "stock", "web"},
				Publishes: []string{"cart", "stock", "web"},
				Calls: []mesh.Call{
					{From: "moon", Caller: "cart", Callee: "stock", Publishers: taking{mesh.Discovered: {"primary"}}},
					{From: "moon", Caller: "web", Callee: "cart", Publishers: taking{mesh.Same: {"moon"}, mesh.Gatewayed: {"other"}}},
					{From: "primary", Caller: "web", Callee: "cart", Publishers: taking{mesh.Discovered: {"moon"}, mesh.Gatewayed: {"other"}}},
				},
			},
		},
		{
			reason:  "the remote: nothing is rendered for it",
			cluster: "moon",
			want:    mesh.View{Cluster: "moon", ControlPlane: "primary", UID: "m", NamespaceLabels: labels},
		},
	}
	for _, c := range cases {
		t.Run(c.cluster, func(t *testing.T) {
			got, err := mesh.NewView(m, c.cluster)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&c.want, got); d != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, d)
			}
			if got.Remote() != (c.cluster == "moon") {
				t.Errorf("remote: %t", got.Remote())
			}
		})
	}
}

func TestWhatAPublicGatewayLetsInIsACall(t *testing.T) {
	exposed := func(placement at, clusters ...string) manifest.Service {
		return manifest.Service{Placement: placement, Expose: &manifest.Expose{Clusters: clusters}}
	}
	m := &manifest.Mesh{
		Clusters: map[string]manifest.Cluster{
			"edge": {State: "active", PublicGateway: &manifest.PublicGateway{}}, "edge2": {State: "active", PublicGateway: &manifest.PublicGateway{}},
			"inner": {State: "active"},
		},
		Services: map[string]manifest.Service{
			"everywhere": exposed(at{"edge": {}, "edge2": {}, "inner": {}}),
			"behind":     exposed(at{"inner": {}}, "edge"),
			"nowhere":    exposed(at{"inner": {}}),
		},
	}
	cases := []struct {
		reason, cluster string
		want            []mesh.Call
	}{
		{"what runs here, and what is named to be let in here", "edge", []mesh.Call{
			{From: "edge", Caller: mesh.PublicGateway, Callee: "behind", Publishers: taking{mesh.Gatewayed: {"inner"}}},
			{From: "edge", Caller: mesh.PublicGateway, Callee: "everywhere", Publishers: taking{mesh.Same: {"edge"}, mesh.Gatewayed: {"edge2", "inner"}}},
		}},
		{"only what runs here, if others were named", "edge2", []mesh.Call{
			{From: "edge2", Caller: mesh.PublicGateway, Callee: "everywhere", Publishers: taking{mesh.Same: {"edge2"}, mesh.Gatewayed: {"edge", "inner"}}},
		}},
		{"nothing comes in here", "inner", nil},
	}
	for _, c := range cases {
		t.Run(c.cluster, func(t *testing.T) {
			got, err := mesh.NewView(m, c.cluster)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got.Calls); d != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, d)
			}
		})
	}
}

func TestAClusterThatIsNotInTheInventoryIsAFinding(t *testing.T) {
	_, err := mesh.NewView(&manifest.Mesh{Clusters: map[string]manifest.Cluster{"a": {}, "b": {}}}, "c")
	var findings manifest.Findings
	if !errors.As(err, &findings) || !strings.Contains(err.Error(), "it has a, b") {
		t.Errorf("got %v", err)
	}
}
