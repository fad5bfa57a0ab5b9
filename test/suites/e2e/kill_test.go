package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

// kills is how many times the process is killed between two of its writes.
const kills = 24

// seed is that of a run to repeat (E2E_SEED), or a new one; it is printed either way.
func seed(t *testing.T) *rand.Rand {
	t.Helper()
	n := uint64(time.Now().UnixNano())
	if text := os.Getenv("E2E_SEED"); text != "" {
		var err error
		n, err = strconv.ParseUint(text, 10, 64)
		must(t, err)
	}
	t.Logf("E2E_SEED=%d repeats this choice of instants", n)
	return rand.New(rand.NewPCG(n, n))
}

// states are repositories that differ in which services there are, where they run and how they are reached. In all of them
// web runs in east and calls cart and stock.
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

// commitState commits one of them.
func commitState(git *gitops.Repository, files map[string]string) string {
	git.T.Helper()
	git.Write("services", "")
	return git.Commit(files)
}

// hosts watches which names the ServiceEntries of a cluster give, at every moment.
type hosts struct {
	mutex sync.Mutex
	of    map[string][]string
	// always are those that must be there from now on; missed are the moments when one was not.
	always []string
	missed []string
}

func (w *world) watchHosts() *hosts {
	w.T.Helper()
	watching, err := client.NewWithWatch(w.Cluster.Config, client.Options{})
	must(w.T, err)
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion("networking.istio.io/v1")
	list.SetKind("ServiceEntryList")
	must(w.T, watching.List(w.T.Context(), list))
	h := &hosts{of: map[string][]string{}}
	for i := range list.Items {
		h.of[gitops.Key(&list.Items[i])], _, _ = unstructured.NestedStringSlice(list.Items[i].Object, "spec", "hosts")
	}
	events, err := watching.Watch(context.Background(), list, &client.ListOptions{})
	must(w.T, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for event := range events.ResultChan() {
			h.see(event)
		}
	}()
	w.T.Cleanup(func() { events.Stop(); <-done })
	return h
}

func (h *hosts) see(event watch.Event) {
	entry, ok := event.Object.(*unstructured.Unstructured)
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if !ok {
		h.missed = append(h.missed, fmt.Sprintf("the watch broke off with %v, so nothing is known any more", event.Object))
		return
	}
	if event.Type == watch.Deleted {
		delete(h.of, gitops.Key(entry))
	} else {
		h.of[gitops.Key(entry)], _, _ = unstructured.NestedStringSlice(entry.Object, "spec", "hosts")
	}
	for _, host := range h.always {
		if !h.has(host) {
			h.missed = append(h.missed, fmt.Sprintf("after %s of %s there is no ServiceEntry of %s", event.Type, gitops.Key(entry), host))
		}
	}
}

func (h *hosts) has(host string) bool {
	for _, of := range h.of {
		if slices.Contains(of, host) {
			return true
		}
	}
	return false
}

// require names the hosts that must be there from now on.
func (h *hosts) require(always ...string) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.always = always
}

func (h *hosts) absences() []string {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return slices.Clone(h.missed)
}

// halfOwned are the objects with one mark only.
func (w *world) halfOwned() []string {
	w.T.Helper()
	var out []string
	for key, object := range w.Objects() {
		if managed(object) != (object.GetLabels()[partOf] != "") {
			out = append(out, key)
		}
	}
	return out
}

func TestKilledBetweenAnyTwoWritesItConvergesAndLosesNothing(t *testing.T) {
	random := seed(t)
	w := newWorld(t)
	foreign := map[string]string{}
	for _, object := range []*unstructured.Unstructured{stranger("cart", "foreign"), stranger("a", "foreign"), stranger("istio-system", "foreign")} {
		made := w.make(object)
		foreign[gitops.Key(made)] = string(made.GetUID()) + " " + made.GetResourceVersion()
	}
	all := states()
	names := w.watchHosts()
	noLease := "--enable-leader-election=false"
	c := w.start(noLease)
	percent := int32(100)
	w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Prune.MaxPercent = &percent })
	w.ready("mesh", commitState(w.Git, all[0]))
	names.require("cart.cart.global", "stock.stock.global")

	at := 0
	for round, killed := 0, 0; killed < kills; round++ {
		if round > 4*kills {
			t.Fatalf("in %d commits the process was killed only %d times", round, killed)
		}
		at = (at + 1 + random.IntN(len(all)-1)) % len(all)
		n, heard := 1+random.IntN(14), random.IntN(2) == 0
		c.wire.killAt(n, heard)
		commit := commitState(w.Git, all[at])
		w.Until("the commit is applied or the process is killed", func() (bool, string) {
			ms := w.Get("mesh")
			return !c.running() || conditions.IsReady(ms) && strings.HasSuffix(ms.Status.LastAppliedRevision, commit), describe(ms)
		})
		c.wire.killAt(0, false)
		what := fmt.Sprintf("commit %d, state %d", round, at)
		if !c.running() {
			killed++
			what += fmt.Sprintf(", killed at write %d, heard by the API server: %v", n, heard)
			c.wire.settle()
			if half := w.halfOwned(); len(half) > 0 {
				t.Errorf("%s: half owned: %v", what, half)
			}
			c = w.start(noLease)
		}
		w.ready("mesh", commit)
		want := map[string]bool{}
		for key := range exported(w.Git, commit, east) {
			want[key] = true
		}
		for key := range foreign {
			want[key] = true
		}
		versions, got := w.versions(), map[string]bool{}
		for key := range versions {
			got[key] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: something is left over or missing: -want, +got:\n%s", what, diff)
		}
		maps.DeleteFunc(versions, func(key, _ string) bool { return foreign[key] == "" })
		if diff := cmp.Diff(foreign, versions); diff != "" {
			t.Errorf("%s: something foreign was touched: -before, +after:\n%s", what, diff)
		}
		if absent := names.absences(); len(absent) > 0 {
			t.Errorf("%s: a name that is called was absent: %v", what, absent)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
}

func TestKilledWhileItDeletesForItsFinalizerNothingIsLeft(t *testing.T) {
	random := seed(t)
	for range 4 {
		w := newWorld(t)
		foreign := w.make(stranger("cart", "foreign"))
		c := w.start("--enable-leader-election=false")
		w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
		w.ready("mesh", commitState(w.Git, states()[1]))
		objects := len(w.ours())
		n, heard := 1+random.IntN(objects+1), random.IntN(2) == 0
		what := fmt.Sprintf("killed at write %d of about %d, heard by the API server: %v", n, objects+1, heard)
		c.wire.killAt(n, heard)
		must(t, w.Admin.Delete(t.Context(), w.Get("mesh")))
		w.Until(what, func() (bool, string) { return !c.running(), "it runs still" })
		c.wire.settle()
		second := w.start("--enable-leader-election=false")
		w.Until(what+": the MeshSync is gone", func() (bool, string) {
			err := w.Admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "mesh"}, &v1alpha1.MeshSync{})
			return apierrors.IsNotFound(err), fmt.Sprint(err)
		})
		want := map[string]string{gitops.Key(foreign): string(foreign.GetUID()) + " " + foreign.GetResourceVersion()}
		if diff := cmp.Diff(want, w.versions()); diff != "" {
			t.Errorf("%s: -want, +left:\n%s", what, diff)
		}
		// Without a lease, it would meddle with the next round's MeshSync.
		second.stop()
	}
}
