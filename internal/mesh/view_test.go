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
				Cluster: "a", Runs: []string{"cart", "unused", "web"},
				Publishes: nil,
				Calls: []mesh.Call{
					{Caller: "cart", Callee: "stock", Publishers: map[mesh.Relation][]string{mesh.Gatewayed: {"b"}}},
					{Caller: "web", Callee: "attic", Publishers: map[mesh.Relation][]string{}},
					{Caller: "web", Callee: "cart", Publishers: map[mesh.Relation][]string{mesh.Same: {"a"}, mesh.Gatewayed: {"b"}}},
					{Caller: "web", Callee: "stock", Publishers: map[mesh.Relation][]string{mesh.Gatewayed: {"b"}}},
					{Caller: "web", Callee: "stripe", External: true, Publishers: map[mesh.Relation][]string{}},
				},
			},
		},
		{
			reason:  "a publisher's cluster: published is what runs here and is called from elsewhere, in the namespace that it has here",
			cluster: "b",
			want: mesh.View{
				Cluster: "b", Runs: []string{"cart", "stock", "unused"},
				Publishes: []string{"cart", "stock"},
				Calls:     []mesh.Call{{Caller: "cart", Callee: "stock", Publishers: map[mesh.Relation][]string{mesh.Same: {"b"}}}},
			},
		},
		{
			reason:  "a draining cluster goes on publishing, for callers that have not heard of it yet",
			cluster: "c",
			want:    mesh.View{Cluster: "c", Runs: []string{"stock"}, Publishes: []string{"stock"}},
		},
		{
			reason:  "a cluster that runs nothing needs nothing",
			cluster: "empty",
			want:    mesh.View{Cluster: "empty"},
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

func TestAClusterThatIsNotInTheInventoryIsAFinding(t *testing.T) {
	_, err := mesh.NewView(&manifest.Mesh{Clusters: map[string]manifest.Cluster{"a": {}, "b": {}}}, "c")
	var findings manifest.Findings
	if !errors.As(err, &findings) || !strings.Contains(err.Error(), "it has a, b") {
		t.Errorf("got %v", err)
	}
}
