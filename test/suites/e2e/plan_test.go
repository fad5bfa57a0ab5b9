package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

// What the command says beforehand is what the controller then does: the same verbs, and every object as it was shown.
func TestAPlanIsWhatTheControllerThenDoes(t *testing.T) {
	w := newWorld(t)
	applied := w.Git.Commit(many(2))
	p := w.person(reader)
	if _, stderr := p.plan(2); !strings.Contains(stderr, "--cluster") {
		t.Errorf("without a MeshSync somebody has to say which cluster this is: %s", stderr)
	}
	first := p.report(0, "--cluster", east)
	if len(w.Objects()) != 0 {
		t.Fatal("a plan wrote something")
	}
	if text, _ := p.plan(0, "--cluster", east); !strings.Contains(text, "first sync") {
		t.Errorf("nothing says that there is no MeshSync yet:\n%s", text)
	}
	w.start()
	w.Create("mesh")
	w.ready("mesh", applied)
	w.isAsShown(first, "create")

	settled := p.report(0)
	if len(settled.Actions) != 0 || len(settled.Namespaces) != 0 || settled.Unchanged != len(w.ours()) || settled.MeshSync != namespace+"/mesh" ||
		!strings.HasSuffix(settled.Applied, applied) {
		t.Errorf("all is applied, and the plan is %+v", settled)
	}

	// A change that is in the folder only: a service is new, one is changed, and one goes.
	w.Git.Write("services/hub.cue", gitops.Service{Name: "hub", In: []string{east}, Egress: []string{"item-0", "news"}}.String())
	w.Git.Write("services/news.cue", gitops.Service{Name: "news", In: []string{west}}.String())
	w.Git.Write("services/item-0.cue", gitops.Service{Name: "item-0", In: []string{west}, More: `ports: admin: {port: 81, protocol: "HTTP"}`}.String())
	w.Git.Write("services/item-1.cue", "")
	before := w.versions()
	next := p.report(0)
	seen := map[string]bool{}
	for _, a := range next.Actions {
		seen[a.Verb] = true
	}
	if !seen["create"] || !seen["update"] || !seen["delete"] {
		t.Errorf("the change creates, updates and deletes, and the plan does %v", next.verbs())
	}
	diff, _ := p.plan(0, "-o", "diff")
	text, _ := p.plan(0)
	if strings.Contains(text, " \n") {
		t.Errorf("lines end with spaces:\n%s", text)
	}
	for _, a := range next.Actions {
		key := a.Kind + "/" + a.Namespace + "/" + a.Name
		if !strings.Contains(text, key) || !strings.Contains(diff, key) {
			t.Errorf("neither text nor diff may leave out %s:\n%s\n%s", key, text, diff)
		}
		for _, field := range a.Fields[:min(len(a.Fields), 5)] {
			if !strings.Contains(text, field) {
				t.Errorf("the text does not say that %s of %s changes:\n%s", field, key, text)
			}
		}
	}
	one := p.report(0, "--service", "news")
	for _, a := range one.Actions {
		if a.Service != "news" {
			t.Errorf("--service news shows what is done for %q", a.Service)
		}
	}
	if len(one.Actions) == 0 || len(one.Actions) == len(next.Actions) {
		t.Errorf("--service news shows %d of %d actions", len(one.Actions), len(next.Actions))
	}
	if diff := cmp.Diff(before, w.versions()); diff != "" {
		t.Errorf("a plan wrote something: -before, +after:\n%s", diff)
	}
	w.ready("mesh", w.Git.Commit(nil))
	w.isAsShown(next, "create", "update", "delete")
	after := w.versions()
	verbs := next.verbs()
	for key := range before {
		if verbs[key] == "" && before[key] != after[key] {
			t.Errorf("%s was written, and the plan had nothing to do with it", key)
		}
	}
}

// isAsShown holds the cluster against what a plan showed; the verbs are all that it may have.
func (w *world) isAsShown(r report, verbs ...string) {
	w.T.Helper()
	objects := w.Objects()
	for key, verb := range r.verbs() {
		if !strings.Contains(strings.Join(verbs, " "), verb) {
			w.T.Errorf("the plan was to %s %s", verb, key)
		}
	}
	for key, want := range r.after() {
		object := objects[key]
		if object == nil {
			w.T.Errorf("%s was to be there", key)
			continue
		}
		if diff := cmp.Diff(want, plain(w.T, object)); diff != "" {
			w.T.Errorf("%s is not as it was shown: -shown, +is:\n%s", key, diff)
		}
	}
	for _, a := range r.Actions {
		key := a.Kind + "/" + a.Namespace + "/" + a.Name
		if a.Verb == "delete" && objects[key] != nil {
			w.T.Errorf("%s was to be deleted", key)
		}
		if a.Verb == "create" && a.Before != nil || a.Verb == "update" && (a.Before == nil || len(a.Fields) == 0) {
			w.T.Errorf("a plan to %s %s shows before %v and fields %v", a.Verb, key, a.Before, a.Fields)
		}
	}
}

// A plan tells beforehand what would be held, and by which digest it passes; and what would be refused.
func TestAPlanTellsWhatAPersonHasToDo(t *testing.T) {
	w := newWorld(t)
	p := w.person(reader)
	w.start()
	w.Create("mesh")
	w.ready("mesh", w.Git.Commit(many(12)))

	for name, text := range without(many(12)) {
		w.Git.Write(name, text)
	}
	held := p.report(1)
	if held.Brake == nil || held.Brake.Kind != "MassDeletion" || len(held.Stops) != 1 || !strings.Contains(held.Stops[0], "isthmus.dev/acknowledge="+held.Brake.Digest) {
		t.Fatalf("the plan of a mass deletion says %+v", held)
	}
	if text, _ := p.plan(1); !strings.Contains(text, "not now:") || !strings.Contains(text, held.Brake.Digest) {
		t.Errorf("the text does not say how to let it pass:\n%s", text)
	}
	ms := w.refuses("mesh", "MassDeletion", w.Git.Commit(nil))
	if ms.Status.Held.Digest != held.Brake.Digest {
		t.Errorf("the digest was to be %s, and is %s", held.Brake.Digest, ms.Status.Held.Digest)
	}

	w.Git.Restore(w.Git.First)
	for name, text := range many(12) {
		w.Git.Write(name, text)
	}
	w.ready("mesh", w.Git.Commit(nil))
	w.Git.Write("services/taken.cue", gitops.Service{Name: "taken", In: []string{west}}.String())
	w.Git.Write("services/web.cue", gitops.Service{Name: "web", In: []string{east}, Egress: []string{"cart", "taken"}}.String())
	entry := ""
	for _, a := range p.report(0, "--service", "taken").Actions {
		if a.Kind == "ServiceEntry" {
			entry = a.Namespace + "/" + a.Name
		}
	}
	where, name, found := strings.Cut(entry, "/")
	if !found {
		t.Fatal("the service that is called has no ServiceEntry in the plan")
	}
	w.make(stranger(where, name))
	refused := p.report(1)
	for _, a := range refused.Actions {
		if a.Name == name && a.Kind == "ServiceEntry" && (a.Verb != "refuse" || !strings.Contains(a.Reason, "Isthmus did not write") || a.After != nil) {
			t.Errorf("what somebody else has is to be refused: %+v", a)
		}
	}

	if text, _ := p.plan(1); !strings.Contains(text, " 1 refused") || strings.Contains(text, "left alone,") {
		t.Errorf("it counts as the status does:\n%s", text)
	}

	w.Git.Restore(w.Git.First)
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Suspend = true })
	if suspended := p.report(1); len(suspended.Stops) == 0 || !strings.Contains(suspended.Stops[0], "suspend") {
		t.Errorf("a MeshSync that is suspended does nothing: %+v", suspended.Stops)
	}
}

// Where the folder is what is applied, all that differs was changed by somebody. That waits for nobody, and what a person wants left alone is no reason to act.
func TestAPlanTellsDriftFromAChange(t *testing.T) {
	w := newWorld(t)
	p := w.person(reader)
	w.start()
	w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.RoutingDelay = &metav1.Duration{Duration: time.Hour} })
	w.ready("mesh", w.Git.First)
	const entry, rule = "ServiceEntry/stock/stock.stock.global-remote", "DestinationRule/stock/stock.stock.global"
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Suspend = true })
	objects := w.Objects()
	must(t, w.Admin.Delete(t.Context(), objects[entry]))
	alone := objects[rule]
	alone.SetAnnotations(map[string]string{"isthmus.dev/reconcile": "disabled"})
	must(t, unstructured.SetNestedField(alone.Object, "changed.example.com", "spec", "host"))
	must(t, w.Admin.Update(t.Context(), alone))

	while := p.report(1)
	if got := while.verbs(); got[entry] != "create" || got[rule] != "refuse" || len(got) != 2 {
		t.Errorf("while it is suspended the plan is %v", got)
	}
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Suspend = false })
	w.Until("the entry is back", func() (bool, string) { return w.Objects()[entry] != nil, "it is not" })
	if got := p.report(0).verbs(); got[rule] != "refuse" || len(got) != 1 {
		t.Errorf("with what is left alone the plan is %v", got)
	}
	if text, _ := p.plan(0); !strings.Contains(text, "plan: 1 left alone, ") || strings.Contains(text, "refused") {
		t.Errorf("it counts as the status does:\n%s", text)
	}
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Finalizers = append(ms.Finalizers, "example.com/kept") })
	must(t, w.Admin.Delete(t.Context(), w.Get("mesh")))
	if r := p.report(1); len(r.Stops) != 1 || !strings.Contains(r.Stops[0], "deleted") {
		t.Errorf("a MeshSync that is being deleted applies nothing: %q", r.Stops)
	}
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Finalizers = nil })
}

// A hand-over is planned beforehand: the one that waits claims what the older one leaves.
func TestAPlanOfOneThatWaitsIsThatOfTheSuccessor(t *testing.T) {
	w := newWorld(t)
	p := w.person(reader)
	commit := w.Git.Commit(map[string]string{
		"services/depot.cue": gitops.Service{Name: "depot", In: []string{east}}.String(), "services/shop.cue": gitops.Service{Name: "shop", In: []string{west}, Egress: []string{"depot"}}.String(),
	})
	w.start()
	w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
	w.ready("mesh", commit)
	w.Create("renamed")
	next := p.report(1, "--meshsync", namespace+"/renamed")
	if len(next.Stops) != 1 || !strings.Contains(next.Stops[0], namespace+"/mesh is older") || !strings.Contains(next.Stops[0], "once the other is gone") {
		t.Errorf("it says that another one acts, and what the plan is of: %q", next.Stops)
	}
	if len(next.Actions) != len(w.ours()) || next.verbs()["Gateway/istio-system/isthmus-crosscluster"] != "update" {
		t.Errorf("it is to claim all %d objects, and the plan is %v", len(w.ours()), next.verbs())
	}
	if len(next.Problems) > 0 {
		t.Errorf("nothing is wrong with the cluster: %+v", next.Problems)
	}
	w.Change("renamed", func(ms *v1alpha1.MeshSync) { ms.Spec.Mode = v1alpha1.ModeObserve })
	if r := p.report(1, "--meshsync", namespace+"/renamed"); !strings.Contains(strings.Join(r.Stops, " "), "the other would delete them") {
		t.Errorf("one that may not write inherits nothing: %q", r.Stops)
	}
	w.Change("renamed", func(ms *v1alpha1.MeshSync) { ms.Spec.Mode = v1alpha1.ModeApply })
	w.delete("mesh")
	w.ready("renamed", commit)
	w.isAsShown(next, "update")
}

// What would be adopted is shown as the controller then writes it.
func TestAPlanShowsWhatAnAdoptionWouldWrite(t *testing.T) {
	w := newWorld(t)
	p := w.person(reader)
	const key = "ServiceEntry/stock/stock.stock.global-remote"
	w.make(stranger("stock", "stock.stock.global-remote"))
	w.start()
	w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Adopt = &v1alpha1.Adopt{Names: []string{key}} })
	w.NotReady("mesh", v1alpha1.ReasonRefused)

	told := p.report(1)
	if told.verbs()[key] != "refuse" || len(told.Actions) != 1 || told.Actions[0].Before == nil || told.Actions[0].After == nil {
		t.Fatalf("it is refused, with what would be written: %+v", told.Actions)
	}
	if diff, _ := p.plan(1, "-o", "diff"); !strings.Contains(diff, "\n-  - stock.stock.global-remote.example.com\n") || !strings.Contains(diff, "\n+  - stock.stock.global\n") {
		t.Errorf("the diff does not have both hosts:\n%s", diff)
	}
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Adopt.Mode = v1alpha1.ModeApply })
	w.ready("mesh", w.Git.First)
	w.isAsShown(told, "refuse")
}

// broken is a service that does not evaluate.
func broken(name string) string { return "package config\n\nservices: " + name + ": egres: {}\n" }

// What is broken is told as vet tells it, and the rest is planned as it is applied.
func TestAPlanHasTheRestBesideABrokenService(t *testing.T) {
	w := newWorld(t)
	p := w.person(reader)
	w.Git.Write("services/web.cue", broken("web"))
	first := p.report(1, "--cluster", east)
	if len(first.Actions) == 0 || len(first.Findings) == 0 || first.Findings[0].Service != "web" {
		t.Fatalf("nothing of the mesh is here, so all but the broken service is made: %+v", first)
	}
	if _, stderr := p.plan(1, "--cluster", east); !strings.Contains(stderr, "web.cue:3") || !strings.Contains(stderr, "the rest was planned") {
		t.Errorf("findings are told as vet tells them: %s", stderr)
	}
	w.start()
	w.Create("mesh")
	w.refuses("mesh", v1alpha1.ReasonServicesFrozen, w.Git.Commit(nil))
	w.isAsShown(first, "create")
	if len(w.ours()) != len(first.Actions) {
		t.Errorf("the controller made %d objects, and %d were shown", len(w.ours()), len(first.Actions))
	}

	w.ready("mesh", w.Git.Restore(w.Git.First))
	w.ready("mesh", w.Git.Commit(many(2)))
	w.Git.Write("services/stock.cue", broken("stock"))
	w.Git.Write("services/item-0.cue", gitops.Service{Name: "item-0", In: []string{west}, More: `ports: admin: {port: 81, protocol: "HTTP"}`}.String())
	w.Git.Write("services/item-1.cue", "")
	w.Git.Write("services/hub.cue", gitops.Service{Name: "hub", In: []string{east}, Egress: []string{"item-0"}}.String())
	next := p.report(1)
	for key, verb := range next.verbs() {
		of := strings.Split(key, "/")[1]
		if want := map[string]string{"stock": "hold", "item-0": "update", "item-1": "hold"}[of]; want != "" && verb != want {
			t.Errorf("the plan is to %s %s, want %s", verb, key, want)
		}
	}
	if next.verbs()["ServiceEntry/stock/stock.stock.global-remote"] != "hold" || next.verbs()["ServiceEntry/item-0/item-0.item-0.global-remote"] != "update" {
		t.Errorf("the plan is %v", next.verbs())
	}
	out, stderr := p.plan(1, "--service", "stock")
	if !strings.Contains(stderr, "stock.cue:3") || !strings.Contains(stderr, "left as they are here") {
		t.Errorf("it does not say what becomes of the broken service: %s", stderr)
	}
	if strings.Contains(out, "namespace stock") {
		t.Errorf("what is left as it is needs its namespace:\n%s", out)
	}
	w.refuses("mesh", v1alpha1.ReasonServicesFrozen, w.Git.Commit(nil))
	w.isAsShown(next, "create", "update", "hold")

	w.Change("mesh", halting)
	if out, stderr := p.plan(1); out != "" || !strings.Contains(stderr, "stock.cue:3") || !strings.Contains(stderr, "nothing was planned") {
		t.Errorf("nothing of it is applied, so nothing is planned: %s%s", out, stderr)
	}
}

// What stays for a while is told with its time, once; and what is held without a brake is left alone.
func TestAPlanTellsWhatStaysAndForHowLong(t *testing.T) {
	w := newWorld(t)
	p := w.person(reader)
	w.start()
	w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.WithdrawAfter = &metav1.Duration{Duration: time.Hour} })
	w.ready("mesh", w.Git.Commit(map[string]string{
		"services/depot.cue": gitops.Service{Name: "depot", In: []string{east}}.String(), "services/shop.cue": gitops.Service{Name: "shop", In: []string{west}, Egress: []string{"depot"}}.String(),
	}))
	kept := w.Objects()["DestinationRule/stock/stock.stock.global"]
	kept.SetAnnotations(map[string]string{"isthmus.dev/prune": "disabled"})
	must(t, w.Admin.Update(t.Context(), kept))
	w.Git.Write("services/depot.cue", "")
	w.Git.Write("services/shop.cue", "")
	w.Git.Write("services/stock.cue", "")
	w.Git.Write("services/cart.cue", gitops.Service{Name: "cart", In: []string{east, west}}.String())
	w.Git.Write("services/web.cue", gitops.Service{Name: "web", In: []string{east}, Egress: []string{"cart"}}.String())

	text, _ := p.plan(0)
	staying := 0
	for line := range strings.Lines(text) {
		if strings.Contains(line, "spec.withdrawAfter is 1h0m0s") {
			staying++
			if times := strings.Count(line, "goes at"); times != 1 {
				t.Errorf("it says %d times when it goes: %s", times, line)
			}
		}
	}
	if staying == 0 || !strings.Contains(text, "1 left alone") || strings.Contains(text, "held") {
		t.Errorf("the plan is\n%s", text)
	}
}

// Whatever is wrong with the cluster or the command line, it is said, and nothing else.
func TestAPlanThatCannotBeMadeSaysWhy(t *testing.T) {
	w := newWorld(t)
	w.Create("mesh")
	p := w.person(reader[1:])
	for _, tc := range []struct {
		what string
		args []string
		want string
	}{
		{"kinds that may not be listed", nil, "serviceentries.networking.istio.io"},
		{"another cluster", []string{"--cluster", west}, "this is cluster east"},
		{"a context that is not there", []string{"--context", "nowhere"}, "nowhere"},
		{"a kubeconfig that is not there", []string{"--kubeconfig", "/nowhere/kubeconfig"}, "/nowhere/kubeconfig"},
		{"a MeshSync that is not there", []string{"--meshsync", "isthmus-system/mash"}, "did you mean isthmus-system/mesh"},
		{"an unknown service", []string{"--service", "crat"}, "cart"},
		{"an unknown form", []string{"-o", "yaml"}, "text, diff, json"},
	} {
		if out, stderr := p.plan(2, tc.args...); out != "" || !strings.Contains(stderr, tc.want) {
			t.Errorf("%s: %q is not in:\n%s%s", tc.what, tc.want, out, stderr)
		}
	}
}
