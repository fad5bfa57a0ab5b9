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

func TestControllerDoesWhatThePlanShowed(t *testing.T) {
	env := newEnvironment(t)
	applied := env.Git.Commit(manyServices(2))
	u := env.user(readerRules)
	if _, stderr := u.plan(2); !strings.Contains(stderr, "--cluster") {
		t.Errorf("without a MeshSync the command asks for --cluster: %s", stderr)
	}
	first := u.report(0, "--cluster", east)
	if len(env.Objects()) != 0 {
		t.Fatal("isthmus plan wrote objects")
	}
	if text, _ := u.plan(0, "--cluster", east); !strings.Contains(text, "first sync") {
		t.Errorf("the text does not say that this is a first sync:\n%s", text)
	}
	env.start()
	env.Create("mesh")
	env.ready("mesh", applied)
	env.matchesPlan(first, "create")

	unchanged := u.report(0)
	if len(unchanged.Actions) != 0 || len(unchanged.Namespaces) != 0 || unchanged.Unchanged != len(env.owned()) || unchanged.MeshSync != namespace+"/mesh" ||
		!strings.HasSuffix(unchanged.Applied, applied) {
		t.Errorf("all is applied, but the plan is %+v", unchanged)
	}

	// A change in the folder only: a service is added, one is changed, and one is removed.
	env.Git.Write("services/hub.cue", gitops.Service{Name: "hub", In: []string{east}, Egress: []string{"item-0", "news"}}.String())
	env.Git.Write("services/news.cue", gitops.Service{Name: "news", In: []string{west}}.String())
	env.Git.Write("services/item-0.cue", gitops.Service{Name: "item-0", In: []string{west}, More: `ports: admin: {port: 81, protocol: "HTTP"}`}.String())
	env.Git.Write("services/item-1.cue", "")
	before := env.versions()
	next := u.report(0)
	seen := map[string]bool{}
	for _, a := range next.Actions {
		seen[a.Verb] = true
	}
	if !seen["create"] || !seen["update"] || !seen["delete"] {
		t.Errorf("the change creates, updates and deletes, but the plan is %v", next.verbs())
	}
	diff, _ := u.plan(0, "-o", "diff")
	text, _ := u.plan(0)
	if strings.Contains(text, " \n") {
		t.Errorf("lines have trailing spaces:\n%s", text)
	}
	for _, a := range next.Actions {
		key := a.Kind + "/" + a.Namespace + "/" + a.Name
		if !strings.Contains(text, key) || !strings.Contains(diff, key) {
			t.Errorf("the text or the diff lacks %s:\n%s\n%s", key, text, diff)
		}
		for _, field := range a.Fields[:min(len(a.Fields), 5)] {
			if !strings.Contains(text, field) {
				t.Errorf("the text does not name the changed field %s of %s:\n%s", field, key, text)
			}
		}
	}
	one := u.report(0, "--service", "news")
	for _, a := range one.Actions {
		if a.Service != "news" {
			t.Errorf("--service news shows an action of service %q", a.Service)
		}
	}
	if len(one.Actions) == 0 || len(one.Actions) == len(next.Actions) {
		t.Errorf("--service news shows %d of %d actions", len(one.Actions), len(next.Actions))
	}
	if diff := cmp.Diff(before, env.versions()); diff != "" {
		t.Errorf("isthmus plan wrote objects: -before, +after:\n%s", diff)
	}
	env.ready("mesh", env.Git.Commit(nil))
	env.matchesPlan(next, "create", "update", "delete")
	after := env.versions()
	verbs := next.verbs()
	for key := range before {
		if verbs[key] == "" && before[key] != after[key] {
			t.Errorf("%s was written, but the plan did not contain it", key)
		}
	}
}

// matchesPlan compares the cluster with a plan. The plan may contain only these verbs.
func (env *environment) matchesPlan(r report, verbs ...string) {
	env.T.Helper()
	objects := env.Objects()
	for key, verb := range r.verbs() {
		if !strings.Contains(strings.Join(verbs, " "), verb) {
			env.T.Errorf("the plan contains %s %s", verb, key)
		}
	}
	for key, want := range r.after() {
		object := objects[key]
		if object == nil {
			env.T.Errorf("%s does not exist", key)
			continue
		}
		if diff := cmp.Diff(want, manifestOf(env.T, object)); diff != "" {
			env.T.Errorf("%s differs from the plan: -shown, +got:\n%s", key, diff)
		}
	}
	for _, a := range r.Actions {
		key := a.Kind + "/" + a.Namespace + "/" + a.Name
		if a.Verb == "delete" && objects[key] != nil {
			env.T.Errorf("%s was not deleted", key)
		}
		if a.Verb == "create" && a.Before != nil || a.Verb == "update" && (a.Before == nil || len(a.Fields) == 0) {
			env.T.Errorf("the action %s %s shows before %v and fields %v", a.Verb, key, a.Before, a.Fields)
		}
	}
}

// The plan shows the digest of a guard, and refused objects.
func TestPlanShowsWhatAUserHasToDo(t *testing.T) {
	env := newEnvironment(t)
	u := env.user(readerRules)
	env.start()
	env.Create("mesh")
	env.ready("mesh", env.Git.Commit(manyServices(12)))

	for name, text := range removalOf(manyServices(12)) {
		env.Git.Write(name, text)
	}
	held := u.report(1)
	if held.Brake == nil || held.Brake.Kind != "MassDeletion" || len(held.Stops) != 1 || !strings.Contains(held.Stops[0], "isthmus.dev/acknowledge="+held.Brake.Digest) {
		t.Fatalf("the plan of a mass deletion is %+v", held)
	}
	if text, _ := u.plan(1); !strings.Contains(text, "not now:") || !strings.Contains(text, held.Brake.Digest) {
		t.Errorf("the text does not say how to acknowledge:\n%s", text)
	}
	ms := env.notReadyAt("mesh", "MassDeletion", env.Git.Commit(nil))
	if ms.Status.Held.Digest != held.Brake.Digest {
		t.Errorf("the plan showed digest %s, the status has %s", held.Brake.Digest, ms.Status.Held.Digest)
	}

	env.Git.Restore(env.Git.First)
	for name, text := range manyServices(12) {
		env.Git.Write(name, text)
	}
	env.ready("mesh", env.Git.Commit(nil))
	env.Git.Write("services/taken.cue", gitops.Service{Name: "taken", In: []string{west}}.String())
	env.Git.Write("services/web.cue", gitops.Service{Name: "web", In: []string{east}, Egress: []string{"cart", "taken"}}.String())
	entry := ""
	for _, a := range u.report(0, "--service", "taken").Actions {
		if a.Kind == "ServiceEntry" {
			entry = a.Namespace + "/" + a.Name
		}
	}
	where, name, found := strings.Cut(entry, "/")
	if !found {
		t.Fatal("the called service has no ServiceEntry in the plan")
	}
	env.create(foreignEntry(where, name))
	refused := u.report(1)
	for _, a := range refused.Actions {
		if a.Name == name && a.Kind == "ServiceEntry" && (a.Verb != "refuse" || !strings.Contains(a.Reason, "Isthmus did not write") || a.After != nil) {
			t.Errorf("a foreign object must be refused: %+v", a)
		}
	}

	if text, _ := u.plan(1); !strings.Contains(text, " 1 refused") || strings.Contains(text, "skipped") {
		t.Errorf("the counts differ from the status:\n%s", text)
	}

	env.Git.Restore(env.Git.First)
	env.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Suspend = true })
	if suspended := u.report(1); len(suspended.Stops) == 0 || !strings.Contains(suspended.Stops[0], "suspend") {
		t.Errorf("the plan does not say that the MeshSync is suspended: %+v", suspended.Stops)
	}
}

// If the folder equals the applied commit, all differences are drift. Drift is not deferred, and an
// object with reconcile: disabled is no reason to act.
func TestPlanDistinguishesDriftFromAChange(t *testing.T) {
	env := newEnvironment(t)
	u := env.user(readerRules)
	env.start()
	env.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.RoutingDelay = &metav1.Duration{Duration: time.Hour} })
	env.ready("mesh", env.Git.First)
	const entry, rule = "ServiceEntry/stock/stock.stock.global-remote", "DestinationRule/stock/stock.stock.global"
	env.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Suspend = true })
	objects := env.Objects()
	must(t, env.Admin.Delete(t.Context(), objects[entry]))
	disabled := objects[rule]
	disabled.SetAnnotations(map[string]string{"isthmus.dev/reconcile": "disabled"})
	must(t, unstructured.SetNestedField(disabled.Object, "changed.example.com", "spec", "host"))
	must(t, env.Admin.Update(t.Context(), disabled))

	suspended := u.report(1)
	if got := suspended.verbs(); got[entry] != "create" || got[rule] != "refuse" || len(got) != 2 {
		t.Errorf("while the MeshSync is suspended the plan is %v", got)
	}
	env.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Suspend = false })
	env.Until("the entry exists again", func() (bool, string) { return env.Objects()[entry] != nil, "it is missing" })
	if got := u.report(0).verbs(); got[rule] != "refuse" || len(got) != 1 {
		t.Errorf("with the skipped object the plan is %v", got)
	}
	if text, _ := u.plan(0); !strings.Contains(text, "plan: 1 skipped, ") || strings.Contains(text, "refused") {
		t.Errorf("the counts differ from the status:\n%s", text)
	}
	env.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Finalizers = append(ms.Finalizers, "example.com/finalizer") })
	must(t, env.Admin.Delete(t.Context(), env.Get("mesh")))
	if r := u.report(1); len(r.Stops) != 1 || !strings.Contains(r.Stops[0], "deleted") {
		t.Errorf("the plan does not say that the MeshSync is being deleted: %q", r.Stops)
	}
	env.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Finalizers = nil })
}

// The plan of a younger MeshSync shows how it would claim the objects of the older one.
func TestPlanOfAStalledMeshSyncShowsTheTakeover(t *testing.T) {
	env := newEnvironment(t)
	u := env.user(readerRules)
	commit := env.Git.Commit(map[string]string{
		"services/depot.cue": gitops.Service{Name: "depot", In: []string{east}}.String(), "services/shop.cue": gitops.Service{Name: "shop", In: []string{west}, Egress: []string{"depot"}}.String(),
	})
	env.start()
	env.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
	env.ready("mesh", commit)
	env.Create("renamed")
	next := u.report(1, "--meshsync", namespace+"/renamed")
	if len(next.Stops) != 1 || !strings.Contains(next.Stops[0], namespace+"/mesh is older") || !strings.Contains(next.Stops[0], "after the older one is deleted") {
		t.Errorf("the plan does not say that another MeshSync is active: %q", next.Stops)
	}
	if len(next.Actions) != len(env.owned()) || next.verbs()["Gateway/istio-system/isthmus-crosscluster"] != "update" {
		t.Errorf("the MeshSync must claim all %d objects, but the plan is %v", len(env.owned()), next.verbs())
	}
	if len(next.Problems) > 0 {
		t.Errorf("unexpected preflight problems: %+v", next.Problems)
	}
	env.Change("renamed", func(ms *v1alpha1.MeshSync) { ms.Spec.Mode = v1alpha1.ModeObserve })
	if r := u.report(1, "--meshsync", namespace+"/renamed"); !strings.Contains(strings.Join(r.Stops, " "), "the older one would delete its objects") {
		t.Errorf("a MeshSync in mode Observe must not claim objects: %q", r.Stops)
	}
	env.Change("renamed", func(ms *v1alpha1.MeshSync) { ms.Spec.Mode = v1alpha1.ModeApply })
	env.delete("mesh")
	env.ready("renamed", commit)
	env.matchesPlan(next, "update")
}

func TestPlanShowsTheWriteOfAnAdoption(t *testing.T) {
	env := newEnvironment(t)
	u := env.user(readerRules)
	const key = "ServiceEntry/stock/stock.stock.global-remote"
	env.create(foreignEntry("stock", "stock.stock.global-remote"))
	env.start()
	env.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Adopt = &v1alpha1.Adopt{Names: []string{key}} })
	env.NotReady("mesh", v1alpha1.ReasonRefused)

	planned := u.report(1)
	if planned.verbs()[key] != "refuse" || len(planned.Actions) != 1 || planned.Actions[0].Before == nil || planned.Actions[0].After == nil {
		t.Fatalf("the object is refused, and the plan shows the write: %+v", planned.Actions)
	}
	if diff, _ := u.plan(1, "-o", "diff"); !strings.Contains(diff, "\n-  - stock.stock.global-remote.example.com\n") || !strings.Contains(diff, "\n+  - stock.stock.global\n") {
		t.Errorf("the diff lacks the old or the new host:\n%s", diff)
	}
	env.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Adopt.Mode = v1alpha1.ModeApply })
	env.ready("mesh", env.Git.First)
	env.matchesPlan(planned, "refuse")
}

// broken returns a service file that does not evaluate.
func broken(name string) string { return "package config\n\nservices: " + name + ": egres: {}\n" }

// Findings have the form of isthmus vet. All other services are planned as the controller applies
// them.
func TestPlanWithABrokenServiceContainsTheOthers(t *testing.T) {
	env := newEnvironment(t)
	u := env.user(readerRules)
	env.Git.Write("services/web.cue", broken("web"))
	first := u.report(1, "--cluster", east)
	if len(first.Actions) == 0 || len(first.Findings) == 0 || first.Findings[0].Service != "web" {
		t.Fatalf("in an empty cluster all but the broken service must be created: %+v", first)
	}
	if _, stderr := u.plan(1, "--cluster", east); !strings.Contains(stderr, "web.cue:3") || !strings.Contains(stderr, "the rest was planned") {
		t.Errorf("findings must have the form of isthmus vet: %s", stderr)
	}
	env.start()
	env.Create("mesh")
	env.notReadyAt("mesh", v1alpha1.ReasonServicesFrozen, env.Git.Commit(nil))
	env.matchesPlan(first, "create")
	if len(env.owned()) != len(first.Actions) {
		t.Errorf("the controller created %d objects, the plan showed %d", len(env.owned()), len(first.Actions))
	}

	env.ready("mesh", env.Git.Restore(env.Git.First))
	env.ready("mesh", env.Git.Commit(manyServices(2)))
	env.Git.Write("services/stock.cue", broken("stock"))
	env.Git.Write("services/item-0.cue", gitops.Service{Name: "item-0", In: []string{west}, More: `ports: admin: {port: 81, protocol: "HTTP"}`}.String())
	env.Git.Write("services/item-1.cue", "")
	env.Git.Write("services/hub.cue", gitops.Service{Name: "hub", In: []string{east}, Egress: []string{"item-0"}}.String())
	next := u.report(1)
	for key, verb := range next.verbs() {
		of := strings.Split(key, "/")[1]
		if want := map[string]string{"stock": "skip", "item-0": "update", "item-1": "skip"}[of]; want != "" && verb != want {
			t.Errorf("the plan is %s %s, want %s", verb, key, want)
		}
	}
	if next.verbs()["ServiceEntry/stock/stock.stock.global-remote"] != "skip" || next.verbs()["ServiceEntry/item-0/item-0.item-0.global-remote"] != "update" {
		t.Errorf("the plan is %v", next.verbs())
	}
	out, stderr := u.plan(1, "--service", "stock")
	if !strings.Contains(stderr, "stock.cue:3") || !strings.Contains(stderr, "without deletions and removals") {
		t.Errorf("the output does not say what happens to the broken service: %s", stderr)
	}
	if strings.Contains(out, "namespace stock") {
		t.Errorf("the namespace of the broken service is still in use:\n%s", out)
	}
	env.notReadyAt("mesh", v1alpha1.ReasonServicesFrozen, env.Git.Commit(nil))
	env.matchesPlan(next, "create", "update", "skip")

	env.Change("mesh", haltOnError)
	if out, stderr := u.plan(1); out != "" || !strings.Contains(stderr, "stock.cue:3") || !strings.Contains(stderr, "nothing was planned") {
		t.Errorf("with onError: Halt nothing must be planned: %s%s", out, stderr)
	}
}

// A withdrawal is shown once with its time. An object with prune: disabled is skipped.
func TestPlanShowsWithdrawalsWithTheirTime(t *testing.T) {
	env := newEnvironment(t)
	u := env.user(readerRules)
	env.start()
	env.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.WithdrawAfter = &metav1.Duration{Duration: time.Hour} })
	env.ready("mesh", env.Git.Commit(map[string]string{
		"services/depot.cue": gitops.Service{Name: "depot", In: []string{east}}.String(), "services/shop.cue": gitops.Service{Name: "shop", In: []string{west}, Egress: []string{"depot"}}.String(),
	}))
	unpruned := env.Objects()["DestinationRule/stock/stock.stock.global"]
	unpruned.SetAnnotations(map[string]string{"isthmus.dev/prune": "disabled"})
	must(t, env.Admin.Update(t.Context(), unpruned))
	env.Git.Write("services/depot.cue", "")
	env.Git.Write("services/shop.cue", "")
	env.Git.Write("services/stock.cue", "")
	env.Git.Write("services/cart.cue", gitops.Service{Name: "cart", In: []string{east, west}}.String())
	env.Git.Write("services/web.cue", gitops.Service{Name: "web", In: []string{east}, Egress: []string{"cart"}}.String())

	text, _ := u.plan(0)
	withdrawals := 0
	for line := range strings.Lines(text) {
		if strings.Contains(line, "spec.withdrawAfter is 1h0m0s") {
			withdrawals++
			if times := strings.Count(line, "it is deleted at"); times != 1 {
				t.Errorf("the time of the deletion appears %d times: %s", times, line)
			}
		}
	}
	if withdrawals == 0 || !strings.Contains(text, "1 skipped") || strings.Contains(text, "held") {
		t.Errorf("the plan is\n%s", text)
	}
}

func TestFailedPlanPrintsOnlyTheReason(t *testing.T) {
	env := newEnvironment(t)
	env.Create("mesh")
	u := env.user(readerRules[1:])
	for _, tc := range []struct {
		what string
		args []string
		want string
	}{
		{"forbidden lists", nil, "serviceentries.networking.istio.io"},
		{"another cluster", []string{"--cluster", west}, "MeshSync isthmus-system/mesh is east"},
		{"unknown context", []string{"--context", "nowhere"}, "nowhere"},
		{"missing kubeconfig", []string{"--kubeconfig", "/nowhere/kubeconfig"}, "/nowhere/kubeconfig"},
		{"unknown MeshSync", []string{"--meshsync", "isthmus-system/mash"}, "did you mean isthmus-system/mesh"},
		{"unknown service", []string{"--service", "crat"}, "cart"},
		{"unknown output format", []string{"-o", "yaml"}, "text, diff, json"},
	} {
		if out, stderr := u.plan(2, tc.args...); out != "" || !strings.Contains(stderr, tc.want) {
			t.Errorf("%s: the output lacks %q:\n%s%s", tc.what, tc.want, out, stderr)
		}
	}
}
