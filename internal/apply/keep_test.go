package apply

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// lost is the reason in these tests.
const lost = "it may stem from service ledger, which is broken"

func keeping() PlanOptions {
	return PlanOptions{Owner: testOwner, Prune: true, MaxPrunePercent: 20, Keep: lost}
}

// carried is the view after a plan was carried out without a failure, and what is known then.
func carried(t *testing.T, view View, plan Plan) (View, Record) {
	t.Helper()
	objects := map[render.Key]*unstructured.Unstructured{}
	for _, one := range view.Objects {
		objects[keyOf(one)] = one
	}
	known := maps.Clone(plan.known)
	for _, action := range plan.Actions {
		switch action.Verb {
		case Create:
			objects[action.Key] = create(action.desired, plan.owner)
		case Update:
			objects[action.Key] = update(action.desired, action.live, plan.owner)
		case Delete:
			delete(objects, action.Key)
			continue
		default:
			continue
		}
		objects[action.Key].SetManagedFields([]metav1.ManagedFieldsEntry{{
			Manager: FieldManager, FieldsV1: metav1.NewFieldsV1(text(map[string]any{"f:metadata": map[string]any{
				"f:labels": ownFields(action.desired.GetLabels()), "f:annotations": ownFields(action.desired.GetAnnotations()),
			}})),
		}})
		known[action.Key] = action.hash
	}
	return View{Objects: slices.Collect(maps.Values(objects))}, known
}

func ownFields(values map[string]string) map[string]any {
	out := map[string]any{}
	for name := range values {
		out["f:"+name] = map[string]any{}
	}
	return out
}

// policy is an AuthorizationPolicy for the pods of one app.
func policy(app, name, action string, principals ...any) *unstructured.Unstructured {
	spec := map[string]any{"selector": map[string]any{"matchLabels": map[string]any{"app": app}}, "action": action}
	if len(principals) > 0 {
		spec["rules"] = []any{map[string]any{"from": []any{map[string]any{"source": map[string]any{"principals": principals}}}}}
	}
	return object("AuthorizationPolicy", "shop", name, app, spec)
}

func TestNothingIsDeletedWhileSomethingIsNotKnown(t *testing.T) {
	view := ourObjects(append(rules(30), entry("shop", "cart", "192.0.2.1"), annotated(entry("shop", "stock", "192.0.2.1"), map[string]string{AnnotationPrune: disabled}))...)
	for name, bundle := range map[string]*render.Bundle{"all": bundleOf(), "nearly all": bundleOf(rule("shop", "s001"))} {
		t.Run(name, func(t *testing.T) {
			bundle.Calls = []render.Call{{Caller: "web", Callee: "cart"}}
			plan := Make(bundle, view, keeping())
			if plan.Writes() || plan.Brake != nil {
				t.Errorf("brake %v, actions %v", plan.Brake, verbs(plan))
			}
			if want := 32 - len(bundle.Resources); plan.Count(Hold) != want || plan.Unchanged != len(bundle.Resources) {
				t.Errorf("%d held and %d unchanged", plan.Count(Hold), plan.Unchanged)
			}
			for _, action := range plan.Actions {
				if asked := action.Key.Name == "stock"; asked == (action.Reason == lost) {
					t.Errorf("%s is held since %s", action.Key, action.Reason)
				}
			}
		})
	}
}

func TestWhoLosesAnEndpointByAChangeDoesNotWhileSomethingIsNotKnown(t *testing.T) {
	nowhere := entry("shop", "cart")
	nowhere = labelled(nowhere, map[string]string{render.LabelNoEndpoint: "true"})
	delete(specOf(nowhere), "endpoints")
	specOf(nowhere)["workloadSelector"] = map[string]any{"labels": map[string]any{render.LabelNoEndpoint: "true"}}
	bundle := bundleOf(nowhere)
	bundle.Calls = []render.Call{{Caller: "web", Callee: "cart"}}
	options := keeping()
	if plan := Make(bundle, ourObjects(entry("shop", "cart", "192.0.2.1")), options); plan.Brake != nil || len(plan.Actions) > 0 || plan.Unchanged != 1 {
		t.Errorf("brake %v, actions %v, unchanged %d", plan.Brake, verbs(plan), plan.Unchanged)
	}
	options.Keep = ""
	if plan := Make(bundle, ourObjects(entry("shop", "cart", "192.0.2.1")), options); plan.Brake == nil {
		t.Error("without anything to keep it is not even held")
	}
}

func TestNewObjectsThatNarrowAreHeld(t *testing.T) {
	dry := func(policy *unstructured.Unstructured) *unstructured.Unstructured {
		return annotated(policy, map[string]string{annotationDryRun: "true"})
	}
	everywhere := policy("cart", "everywhere", "ALLOW", "a")
	delete(specOf(everywhere), "selector")
	other := policy("cart", "other", "ALLOW", "a")
	other.SetNamespace("pay")
	going := ourObjects(policy("cart", "old", "ALLOW", "a"))
	now := metav1.Now()
	going.Objects[0].SetDeletionTimestamp(&now)
	fresh := policy("cart", "cart", "ALLOW", "b")

	tests := map[string]struct {
		reason string
		fresh  *unstructured.Unstructured
		view   View
		beside []*unstructured.Unstructured
		want   Verb
	}{
		"the first policy":                      {"it lets in those whom it names, and nobody else", fresh, View{}, nil, Hold},
		"beside another":                        {"who is let in is still let in", fresh, ourObjects(policy("cart", "old", "ALLOW", "a")), nil, Create},
		"beside one for the whole namespace":    {"so is everybody", fresh, ourObjects(everywhere), nil, Create},
		"beside one of another workload":        {"it was open", fresh, ourObjects(policy("stock", "old", "ALLOW", "a")), nil, Hold},
		"beside one of another namespace":       {"it was open", fresh, ourObjects(other), nil, Hold},
		"beside one that denies":                {"everybody else was let in", fresh, ourObjects(policy("cart", "old", "DENY", "a")), nil, Hold},
		"beside one that is only tried":         {"everybody was let in", fresh, ourObjects(dry(policy("cart", "old", "ALLOW", "a"))), nil, Hold},
		"beside one that is only tried by then": {"those whom it lets in would lose it", fresh, ourObjects(policy("cart", "old", "ALLOW", "a")), []*unstructured.Unstructured{dry(policy("cart", "old", "ALLOW", "a"))}, Hold},
		"beside one that is for others by then": {"so would they", fresh, ourObjects(everywhere), []*unstructured.Unstructured{policy("stock", "everywhere", "ALLOW", "a")}, Hold},
		"beside one that goes":                  {"it is gone soon", fresh, going, nil, Hold},
		"beside a foreign one":                  {"what it says is not known", fresh, View{Objects: []*unstructured.Unstructured{stripForeign(everywhere)}}, nil, Hold},
		"only tried":                            {"it keeps nobody out", dry(fresh), View{}, nil, Create},
		"an audit":                              {"so does that", policy("cart", "cart", "AUDIT", "b"), View{}, nil, Create},
		"one that denies":                       {"it keeps out", policy("cart", "cart", "DENY", "b"), ourObjects(policy("cart", "old", "ALLOW", "a")), nil, Hold},
		"a Sidecar":                             {"proxies are told of nothing else then", object("Sidecar", "shop", "cart", "cart", map[string]any{"egress": []any{map[string]any{"hosts": []any{"shop/*"}}}}), View{}, nil, Hold},
		"an entry":                              {"it only adds", entry("shop", "cart", "192.0.2.1"), View{}, nil, Create},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bundle := bundleOf(append(test.beside, test.fresh)...)
			plan := Make(bundle, test.view, keeping())
			at := slices.IndexFunc(plan.Actions, func(action Action) bool { return action.Key == keyOf(test.fresh) })
			if at < 0 || plan.Actions[at].Verb != test.want || test.want == Hold && plan.Actions[at].Reason != lost {
				t.Errorf("%s: %v", test.reason, verbs(plan))
			}
			options := keeping()
			options.Keep = ""
			if verb := verbs(Make(bundle, test.view, options))[keyOf(test.fresh).String()]; verb != Create {
				t.Errorf("without anything to keep: %s", verb)
			}
		})
	}
}

func TestKeepingIsNoDriftAndHasNoEnd(t *testing.T) {
	before, after := exported(entry("shop", "cart", "192.0.2.1", "192.0.2.2"), "a", "b"), exported(entry("shop", "cart", "192.0.2.1", "192.0.2.3"), "b", "c")
	view, known := carried(t, View{}, Make(bundleOf(before), View{}, PlanOptions{Owner: testOwner}))
	options := keeping()
	options.Known = known

	plan := Make(bundleOf(after), view, options)
	if len(plan.Actions) != 1 || plan.Actions[0].Verb != Update || plan.Drifted() != 0 {
		t.Fatalf("the commit: %+v", plan.Actions)
	}
	view, options.Known = carried(t, view, plan)
	if _, desired := plan.Actions[0].Objects(); !slices.Equal(listOf(desired.Object["spec"], "exportTo"), []any{"a", "b", "c"}) || len(listOf(desired.Object["spec"], "endpoints")) != 3 {
		t.Errorf("widened: %v", desired)
	}

	for range 2 {
		if plan = Make(bundleOf(after), view, options); len(plan.Actions) > 0 || plan.Unchanged != 1 {
			t.Errorf("the same commit again: %v, unchanged %d", verbs(plan), plan.Unchanged)
		}
		view, options.Known = carried(t, view, plan)
	}

	// What somebody takes away is put back, as far as anybody knows of it.
	edited := view.Objects[0].DeepCopy()
	specOf(edited)["hosts"] = []any{"other.example.com"}
	plan = Make(bundleOf(after), View{Objects: []*unstructured.Unstructured{edited}}, options)
	if plan.Count(Update) != 1 {
		t.Errorf("an edit is not undone: %v", verbs(plan))
	}
	specOf(edited)["hosts"] = specOf(after)["hosts"]
	specOf(edited)["location"] = "MESH_EXTERNAL"
	if plan = Make(bundleOf(after), View{Objects: []*unstructured.Unstructured{edited}}, options); plan.Drifted() != 1 {
		t.Errorf("somebody's edit is no drift: %+v", plan.Actions)
	}

	options.Keep = ""
	plan = Make(bundleOf(after), view, options)
	if plan.Count(Update) != 1 || plan.Drifted() != 0 {
		t.Errorf("when all is known: %v, %d drifted", verbs(plan), plan.Drifted())
	}
	view, options.Known = carried(t, view, plan)
	if plan = Make(bundleOf(after), view, options); len(plan.Actions) > 0 || len(differences(after, view.Objects[0], testOwner.ID)) > 0 {
		t.Errorf("it is not narrowed: %v", view.Objects[0])
	}
}

func named(one *unstructured.Unstructured, identities ...any) *unstructured.Unstructured {
	specOf(one)["subjectAltNames"] = identities
	return one
}

func exported(one *unstructured.Unstructured, to ...any) *unstructured.Unstructured {
	specOf(one)["exportTo"] = to
	return one
}

func TestWhatCannotStandBesideTheOldWaits(t *testing.T) {
	byName := func(name string) *unstructured.Unstructured {
		out := entry("shop", "cart", "gw.example.com")
		out.SetName(name)
		specOf(out)["resolution"] = "DNS"
		return out
	}
	byAddress := func(name string) *unstructured.Unstructured {
		out := entry("shop", "cart", "192.0.2.1")
		out.SetName(name)
		return out
	}
	in := func(one *unstructured.Unstructured, locality string) *unstructured.Unstructured {
		for _, endpoint := range listOf(one.Object["spec"], "endpoints") {
			fieldsOf(endpoint)["locality"] = locality
		}
		return one
	}
	ordered := rule("shop", "cart")
	specOf(ordered)["trafficPolicy"].(map[string]any)["loadBalancer"] = map[string]any{"localityLbSetting": map[string]any{"failoverPriority": []any{"a"}}}

	tests := map[string]struct {
		reason       string
		live, bundle []*unstructured.Unstructured
		want         map[string]Verb
	}{
		"one half by name and the other not": {
			"Istio would follow the older one, and lose the endpoints of the other",
			[]*unstructured.Unstructured{byAddress("local")},
			[]*unstructured.Unstructured{byName("remote"), route("shop", "cart", "1s"), rule("pay", "cart")},
			map[string]Verb{"ServiceEntry/shop/local": Hold, "ServiceEntry/shop/remote": Hold, "VirtualService/shop/cart": Hold, "DestinationRule/pay/cart": Hold},
		},
		"one half with other identities": {
			"endpoints of the new one would be refused by what the older one says",
			[]*unstructured.Unstructured{named(byAddress("local"), "a")},
			[]*unstructured.Unstructured{named(byAddress("remote"), "a", "b")},
			map[string]Verb{"ServiceEntry/shop/local": Hold, "ServiceEntry/shop/remote": Hold},
		},
		"one half with fewer identities": {
			"the older one knows them all",
			[]*unstructured.Unstructured{named(byAddress("local"), "a", "b")},
			[]*unstructured.Unstructured{named(byAddress("remote"), "a")},
			map[string]Verb{"ServiceEntry/shop/local": Hold, "ServiceEntry/shop/remote": Create},
		},
		"both halves with other identities": {
			"both get to know them",
			[]*unstructured.Unstructured{named(byAddress("local"), "a"), named(byAddress("remote"), "a")},
			[]*unstructured.Unstructured{named(byAddress("remote"), "b"), named(byAddress("local"), "b")},
			map[string]Verb{"ServiceEntry/shop/local": Update, "ServiceEntry/shop/remote": Update},
		},
		"both halves by name": {
			"pods and addresses are looked up as well",
			[]*unstructured.Unstructured{byAddress("local"), byAddress("remote")},
			[]*unstructured.Unstructured{byName("remote"), byName("local")},
			map[string]Verb{"ServiceEntry/shop/local": Update, "ServiceEntry/shop/remote": Update},
		},
		"addresses instead of a name": {
			"they stand side by side",
			[]*unstructured.Unstructured{byName("remote")},
			[]*unstructured.Unstructured{byAddress("remote")},
			map[string]Verb{"ServiceEntry/shop/remote": Update},
		},
		"addresses of other places instead of a name, in order": {
			"istiod would panic (istio/istio#61857)",
			[]*unstructured.Unstructured{byName("remote")},
			[]*unstructured.Unstructured{in(byAddress("remote"), "eu"), ordered, rule("shop", "stock")},
			map[string]Verb{"ServiceEntry/shop/remote": Hold, "DestinationRule/shop/cart": Hold, "DestinationRule/shop/stock": Create},
		},
		"what does not fit any more today": {
			"it is no worse for the new beside it",
			[]*unstructured.Unstructured{byName("remote"), byAddress("local")},
			[]*unstructured.Unstructured{byName("remote"), byAddress("other")},
			map[string]Verb{"ServiceEntry/shop/local": Hold, "ServiceEntry/shop/other": Create},
		},
		"what does not fit by itself": {
			"it is no worse for the old beside it",
			[]*unstructured.Unstructured{byName("remote")},
			[]*unstructured.Unstructured{byName("remote"), byAddress("local")},
			map[string]Verb{"ServiceEntry/shop/local": Create},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			plan := Make(bundleOf(test.bundle...), ourObjects(test.live...), keeping())
			if diff := cmp.Diff(test.want, verbs(plan)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.reason, diff)
			}
			for _, action := range plan.Actions {
				if action.Verb == Hold && action.Reason != lost {
					t.Errorf("%s: %s", action.Key, action.Reason)
				}
			}
		})
	}
}

// Whole bundles, of which services vanish or change, come and go: nothing is taken away as long as there is something to keep, nothing is
// written twice, and after that the cluster is as the bundle says.
func TestPlansThatKeepSettleAndEnd(t *testing.T) {
	validator, err := istio.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	pool := specimens(t, validator)
	seed := rand.Uint64()
	random := mutator{rand.New(rand.NewPCG(seed, 0))}
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("seed %d: "+format, append([]any{seed}, args...)...)
	}
	// drawn are a few objects, some of them changed.
	drawn := func() *render.Bundle {
		objects := map[render.Key]*unstructured.Unstructured{}
		for range 30 {
			kind := slices.Sorted(maps.Keys(pool))[random.IntN(len(pool))]
			one := pool[kind][random.IntN(len(pool[kind]))].DeepCopy()
			if random.IntN(2) == 0 {
				random.change(fieldsOf(one.Object, "spec"), fieldsOf(pool[kind][random.IntN(len(pool[kind]))].Object, "spec"))
			}
			if valid(validator, one) {
				objects[keyOf(one)] = one
			}
		}
		return bundleOf(slices.Collect(maps.Values(objects))...)
	}

	for range 20 {
		view, known := View{}, Record(nil)
		for round := range 6 {
			bundle := drawn()
			options := PlanOptions{Owner: testOwner, Prune: true, MaxPrunePercent: 100, Known: known, Keep: lost}
			if round%3 == 0 {
				options.Keep = ""
			}
			plan := Make(bundle, view, options)
			if plan.Brake != nil && plan.Brake.Kind != LastEndpoint || plan.Drifted() > 0 {
				fail("brake %v, %d drifted", plan.Brake, plan.Drifted())
			}
			before := view
			view, options.Known = carried(t, view, plan)
			if again := Make(bundle, view, options); again.Writes() {
				fail("the second plan writes: %v, %v", verbs(again), again.Actions[0].Fields)
			}
			if options.Keep == "" {
				for _, resource := range bundle.Resources {
					at := slices.IndexFunc(view.Objects, func(one *unstructured.Unstructured) bool { return keyOf(one) == resource.Key })
					if fields := differences(resource.Object(), view.Objects[at], testOwner.ID); len(fields) > 0 {
						fail("%s differs in %v", resource.Key, fields)
					}
				}
				if len(view.Objects) != len(bundle.Resources) {
					fail("%d objects for %d resources", len(view.Objects), len(bundle.Resources))
				}
				known = options.Known
				continue
			}
			for _, had := range before.Objects {
				at := slices.IndexFunc(view.Objects, func(one *unstructured.Unstructured) bool { return keyOf(one) == keyOf(had) })
				if at < 0 {
					fail("%s is gone", keyOf(had))
				}
				if gone := oracles[had.GetKind()](had, view.Objects[at], random); len(gone) > 0 {
					fail("%s lost %s", keyOf(had), strings.Join(gone, ", "))
				}
			}
			known = options.Known
		}
	}
}

func TestWhatIsKeptOnAClusterGoesWhenAllIsKnown(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	cart := exported(entry("shop", "cart", "192.0.2.1", "192.0.2.2"), "pay", "web")
	first := bundleOf(cart, rule("shop", "cart"), route("shop", "cart", "5s"), entry("shop", "ledger", "192.0.2.1"),
		stub(t, "shop", "cart"), policy("cart", "cart", "ALLOW", "spiffe/ledger", "spiffe/web"))
	k.sync(first)

	more := stub(t, "shop", "cart")
	specOf(more)["ports"] = []any{map[string]any{"name": "grpc", "port": int64(9000), "protocol": "TCP", "targetPort": int64(9000)}}
	second := bundleOf(exported(entry("shop", "cart", "192.0.2.1", "192.0.2.3"), "app", "web"), route("shop", "cart", "7s"), route("shop", "new", "1s"),
		more, policy("cart", "cart", "ALLOW", "spiffe/app", "spiffe/web"), policy("stock", "stock", "ALLOW", "spiffe/web"))
	k.options.Keep = lost
	plan := k.plan(second)
	want := map[string]Verb{
		"Service/shop/cart": Update, "ServiceEntry/shop/cart": Update, "VirtualService/shop/cart": Update, "VirtualService/shop/new": Create, "AuthorizationPolicy/shop/cart": Update,
		"ServiceEntry/shop/ledger": Hold, "DestinationRule/shop/cart": Hold, "AuthorizationPolicy/shop/stock": Hold,
	}
	if diff := cmp.Diff(want, verbs(plan)); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	if result := k.sync(second); result.Wrote() != 5 || result.Drifted != 0 {
		t.Errorf("the first run: %+v", result)
	}
	spec := specOf(c.get(cart))
	if !cmp.Equal(spec["exportTo"], []any{"app", "pay", "web"}) || len(listOf(spec, "endpoints")) != 3 {
		t.Errorf("the entry: %v", spec)
	}
	granted := specOf(c.get(policy("cart", "cart", "ALLOW")))
	if !strings.Contains(text(granted), `["spiffe/app","spiffe/ledger","spiffe/web"]`) {
		t.Errorf("the policy: %v", granted)
	}
	if ports := listOf(specOf(c.get(more)), "ports"); len(ports) != 2 {
		t.Errorf("the stub: %v", ports)
	}
	for _, kept := range []*unstructured.Unstructured{entry("shop", "ledger"), rule("shop", "cart")} {
		if !c.exists(kept) {
			t.Errorf("%s is gone", keyOf(kept))
		}
	}

	// The second run has nothing to do, and neither has that of a new process.
	for _, run := range []*controller{k, c.start()} {
		run.options.Keep = lost
		before := run.look()
		if plan := run.plan(second); plan.Writes() || plan.Unchanged != 5 || len(before.Objects) == 0 {
			t.Errorf("the next run: %v, unchanged %d", verbs(plan), plan.Unchanged)
		}
	}

	// Drift is put right all the while.
	c.patch(cart, `{"spec":{"exportTo":["pay"]}}`)
	plan = k.planUntil(second, "the edit is seen", func(p Plan) bool { return p.Count(Update) == 1 })
	if _, err := k.apply(plan); err != nil {
		t.Fatal(err)
	}
	if spec := specOf(c.get(cart)); !cmp.Equal(spec["exportTo"], []any{"app", "pay", "web"}) {
		t.Errorf("after the edit: %v", spec)
	}

	k.options.Keep, k.options.MaxPrunePercent = "", 100
	if result := k.sync(second); result.Drifted != 0 || result.Deleted != 2 || result.Created != 1 || result.Updated != 3 {
		t.Errorf("when all is known: %+v", result)
	}
	c.equal(second)
}
