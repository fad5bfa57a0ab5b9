package meshsync

// An internal test: bundle and findLastKnownGood with a real pipeline and commits in memory,
// without an API server.

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/execute"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/source"
	"github.com/isthmus-mesh/isthmus/internal/syncrun"
)

// commits is a Fetcher of snapshots in memory.
type commits map[string]*source.Snapshot

func (c commits) Fetch(context.Context, *v1alpha1.MeshSync, string, bool) (*source.Snapshot, error) {
	return nil, fmt.Errorf("not asked for here")
}

func (c commits) FetchCommit(_ context.Context, _ *v1alpha1.MeshSync, commit string) (*source.Snapshot, error) {
	if s, ok := c[commit]; ok {
		return s, nil
	}
	return nil, fmt.Errorf("there is no commit %s", commit)
}

func (c commits) Forget(types.NamespacedName) {}

// cluster applies each plan.
type cluster struct {
	t       *testing.T
	files   map[string]string
	commits commits
	ms      *v1alpha1.MeshSync
	r       *Reconciler
	m       *syncState
}

func newCluster(t *testing.T, name string) *cluster {
	t.Helper()
	snap, err := source.FromDir(t.Context(), "../../examples/quickstart", source.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, files: map[string]string{}, commits: commits{}, ms: &v1alpha1.MeshSync{}}
	for f, b := range snap.Files {
		if !strings.HasPrefix(f, "services/") {
			c.files[f] = string(b.Data)
		}
	}
	c.files["services/web.cue"] = pipelineService("web", bothClusters, "egress: {cart: {}, stock: {}}")
	c.files["services/cart.cue"] = pipelineService("cart", bothClusters, "egress: stock: {}", `authorization: mode: "enforce"`)
	c.files["services/stock.cue"] = pipelineService("stock", "placement: west: {}", `authorization: mode: "enforce"`)
	c.ms.Spec.Cluster = name
	c.restart()
	return c
}

const (
	bothClusters = "placement: {east: {}, west: {}}"
	badRoute     = `routes: [{timeout: "soon"}]`
)

func pipelineService(name string, fields ...string) string {
	return fmt.Sprintf("package config\n\nservices: %q: {\n\towner: \"tests\"\n\tports: http: {port: 80, protocol: \"HTTP\"}\n\tbackend: {namespace: %q, selector: app: %q, serviceAccounts: [%q]}\n\t%s\n}\n",
		name, name, name, name, strings.Join(fields, "\n\t"))
}

func (c *cluster) restart() {
	c.t.Helper()
	v, err := istio.NewValidator()
	if err != nil {
		c.t.Fatal(err)
	}
	c.r = &Reconciler{reader: emptyCluster{}, now: time.Now, metrics: NewMetrics(time.Now), fetcher: c.commits, firstRetry: time.Second}
	c.r.renderer = syncrun.Pipeline{Evaluator: evaluate.New(evaluate.Limits{}, nil), Renderer: render.New(v, nil), Timed: c.r.metrics.timed}
	c.m = &syncState{}
}

// emptyCluster is a ClusterReader without objects.
type emptyCluster struct{}

func (emptyCluster) Snapshot(context.Context) (clustercache.State, error) {
	return clustercache.State{}, nil
}

func (emptyCluster) Select(context.Context, clustercache.Selector) (clustercache.State, error) {
	return clustercache.State{}, nil
}

func (emptyCluster) ChangedSince(uint64) ([]render.Key, uint64, bool) { return nil, 0, true }

func (emptyCluster) GetFull(context.Context, *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return nil, errors.New("not implemented")
}

// commit applies a commit and returns its resources by key.
func (c *cluster) commit(files map[string]string) map[string]string {
	c.t.Helper()
	for name, text := range files {
		c.files[name] = text
		if text == "" {
			delete(c.files, name)
		}
	}
	n := fmt.Sprintf("%040d", len(c.commits)+1)
	s := &source.Snapshot{Revision: "main@sha1:" + n, Commit: n, Files: map[string]source.Blob{}}
	for f, text := range c.files {
		sum := sha1.Sum([]byte(text))
		s.Files[f] = source.Blob{Data: []byte(text), Hash: hex.EncodeToString(sum[:])}
	}
	c.commits[n] = s
	return c.run()
}

// run applies the last commit.
func (c *cluster) run() map[string]string {
	c.t.Helper()
	c.m.fetched.snapshot = c.commits[fmt.Sprintf("%040d", len(c.commits))]
	bundle, err := c.r.bundle(c.t.Context(), c.ms, c.m, c.m.fetched.snapshot)
	c.m.lastKnownGood = c.m.rendered.basis
	if err != nil {
		c.t.Fatalf("commit %s halts: %v", c.m.fetched.snapshot.Revision, err)
	}
	c.r.writeStatus(c.ms, c.m, applied(bundle, &plans.Plan{}, execute.Result{}, nil))
	out := map[string]string{}
	for _, r := range bundle.Resources {
		out[r.Key.String()] = r.Hash
	}
	return out
}

func TestRejectedNewServiceDoesNotBlockItsCallers(t *testing.T) {
	for name, placement := range map[string]string{"NotCalled": bothClusters, "Elsewhere": "placement: west: {}"} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, "east")
			c.commit(nil)
			// Nothing of the service is rendered here, so Istio cannot reject it.
			before := c.commit(map[string]string{"services/new.cue": pipelineService("new", placement, badRoute)})
			after := c.commit(map[string]string{"services/web.cue": pipelineService("web", bothClusters, "egress: {cart: {}, stock: {}, new: {}}")})
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("the resources of web differ: %s", diff)
			}
			c.restart()
			if diff := cmp.Diff(after, c.run()); diff != "" {
				t.Errorf("after a restart: %s", diff)
			}
		})
	}
}

func TestLeftOutServiceStaysLeftOutAfterARestart(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"Refused":       {"services/new.cue": pipelineService("new", bothClusters, badRoute), "services/fan.cue": pipelineService("fan", bothClusters, "egress: new: {}")},
		"UnknownCallee": {"services/new.cue": pipelineService("new", bothClusters, "egress: {nobody: {}, cart: {}}")},
		"ClaimsLast": {
			"services/zzz.cue": pipelineService("zzz", bothClusters, `hosts: ["web.web.global", "cart.cart.global"]`, "egress: stock: {}"),
			"services/fan.cue": pipelineService("fan", bothClusters, "egress: zzz: {}"),
		},
		"ClaimsFirst": {
			"services/aaa.cue": pipelineService("aaa", bothClusters, `hosts: ["web.web.global", "cart.cart.global"]`, "egress: stock: {}"),
			"services/fan.cue": pipelineService("fan", bothClusters, "egress: aaa: {}"),
		},
	} {
		for _, ever := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/EverSince=%v", name, ever), func(t *testing.T) {
				c := newCluster(t, "east")
				if !ever {
					c.commit(nil)
				}
				before := c.commit(files)
				for range 2 {
					c.restart()
					if diff := cmp.Diff(before, c.run()); diff != "" {
						t.Errorf("after a restart: -before, +after:\n%s", diff)
					}
				}
				// And in the commits after it.
				if diff := cmp.Diff(before, c.commit(nil)); diff != "" {
					t.Errorf("after the next commit: -before, +after:\n%s", diff)
				}
			})
		}
	}
}

func TestServicesFrozenAtSeveralCommitsAreRestored(t *testing.T) {
	c := newCluster(t, "east")
	c.commit(nil)
	c.commit(map[string]string{"services/web.cue": pipelineService("web", bothClusters, "egres: {cart: {}, stock: {}}")})
	c.commit(map[string]string{"services/stock.cue": pipelineService("stock", "placement: west: {}", `versions: v1: labels: version: "v1"`)})
	c.commit(map[string]string{"services/stock.cue": "package config\n\nservices: stock: {"})
	c.commit(map[string]string{"services/cart.cue": pipelineService("cart", bothClusters, "egress: stock: {}", `versions: v1: labels: version: "v1"`)})
	before := c.commit(map[string]string{"services/cart.cue": pipelineService("cart", bothClusters, badRoute)})
	frozen := c.ms.Status.Frozen
	c.restart()
	if diff := cmp.Diff(before, c.run()); diff != "" {
		t.Errorf("-before, +after:\n%s", diff)
	}
	if diff := cmp.Diff(frozen, c.ms.Status.Frozen); diff != "" || len(frozen) != 3 {
		t.Errorf("frozen %v: %s", frozen, diff)
	}
}

// The cluster has objects of a service, but the status has no applied revision: after a first sync
// with a refused object, after a partly failed first sync, or with a new MeshSync.
func TestBrokenServiceIsKeptIfNoCommitWasFullyApplied(t *testing.T) {
	c := newCluster(t, "east")
	before := c.commit(nil)
	c.ms.Status.LastAppliedRevision = ""
	c.restart()
	c.commit(map[string]string{"services/cart.cue": pipelineService("cart", bothClusters, "egres: stock: {}")})
	lost := c.m.rendered.bundle.Lost
	if diff := cmp.Diff(before, c.run()); diff != "" && len(lost) == 0 {
		t.Errorf("the broken service was pruned: -before, +after:\n%s", diff)
	}
}

// A later commit was applied except for a refused object, so the last fully applied revision is
// older than the service.
func TestBrokenServiceIsKeptAfterALaterPartlyAppliedCommit(t *testing.T) {
	c := newCluster(t, "east")
	c.commit(nil)
	whole := c.ms.Status.LastAppliedRevision
	before := c.commit(map[string]string{"services/new.cue": pipelineService("new", bothClusters, "egress: cart: {}"), "services/fan.cue": pipelineService("fan", bothClusters, "egress: new: {}")})
	c.ms.Status.LastAppliedRevision = whole
	c.restart()
	c.commit(map[string]string{"services/new.cue": pipelineService("new", bothClusters, "egres: cart: {}")})
	lost := c.m.rendered.bundle.Lost
	if diff := cmp.Diff(before, c.run()); diff != "" && len(lost) == 0 {
		t.Errorf("the broken service was pruned: -before, +after:\n%s", diff)
	}
}

func TestHeldCommitReportsItsErrors(t *testing.T) {
	c := newCluster(t, "east")
	c.commit(nil)
	c.commit(map[string]string{"services/cart.cue": pipelineService("cart", bothClusters, "egres: stock: {}")})
	o := held(c.ms, c.m.rendered.bundle, &plans.Plan{Guard: &plans.Guard{Kind: plans.MassDeletion}})
	if len(o.errors) == 0 || o.brokenCount == 0 {
		t.Errorf("errors: %v, broken: %d", o.errors, o.brokenCount)
	}
}

func TestNothingIsRemovedWhileTheLastKnownGoodManifestIsUnknown(t *testing.T) {
	c := newCluster(t, "east")
	c.commit(nil)
	basis := c.ms.Status.LastKnownGoodRevision
	// The history was rewritten and the process restarted: Git lacks the revision in the status.
	first := c.commits[fmt.Sprintf("%040d", 1)]
	c.commits[first.Commit] = nil
	c.restart()
	c.r.fetcher = gone{c.commits}
	broken := map[string]string{"services/cart.cue": pipelineService("cart", bothClusters, "egres: stock: {}")}
	c.commit(broken)
	for range 2 {
		bundle := c.m.rendered.bundle
		if diff := cmp.Diff([]string{"cart"}, bundle.Lost); diff != "" || !strings.Contains(syncrun.UnknownServices(bundle).String(), "the last known good manifest cannot be found: ") {
			t.Errorf("lost: %v, keeping: %q", bundle.Lost, syncrun.UnknownServices(bundle))
		}
		if c.ms.Status.LastKnownGoodRevision != basis || len(c.ms.Status.Frozen) > 0 {
			t.Errorf("the status lost the last known good revision: %+v", c.ms.Status)
		}
		if said := frozenMessage(bundle); !strings.Contains(said, "nothing is deleted or narrowed") || !strings.Contains(said, "cart") {
			t.Errorf("message: %s", said)
		}
		c.commit(map[string]string{"services/stock.cue": pipelineService("stock", "placement: west: {}", `versions: v1: labels: version: "v1"`)})
	}
	// Git has the commit again. It is fetched when the failed result has expired.
	c.r.fetcher = c.commits
	c.commits[first.Commit] = first
	c.r.now = func() time.Time { return time.Now().Add(time.Hour) }
	c.run()
	if lost := c.m.rendered.bundle.Lost; len(lost) > 0 || len(c.ms.Status.Frozen) != 1 || c.ms.Status.Frozen[0].Revision != basis {
		t.Errorf("lost: %v, frozen: %v", lost, c.ms.Status.Frozen)
	}
}

// gone is a Fetcher without earlier commits.
type gone struct{ commits }

func (g gone) FetchCommit(ctx context.Context, ms *v1alpha1.MeshSync, commit string) (*source.Snapshot, error) {
	if g.commits[commit] == nil {
		return nil, fmt.Errorf("there is no commit %s any more", commit)
	}
	return g.commits.FetchCommit(ctx, ms, commit)
}

// Istio rejects a template in each service that uses it, so the last known good manifest is
// rejected too.
func TestRejectedLastKnownGoodManifestIsRemembered(t *testing.T) {
	c := newCluster(t, "east")
	c.commit(nil)
	good := c.m.lastKnownGood.manifests.Revision("cart")
	refusing := `@experiment(explicitopen)

package config

import mesh "isthmus.dev/mesh"

#template: mesh.#Template... & {
	name:      _
	resources: _
	if name == "cart" {
		resources: [=~"^DestinationRule/"]: spec: trafficPolicy: connectionPool: tcp: connectTimeout: "soon"
	}
}
`
	c.commit(map[string]string{"refusing.cue": refusing})
	bundle := c.m.rendered.bundle
	if !cmp.Equal(bundle.Lost, []string{"cart"}) || syncrun.UnknownServices(bundle) == nil {
		t.Fatalf("lost: %v, keeping %q, findings: %v", bundle.Lost, syncrun.UnknownServices(bundle), bundle.Findings)
	}
	if c.m.lastKnownGood.manifests.Revision("cart") != good || !cmp.Equal(c.ms.Status.Frozen, []v1alpha1.FrozenService{{Service: "cart", Revision: good}}) {
		t.Errorf("last known good revision: %q, frozen: %v, want %q", c.m.lastKnownGood.manifests.Revision("cart"), c.ms.Status.Frozen, good)
	}
	c.restart()
	c.run()
	if lost := c.m.rendered.bundle.Lost; !cmp.Equal(lost, []string{"cart"}) {
		t.Errorf("after a restart: lost %v", lost)
	}
	c.commit(map[string]string{"refusing.cue": ""})
	if b := c.m.rendered.bundle; len(b.Lost) > 0 || len(b.Frozen) > 0 {
		t.Errorf("after the fix: lost: %v, frozen: %v", b.Lost, b.Frozen)
	}
}
