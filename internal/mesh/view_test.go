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
	at     = map[string]manifest.Placement
	egress = map[string]struct{}
)

func service(placement at, callees ...string) manifest.Service {
	s := manifest.Service{Placement: placement, Egress: egress{}}
	for _, e := range callees {
		s.Egress[e] = struct{}{}
	}
	return s
}

func TestViewHasTheServicesAndCallsOfACluster(t *testing.T) {
	m := &manifest.Mesh{
		Clusters: map[string]manifest.Cluster{
			"a": {State: "active"}, "b": {State: "active"}, "c": {State: "draining"}, "empty": {State: "active"},
		},
		Services: map[string]manifest.Service{
			"web":    service(at{"a": {}}, "cart", "stock", "stripe", "attic"),
			"cart":   service(at{"a": {}, "b": {}}, "stock"),
			"stock":  service(at{"b": {}, "c": {}}),
			"attic":  service(nil),
			"unused": service(at{"a": {}, "b": {}}),
		},
		Externals: map[string]manifest.External{"stripe": {}},
	}
	cases := []struct {
		reason  string
		cluster string
		want    mesh.View
	}{
		{
			reason:  "calls include externals and callees without a placement",
			cluster: "a",
			want: mesh.View{
				Cluster: "a", ControlPlane: "a", Runs: []string{"cart", "unused", "web"},
				Calls: []mesh.Call{
					{Caller: "cart", Callee: "stock"},
					{Caller: "web", Callee: "attic"},
					{Caller: "web", Callee: "cart"},
					{Caller: "web", Callee: "stock"},
					{Caller: "web", Callee: "stripe"},
				},
			},
		},
		{
			reason:  "calls of services that run elsewhere are not in the view",
			cluster: "b",
			want: mesh.View{
				Cluster: "b", ControlPlane: "b", Runs: []string{"cart", "stock", "unused"},
				Calls: []mesh.Call{{Caller: "cart", Callee: "stock"}},
			},
		},
		{
			reason:  "a draining cluster runs its services",
			cluster: "c",
			want:    mesh.View{Cluster: "c", ControlPlane: "c", Runs: []string{"stock"}},
		},
		{
			reason:  "a cluster without services",
			cluster: "empty",
			want:    mesh.View{Cluster: "empty", ControlPlane: "empty"},
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

func TestViewOfAPrimaryIncludesItsRemoteClusters(t *testing.T) {
	m := &manifest.Mesh{
		Clusters: map[string]manifest.Cluster{
			"primary": {State: "active", UID: "p"}, "moon": {State: "active", UID: "m", ControlPlane: remoteTo("primary")}, "other": {State: "active"},
		},
		Services: map[string]manifest.Service{
			"web":   service(at{"primary": {}, "moon": {}}, "cart"),
			"cart":  service(at{"moon": {}, "other": {}}, "stock"),
			"stock": service(at{"primary": {}}),
			"app":   service(at{"other": {}}, "cart", "web"),
		},
		Settings: manifest.Settings{NamespaceLabels: map[string]string{"team": "x"}},
	}
	labels := map[string]string{"team": "x"}
	cases := []struct {
		reason, cluster string
		want            mesh.View
	}{
		{
			reason:  "the primary has the calls of both clusters, each once",
			cluster: "primary",
			want: mesh.View{
				Cluster: "primary", ControlPlane: "primary", UID: "p", NamespaceLabels: labels,
				Runs:  []string{"cart", "stock", "web"},
				Calls: []mesh.Call{{Caller: "cart", Callee: "stock"}, {Caller: "web", Callee: "cart"}},
			},
		},
		{
			reason:  "the remote cluster has no calls of its own",
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
		})
	}
}

func TestPublicGatewayCallsTheServicesThatItExposes(t *testing.T) {
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
			"private":    exposed(at{"edge": {}}, "inner"),
		},
	}
	cases := []struct {
		reason, cluster string
		want            []mesh.Call
	}{
		{"services that run here, and services that name this cluster", "edge", []mesh.Call{
			{Caller: mesh.PublicGateway, Callee: "behind"}, {Caller: mesh.PublicGateway, Callee: "everywhere"},
		}},
		{"not services that name other clusters", "edge2", []mesh.Call{{Caller: mesh.PublicGateway, Callee: "everywhere"}}},
		{"none in a cluster without a public gateway", "inner", nil},
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

func TestClusterThatIsNotInTheInventoryIsAFinding(t *testing.T) {
	_, err := mesh.NewView(&manifest.Mesh{Clusters: map[string]manifest.Cluster{"a": {}, "b": {}}}, "c")
	var findings manifest.Findings
	if !errors.As(err, &findings) || findings[0].Code != manifest.UnknownCluster || !strings.Contains(err.Error(), "the inventory has a, b") {
		t.Errorf("got %v", err)
	}
}
