package e2e_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

// kills is the number of kills in one test.
const kills = 24

// seed logs the seed of the random choices. E2E_SEED sets it.
func seed(t *testing.T) *rand.Rand {
	t.Helper()
	n := uint64(time.Now().UnixNano())
	if text := os.Getenv("E2E_SEED"); text != "" {
		var err error
		n, err = strconv.ParseUint(text, 10, 64)
		must(t, err)
	}
	t.Logf("E2E_SEED=%d repeats this run", n)
	return rand.New(rand.NewPCG(n, n))
}

// states are service files of repositories with different services, placements and routes. In all
// of them web runs in east and calls cart and stock.
func states() []map[string]string {
	web := func(more ...string) string {
		return gitops.Service{Name: "web", In: []string{east}, Egress: append([]string{"cart", "stock"}, more...)}.String()
	}
	route := `routes: [{match: [{headers: "end-user": exact: "jason"}], timeout: "2s"}]`
	return []map[string]string{
		{
			"services/web.cue": web(), "services/cart.cue": gitops.Service{Name: "cart", In: []string{east, west}}.String(),
			"services/stock.cue": gitops.Service{Name: "stock", In: []string{west}}.String(),
		},
		{
			"services/web.cue": web("a", "b", "c"), "services/cart.cue": gitops.Service{Name: "cart", In: []string{west}, More: route}.String(),
			"services/stock.cue": gitops.Service{Name: "stock", In: []string{east}}.String(),
			"services/a.cue":     gitops.Service{Name: "a", In: []string{west}}.String(),
			"services/b.cue":     gitops.Service{Name: "b", In: []string{west, east}, More: route}.String(),
			"services/c.cue":     gitops.Service{Name: "c", In: []string{east}}.String(),
		},
		{
			"services/web.cue": web("c", "d"), "services/cart.cue": gitops.Service{Name: "cart", In: []string{east}}.String(),
			"services/stock.cue": gitops.Service{Name: "stock", In: []string{east, west}, More: route}.String(),
			"services/c.cue":     gitops.Service{Name: "c", In: []string{west}}.String(),
			"services/d.cue":     gitops.Service{Name: "d", In: []string{west}}.String(),
			"services/far.cue":   gitops.Service{Name: "far", In: []string{west}, Egress: []string{"cart", "c"}}.String(),
		},
	}
}

// commitState replaces all service files and commits.
func commitState(git *gitops.Repository, files map[string]string) string {
	git.T.Helper()
	git.Write("services", "")
	return git.Commit(files)
}

// halfOwned returns the keys of objects with only one of the two ownership marks.
func (env *environment) halfOwned() []string {
	env.T.Helper()
	var out []string
	for key, object := range env.Objects() {
		if gitops.Managed(object) != (object.GetLabels()[partOf] != "") {
			out = append(out, key)
		}
	}
	return out
}

func TestControllerKilledAtAnyWriteConvergesAfterARestart(t *testing.T) {
	random := seed(t)
	env := newEnvironment(t)
	foreign := map[string]string{}
	for _, object := range []*unstructured.Unstructured{foreignEntry("cart", "foreign"), foreignEntry("a", "foreign"), foreignEntry("istio-system", "foreign")} {
		created := env.create(object)
		foreign[gitops.Key(created)] = gitops.Version(created)
	}
	all := states()
	hosts := gitops.WatchHosts(t, env.Cluster.Config)
	noLease := "--enable-leader-election=false"
	c := env.start(noLease)
	percent := int32(100)
	env.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Prune.MaxPercent = &percent })
	env.ready("mesh", commitState(env.Git, all[0]))
	hosts.Require("cart.cart.global", "stock.stock.global")

	at := 0
	for round, killed := 0, 0; killed < kills; round++ {
		if round > 4*kills {
			t.Fatalf("the process was killed only %d times in %d commits", killed, round)
		}
		at = (at + 1 + random.IntN(len(all)-1)) % len(all)
		n, afterWrite := 1+random.IntN(14), random.IntN(2) == 0
		c.recorder.killAt(n, afterWrite)
		commit := commitState(env.Git, all[at])
		env.Until("the commit is applied or the process is killed", func() (bool, string) {
			ms := env.Get("mesh")
			return !c.Running() || conditions.IsReady(ms) && strings.HasSuffix(ms.Status.LastAppliedRevision, commit), describe(ms)
		})
		c.recorder.killAt(0, false)
		what := fmt.Sprintf("commit %d, state %d", round, at)
		if !c.Running() {
			killed++
			what += fmt.Sprintf(", killed at write %d, performed by the API server: %v", n, afterWrite)
			c.recorder.drain()
			if half := env.halfOwned(); len(half) > 0 {
				t.Errorf("%s: objects with one ownership mark: %v", what, half)
			}
			c = env.start(noLease)
		}
		env.ready("mesh", commit)
		want := map[string]bool{}
		for key := range exported(env.Git, commit, east) {
			want[key] = true
		}
		for key := range foreign {
			want[key] = true
		}
		versions, got := env.versions(), map[string]bool{}
		for key := range versions {
			got[key] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: objects are left over or missing: -want, +got:\n%s", what, diff)
		}
		maps.DeleteFunc(versions, func(key, _ string) bool { return foreign[key] == "" })
		if diff := cmp.Diff(foreign, versions); diff != "" {
			t.Errorf("%s: a foreign object was changed: -before, +after:\n%s", what, diff)
		}
		if hosts.Lists() > 1 {
			t.Errorf("%s: the watch of the hosts was interrupted", what)
		}
		if absent := hosts.Absences(); len(absent) > 0 {
			t.Errorf("%s: a required host was not defined: %v", what, absent)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
}

func TestControllerKilledDuringFinalizationLeavesNothing(t *testing.T) {
	random := seed(t)
	for range 4 {
		env := newEnvironment(t)
		foreign := env.create(foreignEntry("cart", "foreign"))
		c := env.start("--enable-leader-election=false")
		env.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
		env.ready("mesh", commitState(env.Git, states()[1]))
		objects := len(env.owned())
		n, afterWrite := 1+random.IntN(objects+1), random.IntN(2) == 0
		what := fmt.Sprintf("killed at write %d of about %d, performed by the API server: %v", n, objects+1, afterWrite)
		c.recorder.killAt(n, afterWrite)
		must(t, env.Admin.Delete(t.Context(), env.Get("mesh")))
		env.Until(what, func() (bool, string) { return !c.Running(), "it is still running" })
		c.recorder.drain()
		second := env.start("--enable-leader-election=false")
		env.Until(what+": the MeshSync is gone", func() (bool, string) {
			err := env.Admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "mesh"}, &v1alpha1.MeshSync{})
			return apierrors.IsNotFound(err), fmt.Sprint(err)
		})
		want := map[string]string{gitops.Key(foreign): gitops.Version(foreign)}
		if diff := cmp.Diff(want, env.versions()); diff != "" {
			t.Errorf("%s: -want, +left:\n%s", what, diff)
		}
		// Without a lease it would also act on the MeshSync of the next iteration.
		second.stop()
	}
}
