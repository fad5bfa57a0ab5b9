package apply

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

func TestBrakes(t *testing.T) {
	calls := func(bundle *render.Bundle, calls ...render.Call) *render.Bundle {
		bundle.Calls = calls
		return bundle
	}
	call := render.Call{Caller: "web", Callee: "cart", Entries: []render.Key{{Kind: "ServiceEntry", Namespace: "shop", Name: "cart"}}}
	selected := entry("shop", "cart")
	delete(selected.Object["spec"].(map[string]any), "endpoints")
	selected.Object["spec"].(map[string]any)["workloadSelector"] = map[string]any{"labels": map[string]any{"app": "cart"}}
	nowhere := entry("shop", "cart")
	nowhere.SetLabels(map[string]string{render.LabelService: "cart", render.LabelSide: string(render.SideCall), render.LabelNoEndpoint: "true"})
	nowhere.Object["spec"].(map[string]any)["workloadSelector"] = map[string]any{"labels": map[string]any{render.LabelNoEndpoint: "true"}}
	moved := entry("shop", "cart", "192.0.2.1")
	moved.SetName("cart-remote")
	external := object("ServiceEntry", "shop", "stripe", "stripe", map[string]any{"hosts": []any{"api.stripe.com"}, "location": "MESH_EXTERNAL", "resolution": "DNS"})
	stripe := render.Call{Caller: "web", Callee: "stripe", Entries: []render.Key{keyOf(external)}}
	published := entry("shop", "cart", "192.0.2.1")
	published.SetName("cart-export")
	published.SetLabels(map[string]string{render.LabelService: "cart", render.LabelSide: string(render.SidePublish)})

	tests := map[string]struct {
		reason string
		view   View
		bundle *render.Bundle
		change func(*PlanOptions)
		want   string
	}{
		"nothing for nothing":       {"a first sync of a cluster without services", View{}, bundleOf(), nil, ""},
		"empty bundle":              {"a failed source looks like this", ourObjects(rules(1)...), bundleOf(), nil, EmptyBundle},
		"empty bundle, no pruning":  {"nothing would be lost", ourObjects(rules(1)...), bundleOf(), func(o *PlanOptions) { o.Prune = false }, ""},
		"nine deletions":            {"few objects may go unasked whatever their share", ourObjects(rules(10)...), bundleOf(rules(1)...), nil, ""},
		"ten of eleven":             {"ten are not few", ourObjects(rules(11)...), bundleOf(rules(1)...), nil, MassDeletion},
		"twenty of a hundred":       {"at most a fifth", ourObjects(rules(100)...), bundleOf(rules(80)...), nil, ""},
		"twenty-one of a hundred":   {"more than a fifth", ourObjects(rules(100)...), bundleOf(rules(79)...), nil, MassDeletion},
		"other share":               {"spec.prune.maxPercent", ourObjects(rules(100)...), bundleOf(rules(79)...), func(o *PlanOptions) { o.MaxPrunePercent = 21 }, ""},
		"last endpoint deleted":     {"the call would have nowhere to go", ourObjects(entry("shop", "cart", "192.0.2.1"), rule("shop", "x")), calls(bundleOf(rule("shop", "x")), call), nil, LastEndpoint},
		"last endpoint emptied":     {"an entry without endpoints leads nowhere", ourObjects(entry("shop", "cart", "192.0.2.1")), calls(bundleOf(entry("shop", "cart")), call), nil, LastEndpoint},
		"last selector removed":     {"a selector is an endpoint", ourObjects(selected), calls(bundleOf(entry("shop", "cart")), call), nil, LastEndpoint},
		"only the name is kept":     {"it selects pods that there are not", ourObjects(entry("shop", "cart", "192.0.2.1")), calls(bundleOf(nowhere), render.Call{Caller: "web", Callee: "cart"}), nil, LastEndpoint},
		"only the name was there":   {"nothing is lost", ourObjects(nowhere, rule("shop", "x")), calls(bundleOf(rule("shop", "x")), call), nil, ""},
		"selector instead":          {"the call goes home", ourObjects(entry("shop", "cart", "192.0.2.1")), calls(bundleOf(selected), call), nil, ""},
		"entry under another name":  {"found by its service, it is replaced", ourObjects(entry("shop", "cart", "192.0.2.1")), calls(bundleOf(moved), render.Call{Caller: "web", Callee: "cart", Entries: []render.Key{keyOf(moved)}}), nil, ""},
		"lost under another name":   {"found by its service, it is lost", ourObjects(moved, rule("shop", "x")), calls(bundleOf(rule("shop", "x")), call), nil, LastEndpoint},
		"never had one":             {"nothing is lost", ourObjects(entry("shop", "cart")), calls(bundleOf(entry("shop", "cart")), call), nil, ""},
		"no longer declared":        {"the caller gave it up", ourObjects(entry("shop", "cart", "192.0.2.1"), rule("shop", "x")), bundleOf(rule("shop", "x")), nil, ""},
		"held by a person":          {"the old entry stays", ourObjects(annotated(entry("shop", "cart", "192.0.2.1"), map[string]string{AnnotationPrune: disabled}), rule("shop", "x")), calls(bundleOf(rule("shop", "x")), call), nil, ""},
		"external by name":          {"a name outside the mesh is its own endpoint", ourObjects(external, rule("shop", "x")), calls(bundleOf(rule("shop", "x")), stripe), nil, LastEndpoint},
		"external stays":            {"it has no list of endpoints and needs none", ourObjects(external, rule("shop", "x")), calls(bundleOf(external), stripe), nil, ""},
		"only its export is lost":   {"other clusters come in by it, our callers do not", ourObjects(published, rule("shop", "x")), calls(bundleOf(rule("shop", "x")), call), nil, ""},
		"foreign entry is not ours": {"what we did not write we do not lose", View{Objects: []*unstructured.Unstructured{entry("shop", "cart", "192.0.2.1")}}, calls(bundleOf(rule("shop", "x")), call), nil, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			options := PlanOptions{Owner: testOwner, Prune: true, MaxPrunePercent: 20}
			if test.change != nil {
				test.change(&options)
			}
			plan := Make(test.bundle, test.view, options)
			got := ""
			if plan.Brake != nil {
				got = plan.Brake.Kind
			}
			if got != test.want {
				t.Fatalf("%s: got %q, want %q: %+v", test.reason, got, test.want, plan.Brake)
			}
			if plan.Brake == nil {
				return
			}
			options.Acknowledged = []string{"000000000000", plan.Brake.Digest}
			again := Make(test.bundle, test.view, options)
			if again.Brake != nil {
				t.Errorf("%s: acknowledged and still held: %+v", test.reason, again.Brake)
			}
			if diff := cmp.Diff(plan.Brake, again.Passed); diff != "" {
				t.Errorf("%s: what passes is what was held (-want +got):\n%s", test.reason, diff)
			}
		})
	}
}

func TestDigestOfALossStandsWhateverElseThePlanDoes(t *testing.T) {
	options := PlanOptions{Owner: testOwner, Prune: true, MaxPrunePercent: 20}
	view := ourObjects(entry("shop", "cart", "192.0.2.1"), rule("shop", "x"), rule("shop", "y"))
	digest := func(caller string, objects ...*unstructured.Unstructured) string {
		bundle := bundleOf(objects...)
		bundle.Calls = []render.Call{{Caller: caller, Callee: "cart"}}
		return Make(bundle, view, options).Brake.Digest
	}
	base := digest("web", rule("shop", "x"), rule("shop", "y"))
	if base != digest("web", rule("shop", "x"), rule("shop", "z")) {
		t.Error("another commit beside it changes the digest, so an acknowledgement would never last")
	}
	if base == digest("app", rule("shop", "x"), rule("shop", "y")) {
		t.Error("the loss of another call has the same digest")
	}
}

func TestReasonOfABrakeCountsInEnglish(t *testing.T) {
	options := PlanOptions{Owner: testOwner, Prune: true, MaxPrunePercent: 20}
	lost := func(callers ...string) *render.Bundle {
		bundle := bundleOf(rule("shop", "x"))
		for _, caller := range callers {
			bundle.Calls = append(bundle.Calls, render.Call{Caller: caller, Callee: "cart"})
		}
		return bundle
	}
	cart := ourObjects(entry("shop", "cart", "192.0.2.1"), rule("shop", "x"))
	tests := map[string]struct {
		reason string
		bundle *render.Bundle
		view   View
		want   string
	}{
		"one call":    {"the commonest loss of all", lost("web"), cart, "1 declared call would be left without any endpoint: web -> cart"},
		"two calls":   {"several have the plural", lost("web", "app"), cart, "2 declared calls would be left without any endpoint: web -> cart, app -> cart"},
		"one object":  {"a cluster may have had one object only", bundleOf(), ourObjects(rules(1)...), "1 object would be deleted"},
		"two objects": {"several have the plural", bundleOf(), ourObjects(rules(2)...), "2 objects would be deleted"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if plan := Make(test.bundle, test.view, options); plan.Brake == nil || !strings.HasSuffix(plan.Brake.Reason, test.want) {
				t.Errorf("%s: got %+v, want %q", test.reason, plan.Brake, test.want)
			}
		})
	}
}

func TestDigestOfDeletionsNamesThem(t *testing.T) {
	options := PlanOptions{Owner: testOwner, Prune: true, MaxPrunePercent: 20}
	all := rules(30)
	one, two := Make(bundleOf(all[12:]...), ourObjects(all...), options), Make(bundleOf(all[:18]...), ourObjects(all...), options)
	if one.Brake.Digest == two.Brake.Digest {
		t.Error("twelve other deletions have the same digest")
	}
	changed := append([]*unstructured.Unstructured{route("shop", "new", "1s")}, all[12:]...)
	if other := Make(bundleOf(changed...), ourObjects(all...), options); cmp.Diff(one.Brake, other.Brake) != "" {
		t.Error("a create beside them changes the brake")
	}
}

// A deletion that a person let pass is cut off when 25 of 60 objects are gone.
func TestWhatIsLeftOfADeletionThatMayPassIsNotHeldAgain(t *testing.T) {
	all := rules(100)
	options := PlanOptions{Owner: testOwner, Prune: true, MaxPrunePercent: 20}
	options.Acknowledged = []string{Make(bundleOf(all[60:]...), ourObjects(all...), options).Brake.Digest}
	begun := Make(bundleOf(all[60:]...), ourObjects(all...), options)
	if begun.Passed == nil || len(begun.Agreed) != 60 {
		t.Fatalf("passed %+v, agreed to %d", begun.Passed, len(begun.Agreed))
	}
	tests := map[string]struct {
		reason string
		left   []*unstructured.Unstructured
		change func(*PlanOptions)
		want   string
		agreed int
	}{
		"the next run":             {"it was let pass as a whole", all[60:], func(o *PlanOptions) { o.Agreed = begun.Agreed }, "", 35},
		"another commit beside it": {"what was let pass is not judged again", all[69:], func(o *PlanOptions) { o.Agreed = begun.Agreed }, "", 35},
		"more goes beside it":      {"of that nobody knew", all[85:], func(o *PlanOptions) { o.Agreed = begun.Agreed }, MassDeletion, 35},
		"a new process":            {"the status says how much was ahead", all[60:], func(o *PlanOptions) { o.AgreedRest = 35 }, "", 35},
		"more than was ahead":      {"of that nobody knew", all[61:], func(o *PlanOptions) { o.AgreedRest = 35 }, MassDeletion, 0},
		"nobody remembers":         {"it looks like any other", all[60:], func(*PlanOptions) {}, MassDeletion, 0},
		"the commit is reverted":   {"nothing is ahead any more", all[25:], func(o *PlanOptions) { o.Agreed = begun.Agreed }, "", 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			options := options
			test.change(&options)
			plan := Make(bundleOf(test.left...), ourObjects(all[25:]...), options)
			got := ""
			if plan.Brake != nil {
				got = plan.Brake.Kind
			}
			if got != test.want || len(plan.Agreed) != test.agreed || plan.Passed != nil {
				t.Errorf("%s: held by %q, want %q; agreed to %d, want %d; passed %+v", test.reason, got, test.want, len(plan.Agreed), test.agreed, plan.Passed)
			}
		})
	}
}

// An entry that only holds a name looks as if it led somewhere when its label is taken off, or when somebody gives it an endpoint.
func TestUndoingAnEditTripsNoBrake(t *testing.T) {
	nowhere := entry("shop", "cart")
	nowhere.SetLabels(map[string]string{render.LabelService: "cart", render.LabelSide: string(render.SideCall), render.LabelNoEndpoint: "true"})
	spec := nowhere.Object["spec"].(map[string]any)
	delete(spec, "endpoints")
	spec["workloadSelector"] = map[string]any{"labels": map[string]any{render.LabelNoEndpoint: "true"}}
	bundle := bundleOf(nowhere, rule("shop", "x"))
	bundle.Calls = []render.Call{{Caller: "web", Callee: "cart", Entries: []render.Key{keyOf(nowhere)}}}
	edits := map[string]func(*unstructured.Unstructured){
		"the label": func(o *unstructured.Unstructured) {
			o.SetLabels(map[string]string{LabelPartOf: testOwner.ID, render.LabelService: "cart", render.LabelSide: string(render.SideCall)})
		},
		"an endpoint": func(o *unstructured.Unstructured) {
			o.SetLabels(map[string]string{LabelPartOf: testOwner.ID, render.LabelService: "cart", render.LabelSide: string(render.SideCall)})
			o.Object["spec"].(map[string]any)["endpoints"] = []any{map[string]any{"address": "192.0.2.1"}}
		},
	}
	for name, edit := range edits {
		for _, again := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, by a new process %t", name, again), func(t *testing.T) {
				options := PlanOptions{Owner: testOwner, Prune: true, MaxPrunePercent: 20, Again: again}
				view := ourObjects(nowhere, rule("shop", "x"))
				if !again {
					options.Known = Make(bundle, view, options).known
				}
				edit(view.Objects[0])
				if plan := Make(bundle, view, options); plan.Brake != nil || plan.Drifted() != 1 {
					t.Errorf("held by %+v, %d drifted", plan.Brake, plan.Drifted())
				}
			})
		}
	}
}

// Beside a change of somebody's, a commit drops one of two entries for a service.
func TestALossIsJudgedByWhatTheRepositoryHad(t *testing.T) {
	named := func(name string, endpoints ...string) *unstructured.Unstructured {
		entry := entry("shop", "cart", endpoints...)
		entry.SetName(name)
		return entry
	}
	tests := map[string]struct {
		reason        string
		before, after []*unstructured.Unstructured
		change        func(*View)
		want          bool
	}{
		"the other one was deleted": {
			"it comes back, and calls go there",
			[]*unstructured.Unstructured{named("cart-a", "192.0.2.1"), named("cart-b", "192.0.2.2")},
			[]*unstructured.Unstructured{named("cart-b", "192.0.2.2")},
			func(v *View) { v.Objects = v.Objects[:1] }, false,
		},
		"the other one was given an endpoint": {
			"it is taken away again, and calls go nowhere",
			[]*unstructured.Unstructured{named("cart-a", "192.0.2.1"), named("cart-b")},
			[]*unstructured.Unstructured{named("cart-b")},
			func(v *View) {
				v.Objects[1].Object["spec"].(map[string]any)["endpoints"] = []any{map[string]any{"address": "192.0.2.66"}}
			}, true,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			view := ourObjects(test.before...)
			options := PlanOptions{Owner: testOwner, Prune: true, MaxPrunePercent: 20}
			options.Known = Make(bundleOf(test.before...), view, options).known
			test.change(&view)
			bundle := bundleOf(test.after...)
			bundle.Calls = []render.Call{{Caller: "web", Callee: "cart", Entries: []render.Key{keyOf(test.after[0])}}}
			plan := Make(bundle, view, options)
			if plan.Drifted() != 1 || plan.Count(Delete) != 1 || (plan.Brake != nil) != test.want {
				t.Errorf("%s: held by %+v; %v", test.reason, plan.Brake, verbs(plan))
			}
		})
	}
}

// Of a service that is broken nobody knows how it was: nothing is deleted meanwhile, and what may go is not forgotten.
func TestWhatMayPassIsNotForgottenWhileSomethingIsBroken(t *testing.T) {
	all := rules(100)
	options := PlanOptions{Owner: testOwner, Prune: true, MaxPrunePercent: 20}
	options.Acknowledged = []string{Make(bundleOf(all[60:]...), ourObjects(all...), options).Brake.Digest}
	options.Agreed = Make(bundleOf(all[60:]...), ourObjects(all...), options).Agreed
	options.Keep = "something is broken"
	options.Agreed = Make(bundleOf(all[60:]...), ourObjects(all[25:]...), options).Agreed
	options.Keep = ""
	if plan := Make(bundleOf(all[60:]...), ourObjects(all[25:]...), options); plan.Brake != nil || plan.Count(Delete) != 35 {
		t.Errorf("held by %+v; %d would go", plan.Brake, plan.Count(Delete))
	}
}

// What is held as a whole still has the drift beside it put right.
func TestCorrectionsAreHeldByNothing(t *testing.T) {
	all := rules(30)
	options := PlanOptions{Owner: testOwner, Prune: true, MaxPrunePercent: 20}
	options.Known = Make(bundleOf(all...), ourObjects(all...), options).known
	view := ourObjects(all...)
	view.Objects[29].Object["spec"].(map[string]any)["exportTo"] = []any{"*"}
	plan := Make(bundleOf(all[20:]...), view, options)
	if plan.Brake == nil {
		t.Fatal("20 of 30 objects would go")
	}
	only := plan.Corrections()
	if diff := cmp.Diff(map[string]Verb{keyOf(all[29]).String(): Update}, verbs(only)); diff != "" || only.Brake != nil {
		t.Errorf("held by %+v; (-want +got):\n%s", only.Brake, diff)
	}
}
