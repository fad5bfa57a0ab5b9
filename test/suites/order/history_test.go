package order_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/mesh"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/source"
	"github.com/isthmus-mesh/isthmus/test/bench"
)

// revision is one valid commit.
type revision struct {
	// changes describes the changes since the previous revision.
	changes []string
	bundles map[string]*render.Bundle
	// calledHosts are the called hosts in each cluster.
	calledHosts map[string]map[string]bool
	// gateways are the gateways of the inventory.
	gateways []gateway
}

// gateway is a gateway address of a cluster. workload is the port of the pods behind it.
type gateway struct {
	cluster, host  string
	port, workload int
}

// repository evaluates states for each cluster, as its controller does.
type repository struct {
	t          *testing.T
	dir        string
	evaluators map[string]*evaluate.Evaluator
	renderers  map[string]*render.Renderer
}

func newRepository(t *testing.T) *repository {
	t.Helper()
	validator, err := istio.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	r := &repository{t: t, dir: t.TempDir(), evaluators: map[string]*evaluate.Evaluator{}, renderers: map[string]*render.Renderer{}}
	for _, c := range clusterNames {
		r.evaluators[c], r.renderers[c] = evaluate.New(evaluate.Limits{}, nil), render.New(validator, nil)
	}
	return r
}

// history returns the initial revision and n more that the seed determines. Invalid commits are
// left out, as after a check of pull requests.
func history(t *testing.T, seed uint64, n int, of []change) []revision {
	t.Helper()
	repo, r := newRepository(t), rand.New(rand.NewPCG(seed, 0))
	now := initialState()
	first, err := repo.revision(now, 0)
	if err != nil {
		t.Fatalf("the initial mesh: %v", err)
	}
	out := []revision{*first}
	invalid := 0
	for len(out) <= n {
		next := now.clone()
		changes := commit(r, next, of)
		rev, err := repo.revision(next, len(out))
		var findings manifest.Findings
		if errors.As(err, &findings) {
			if invalid++; invalid > 20+n {
				t.Fatalf("%d commits are invalid, the last one (%v) because of %v", invalid, changes, findings)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		rev.changes = changes
		out, now = append(out, *rev), next
	}
	t.Logf("seed %d: %d commits, without %d invalid ones", seed, n, invalid)
	return out
}

// initialState is the mesh before the first commit.
func initialState() *state {
	s := &state{services: map[string]*service{}, removed: map[string]*service{}, clusters: map[string]*inventory{}, gatewayPort: 15443}
	for i, c := range clusterNames {
		s.clusters[c] = &inventory{region: []string{"r1", "r1", "r2"}[i], state: "active", gateways: []address{{host: fmt.Sprintf("192.0.2.%d", i+1)}}}
	}
	add := func(name string, versions []string, routes int, at []string, calls ...string) {
		svc := &service{
			hosts: []string{name + ".example.com"}, ports: map[string]port{"http": {80, "HTTP"}}, versions: versions, routes: routes,
			placement: map[string]placed{}, calls: calls,
		}
		for i, c := range at {
			p := placed{weight: 1 + i}
			if len(versions) > 1 {
				p.versions = []string{versions[i%len(versions)]}
			}
			svc.placement[c] = p
		}
		s.services[name] = svc
	}
	add("web", []string{"v1"}, unrouted, []string{"east", "west"}, "cart", "search", "mail", "ledger")
	add("cart", []string{"v1", "v2"}, split, []string{"east", "north"}, "ledger", "stock", "search")
	add("search", []string{"v1", "v2"}, byHeader, []string{"north", "west"}, "stock", "mail")
	add("ledger", nil, unrouted, []string{"west"}, "mail", "stock")
	add("stock", nil, byCluster, []string{"north", "east"}, "ledger")
	add("mail", nil, unrouted, []string{"north"}, "stock")
	s.services["mail"].byService = true
	s.services["ledger"].ports["tcp"] = port{5432, "TCP"}
	return s
}

func (r *repository) revision(s *state, n int) (*revision, error) {
	snapshot, err := r.snapshot(s, n)
	if err != nil {
		return nil, err
	}
	out := &revision{bundles: map[string]*render.Bundle{}, calledHosts: map[string]map[string]bool{}}
	for _, c := range clusterNames {
		if out.bundles[c], err = r.bundle(snapshot, c); err != nil {
			return nil, err
		}
		out.calledHosts[c] = calledHosts(out.bundles[c])
		for _, g := range s.clusters[c].gateways {
			out.gateways = append(out.gateways, gateway{cluster: c, host: g.host, port: g.port(s.gatewayPort), workload: s.gatewayPort})
		}
	}
	return out, nil
}

func (r *repository) snapshot(s *state, n int) (*source.Snapshot, error) {
	files, err := bench.Repository{}.Files()
	if err != nil {
		return nil, err
	}
	maps.Copy(files, s.files())
	if err := os.RemoveAll(r.dir); err != nil {
		return nil, err
	}
	if err := bench.WriteFiles(r.dir, files); err != nil {
		return nil, err
	}
	snapshot, err := source.FromDir(r.t.Context(), r.dir, source.Limits{})
	if err == nil {
		snapshot.Revision = fmt.Sprintf("main@sha1:%040x", n)
	}
	return snapshot, err
}

func (r *repository) bundle(snapshot *source.Snapshot, cluster string) (*render.Bundle, error) {
	result, err := r.evaluators[cluster].Evaluate(r.t.Context(), snapshot, evaluate.Options{Cluster: cluster, CheckAll: true})
	if err != nil {
		return nil, err
	}
	view, err := mesh.NewView(result.Mesh, cluster)
	if err != nil {
		return nil, err
	}
	return r.renderers[cluster].Render(view, result, snapshot.Revision)
}
