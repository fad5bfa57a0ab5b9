package plans_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/plantest"
)

func TestGuards(t *testing.T) {
	calls := func(bundle *render.Bundle, calls ...render.Call) *render.Bundle {
		bundle.Calls = calls
		return bundle
	}
	call := render.Call{Caller: "web", Callee: "cart", Entries: []render.Key{{Kind: "ServiceEntry", Namespace: "shop", Name: "cart"}}}
	selected := istiotest.ServiceEntry("shop", "cart")
	delete(selected.Object["spec"].(map[string]any), "endpoints")
	selected.Object["spec"].(map[string]any)["workloadSelector"] = map[string]any{"labels": map[string]any{"app": "cart"}}
	nowhere := istiotest.ServiceEntry("shop", "cart")
	nowhere.SetLabels(map[string]string{render.LabelService: "cart", render.LabelSide: string(render.SideCall), render.LabelNoEndpoint: "true"})
	nowhere.Object["spec"].(map[string]any)["workloadSelector"] = map[string]any{"labels": map[string]any{render.LabelNoEndpoint: "true"}}
	moved := istiotest.ServiceEntry("shop", "cart", "192.0.2.1")
	moved.SetName("cart-remote")
	external := istiotest.Object("ServiceEntry", "shop", "stripe", "stripe", map[string]any{"hosts": []any{"api.stripe.com"}, "location": "MESH_EXTERNAL", "resolution": "DNS"})
	stripe := render.Call{Caller: "web", Callee: "stripe", Entries: []render.Key{render.KeyOf(external)}}
	published := istiotest.ServiceEntry("shop", "cart", "192.0.2.1")
	published.SetName("cart-export")
	published.SetLabels(map[string]string{render.LabelService: "cart", render.LabelSide: string(render.SidePublish)})

	tests := map[string]struct {
		reason string
		view   clustercache.State
		bundle *render.Bundle
		change func(*plans.Options)
		want   string
	}{
		"nothing for nothing":       {"a first sync of a cluster without services", clustercache.State{}, istiotest.Bundle(), nil, ""},
		"empty bundle":              {"a failed source looks like this", plantest.LiveState(istiotest.DestinationRules(1)...), istiotest.Bundle(), nil, plans.EmptyBundle},
		"empty bundle, no pruning":  {"nothing would be lost", plantest.LiveState(istiotest.DestinationRules(1)...), istiotest.Bundle(), func(o *plans.Options) { o.Prune = false }, ""},
		"nine deletions":            {"few objects may go unasked whatever their share", plantest.LiveState(istiotest.DestinationRules(10)...), istiotest.Bundle(istiotest.DestinationRules(1)...), nil, ""},
		"ten of eleven":             {"ten are not few", plantest.LiveState(istiotest.DestinationRules(11)...), istiotest.Bundle(istiotest.DestinationRules(1)...), nil, plans.MassDeletion},
		"twenty of a hundred":       {"at most a fifth", plantest.LiveState(istiotest.DestinationRules(100)...), istiotest.Bundle(istiotest.DestinationRules(80)...), nil, ""},
		"twenty-one of a hundred":   {"more than a fifth", plantest.LiveState(istiotest.DestinationRules(100)...), istiotest.Bundle(istiotest.DestinationRules(79)...), nil, plans.MassDeletion},
		"other share":               {"spec.prune.maxPercent", plantest.LiveState(istiotest.DestinationRules(100)...), istiotest.Bundle(istiotest.DestinationRules(79)...), func(o *plans.Options) { o.MaxPrunePercent = 21 }, ""},
		"last endpoint deleted":     {"the call would have nowhere to go", plantest.LiveState(istiotest.ServiceEntry("shop", "cart", "192.0.2.1"), istiotest.DestinationRule("shop", "x")), calls(istiotest.Bundle(istiotest.DestinationRule("shop", "x")), call), nil, plans.LastEndpoint},
		"last endpoint emptied":     {"an entry without endpoints leads nowhere", plantest.LiveState(istiotest.ServiceEntry("shop", "cart", "192.0.2.1")), calls(istiotest.Bundle(istiotest.ServiceEntry("shop", "cart")), call), nil, plans.LastEndpoint},
		"last selector removed":     {"a selector is an endpoint", plantest.LiveState(selected), calls(istiotest.Bundle(istiotest.ServiceEntry("shop", "cart")), call), nil, plans.LastEndpoint},
		"only the name is kept":     {"it selects pods that there are not", plantest.LiveState(istiotest.ServiceEntry("shop", "cart", "192.0.2.1")), calls(istiotest.Bundle(nowhere), render.Call{Caller: "web", Callee: "cart"}), nil, plans.LastEndpoint},
		"only the name was there":   {"nothing is lost", plantest.LiveState(nowhere, istiotest.DestinationRule("shop", "x")), calls(istiotest.Bundle(istiotest.DestinationRule("shop", "x")), call), nil, ""},
		"selector instead":          {"the call goes home", plantest.LiveState(istiotest.ServiceEntry("shop", "cart", "192.0.2.1")), calls(istiotest.Bundle(selected), call), nil, ""},
		"entry under another name":  {"found by its service, it is replaced", plantest.LiveState(istiotest.ServiceEntry("shop", "cart", "192.0.2.1")), calls(istiotest.Bundle(moved), render.Call{Caller: "web", Callee: "cart", Entries: []render.Key{render.KeyOf(moved)}}), nil, ""},
		"lost under another name":   {"found by its service, it is lost", plantest.LiveState(moved, istiotest.DestinationRule("shop", "x")), calls(istiotest.Bundle(istiotest.DestinationRule("shop", "x")), call), nil, plans.LastEndpoint},
		"never had one":             {"nothing is lost", plantest.LiveState(istiotest.ServiceEntry("shop", "cart")), calls(istiotest.Bundle(istiotest.ServiceEntry("shop", "cart")), call), nil, ""},
		"no longer declared":        {"the caller gave it up", plantest.LiveState(istiotest.ServiceEntry("shop", "cart", "192.0.2.1"), istiotest.DestinationRule("shop", "x")), istiotest.Bundle(istiotest.DestinationRule("shop", "x")), nil, ""},
		"held by a person":          {"the old entry stays", plantest.LiveState(istiotest.WithAnnotations(istiotest.ServiceEntry("shop", "cart", "192.0.2.1"), map[string]string{ownership.AnnotationPrune: ownership.Disabled}), istiotest.DestinationRule("shop", "x")), calls(istiotest.Bundle(istiotest.DestinationRule("shop", "x")), call), nil, ""},
		"external by name":          {"a name outside the mesh is its own endpoint", plantest.LiveState(external, istiotest.DestinationRule("shop", "x")), calls(istiotest.Bundle(istiotest.DestinationRule("shop", "x")), stripe), nil, plans.LastEndpoint},
		"external stays":            {"it has no list of endpoints and needs none", plantest.LiveState(external, istiotest.DestinationRule("shop", "x")), calls(istiotest.Bundle(external), stripe), nil, ""},
		"only its export is lost":   {"other clusters come in by it, our callers do not", plantest.LiveState(published, istiotest.DestinationRule("shop", "x")), calls(istiotest.Bundle(istiotest.DestinationRule("shop", "x")), call), nil, ""},
		"foreign entry is not ours": {"what we did not write we do not lose", clustercache.State{Objects: []*unstructured.Unstructured{istiotest.ServiceEntry("shop", "cart", "192.0.2.1")}}, calls(istiotest.Bundle(istiotest.DestinationRule("shop", "x")), call), nil, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			options := plans.Options{Owner: plantest.Owner, Prune: true, MaxPrunePercent: 20}
			if test.change != nil {
				test.change(&options)
			}
			plan := plans.Make(test.bundle, test.view, options)
			got := ""
			if plan.Guard != nil {
				got = plan.Guard.Kind
			}
			if got != test.want {
				t.Fatalf("%s: got %q, want %q: %+v", test.reason, got, test.want, plan.Guard)
			}
			if plan.Guard == nil {
				return
			}
			options.AcknowledgedDigests = []string{"000000000000", plan.Guard.Digest}
			again := plans.Make(test.bundle, test.view, options)
			if again.Guard != nil {
				t.Errorf("%s: acknowledged and still held: %+v", test.reason, again.Guard)
			}
			if diff := cmp.Diff(plan.Guard, again.Overridden); diff != "" {
				t.Errorf("%s: what passes is what was held (-want +got):\n%s", test.reason, diff)
			}
		})
	}
}

func TestDigestOfALossIgnoresOtherChanges(t *testing.T) {
	options := plans.Options{Owner: plantest.Owner, Prune: true, MaxPrunePercent: 20}
	view := plantest.LiveState(istiotest.ServiceEntry("shop", "cart", "192.0.2.1"), istiotest.DestinationRule("shop", "x"), istiotest.DestinationRule("shop", "y"))
	digest := func(caller string, objects ...*unstructured.Unstructured) string {
		bundle := istiotest.Bundle(objects...)
		bundle.Calls = []render.Call{{Caller: caller, Callee: "cart"}}
		return plans.Make(bundle, view, options).Guard.Digest
	}
	base := digest("web", istiotest.DestinationRule("shop", "x"), istiotest.DestinationRule("shop", "y"))
	if base != digest("web", istiotest.DestinationRule("shop", "x"), istiotest.DestinationRule("shop", "z")) {
		t.Error("another commit beside it changes the digest, so an acknowledgement would never last")
	}
	if base == digest("app", istiotest.DestinationRule("shop", "x"), istiotest.DestinationRule("shop", "y")) {
		t.Error("the loss of another call has the same digest")
	}
}

func TestReasonOfAGuardUsesSingularAndPlural(t *testing.T) {
	options := plans.Options{Owner: plantest.Owner, Prune: true, MaxPrunePercent: 20}
	lost := func(callers ...string) *render.Bundle {
		bundle := istiotest.Bundle(istiotest.DestinationRule("shop", "x"))
		for _, caller := range callers {
			bundle.Calls = append(bundle.Calls, render.Call{Caller: caller, Callee: "cart"})
		}
		return bundle
	}
	cart := plantest.LiveState(istiotest.ServiceEntry("shop", "cart", "192.0.2.1"), istiotest.DestinationRule("shop", "x"))
	tests := map[string]struct {
		reason string
		bundle *render.Bundle
		view   clustercache.State
		want   string
	}{
		"one call":    {"the commonest loss of all", lost("web"), cart, "1 declared call would be left without any endpoint: web -> cart"},
		"two calls":   {"several have the plural", lost("web", "app"), cart, "2 declared calls would be left without any endpoint: web -> cart, app -> cart"},
		"one object":  {"a cluster may have had one object only", istiotest.Bundle(), plantest.LiveState(istiotest.DestinationRules(1)...), "1 object would be deleted"},
		"two objects": {"several have the plural", istiotest.Bundle(), plantest.LiveState(istiotest.DestinationRules(2)...), "2 objects would be deleted"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if plan := plans.Make(test.bundle, test.view, options); plan.Guard == nil || !strings.HasSuffix(plan.Guard.Reason, test.want) {
				t.Errorf("%s: got %+v, want %q", test.reason, plan.Guard, test.want)
			}
		})
	}
}

func TestDigestOfDeletionsDependsOnTheirObjects(t *testing.T) {
	options := plans.Options{Owner: plantest.Owner, Prune: true, MaxPrunePercent: 20}
	all := istiotest.DestinationRules(30)
	one, two := plans.Make(istiotest.Bundle(all[12:]...), plantest.LiveState(all...), options), plans.Make(istiotest.Bundle(all[:18]...), plantest.LiveState(all...), options)
	if one.Guard.Digest == two.Guard.Digest {
		t.Error("twelve other deletions have the same digest")
	}
	changed := append([]*unstructured.Unstructured{istiotest.VirtualService("shop", "new", "1s")}, all[12:]...)
	if other := plans.Make(istiotest.Bundle(changed...), plantest.LiveState(all...), options); cmp.Diff(one.Guard, other.Guard) != "" {
		t.Error("an additional create changes the guard")
	}
}

// An acknowledged deletion is interrupted after 25 of 60 objects.
func TestRemainingAcknowledgedDeletionsAreNotHeldAgain(t *testing.T) {
	all := istiotest.DestinationRules(100)
	options := plans.Options{Owner: plantest.Owner, Prune: true, MaxPrunePercent: 20}
	options.AcknowledgedDigests = []string{plans.Make(istiotest.Bundle(all[60:]...), plantest.LiveState(all...), options).Guard.Digest}
	begun := plans.Make(istiotest.Bundle(all[60:]...), plantest.LiveState(all...), options)
	if begun.Overridden == nil || len(begun.Acknowledged) != 60 {
		t.Fatalf("overridden %+v, acknowledged %d", begun.Overridden, len(begun.Acknowledged))
	}
	tests := map[string]struct {
		reason string
		left   []*unstructured.Unstructured
		change func(*plans.Options, *plans.Memory)
		want   string
		agreed int
	}{
		"the next run":             {"it was let pass as a whole", all[60:], func(_ *plans.Options, m *plans.Memory) { m.Acknowledged = begun.Acknowledged }, "", 35},
		"another commit beside it": {"what was let pass is not judged again", all[69:], func(_ *plans.Options, m *plans.Memory) { m.Acknowledged = begun.Acknowledged }, "", 35},
		"more goes beside it":      {"of that nobody knew", all[85:], func(_ *plans.Options, m *plans.Memory) { m.Acknowledged = begun.Acknowledged }, plans.MassDeletion, 35},
		"a new process":            {"the status says how much was ahead", all[60:], func(o *plans.Options, _ *plans.Memory) { o.RemainingAcknowledged = 35 }, "", 35},
		"more than was ahead":      {"of that nobody knew", all[61:], func(o *plans.Options, _ *plans.Memory) { o.RemainingAcknowledged = 35 }, plans.MassDeletion, 0},
		"nobody remembers":         {"it looks like any other", all[60:], func(*plans.Options, *plans.Memory) {}, plans.MassDeletion, 0},
		"the commit is reverted":   {"nothing is ahead any more", all[25:], func(_ *plans.Options, m *plans.Memory) { m.Acknowledged = begun.Acknowledged }, "", 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			options, memory := options, plans.Memory{}
			test.change(&options, &memory)
			plan := memory.Make(istiotest.Bundle(test.left...), plantest.LiveState(all[25:]...), options)
			got := ""
			if plan.Guard != nil {
				got = plan.Guard.Kind
			}
			if got != test.want || len(plan.Acknowledged) != test.agreed || plan.Overridden != nil {
				t.Errorf("%s: held by %q, want %q; acknowledged %d, want %d; overridden %+v", test.reason, got, test.want, len(plan.Acknowledged), test.agreed, plan.Overridden)
			}
		})
	}
}

// An entry without endpoints looks as if it had one when a user removes its label or adds an endpoint.
func TestCorrectionOfDriftTripsNoGuard(t *testing.T) {
	nowhere := istiotest.ServiceEntry("shop", "cart")
	nowhere.SetLabels(map[string]string{render.LabelService: "cart", render.LabelSide: string(render.SideCall), render.LabelNoEndpoint: "true"})
	spec := nowhere.Object["spec"].(map[string]any)
	delete(spec, "endpoints")
	spec["workloadSelector"] = map[string]any{"labels": map[string]any{render.LabelNoEndpoint: "true"}}
	bundle := istiotest.Bundle(nowhere, istiotest.DestinationRule("shop", "x"))
	bundle.Calls = []render.Call{{Caller: "web", Callee: "cart", Entries: []render.Key{render.KeyOf(nowhere)}}}
	edits := map[string]func(*unstructured.Unstructured){
		"the label": func(o *unstructured.Unstructured) {
			o.SetLabels(map[string]string{ownership.LabelPartOf: plantest.Owner.ID, render.LabelService: "cart", render.LabelSide: string(render.SideCall)})
		},
		"an endpoint": func(o *unstructured.Unstructured) {
			o.SetLabels(map[string]string{ownership.LabelPartOf: plantest.Owner.ID, render.LabelService: "cart", render.LabelSide: string(render.SideCall)})
			o.Object["spec"].(map[string]any)["endpoints"] = []any{map[string]any{"address": "192.0.2.1"}}
		},
	}
	for name, edit := range edits {
		for _, again := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, by a new process %t", name, again), func(t *testing.T) {
				options, memory := plans.Options{Owner: plantest.Owner, Prune: true, MaxPrunePercent: 20, WasInSync: again}, plans.Memory{}
				view := plantest.LiveState(nowhere, istiotest.DestinationRule("shop", "x"))
				if !again {
					memory.Known = plans.Make(bundle, view, options).Known
				}
				edit(view.Objects[0])
				if plan := memory.Make(bundle, view, options); plan.Guard != nil || plan.Drifted() != 1 {
					t.Errorf("held by %+v, %d drifted", plan.Guard, plan.Drifted())
				}
			})
		}
	}
}

// A commit removes one of two entries of a service while the other one drifted.
func TestLossIsComparedWithTheRepositoryNotWithDrift(t *testing.T) {
	named := func(name string, endpoints ...string) *unstructured.Unstructured {
		entry := istiotest.ServiceEntry("shop", "cart", endpoints...)
		entry.SetName(name)
		return entry
	}
	tests := map[string]struct {
		reason        string
		before, after []*unstructured.Unstructured
		change        func(*clustercache.State)
		want          bool
	}{
		"the other one was deleted": {
			"it comes back, and calls go there",
			[]*unstructured.Unstructured{named("cart-a", "192.0.2.1"), named("cart-b", "192.0.2.2")},
			[]*unstructured.Unstructured{named("cart-b", "192.0.2.2")},
			func(v *clustercache.State) { v.Objects = v.Objects[:1] }, false,
		},
		"the other one was given an endpoint": {
			"it is taken away again, and calls go nowhere",
			[]*unstructured.Unstructured{named("cart-a", "192.0.2.1"), named("cart-b")},
			[]*unstructured.Unstructured{named("cart-b")},
			func(v *clustercache.State) {
				v.Objects[1].Object["spec"].(map[string]any)["endpoints"] = []any{map[string]any{"address": "192.0.2.66"}}
			}, true,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			view := plantest.LiveState(test.before...)
			options := plans.Options{Owner: plantest.Owner, Prune: true, MaxPrunePercent: 20}
			memory := plans.Memory{Known: plans.Make(istiotest.Bundle(test.before...), view, options).Known}
			test.change(&view)
			bundle := istiotest.Bundle(test.after...)
			bundle.Calls = []render.Call{{Caller: "web", Callee: "cart", Entries: []render.Key{render.KeyOf(test.after[0])}}}
			plan := memory.Make(bundle, view, options)
			if plan.Drifted() != 1 || plan.Count(plans.Delete) != 1 || (plan.Guard != nil) != test.want {
				t.Errorf("%s: held by %+v; %v", test.reason, plan.Guard, plantest.Verbs(plan))
			}
		})
	}
}

// While a broken service is unknown nothing is deleted, and the acknowledgement is kept.
func TestAcknowledgementIsKeptWhileAServiceIsBroken(t *testing.T) {
	all := istiotest.DestinationRules(100)
	options := plans.Options{Owner: plantest.Owner, Prune: true, MaxPrunePercent: 20}
	options.AcknowledgedDigests = []string{plans.Make(istiotest.Bundle(all[60:]...), plantest.LiveState(all...), options).Guard.Digest}
	memory := plans.Memory{Acknowledged: plans.Make(istiotest.Bundle(all[60:]...), plantest.LiveState(all...), options).Acknowledged}
	options.AdditiveOnly = plantest.Unknown
	memory.Acknowledged = memory.Make(istiotest.Bundle(all[60:]...), plantest.LiveState(all[25:]...), options).Acknowledged
	options.AdditiveOnly = nil
	if plan := memory.Make(istiotest.Bundle(all[60:]...), plantest.LiveState(all[25:]...), options); plan.Guard != nil || plan.Count(plans.Delete) != 35 {
		t.Errorf("held by %+v; %d would go", plan.Guard, plan.Count(plans.Delete))
	}
}

// Drift is corrected although the plan is held.
func TestGuardDoesNotHoldCorrections(t *testing.T) {
	all := istiotest.DestinationRules(30)
	options := plans.Options{Owner: plantest.Owner, Prune: true, MaxPrunePercent: 20}
	memory := plans.Memory{Known: plans.Make(istiotest.Bundle(all...), plantest.LiveState(all...), options).Known}
	view := plantest.LiveState(all...)
	view.Objects[29].Object["spec"].(map[string]any)["exportTo"] = []any{"*"}
	plan := memory.Make(istiotest.Bundle(all[20:]...), view, options)
	if plan.Guard == nil {
		t.Fatal("20 of 30 objects would go")
	}
	only := plan.Corrections()
	if diff := cmp.Diff(map[string]plans.Verb{render.KeyOf(all[29]).String(): plans.Update}, plantest.Verbs(only)); diff != "" || only.Guard != nil {
		t.Errorf("held by %+v; (-want +got):\n%s", only.Guard, diff)
	}
}
