package plans_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/plantest"
)

func TestOrderAndStagesOfActions(t *testing.T) {
	action := func(verb plans.Verb, kind, name string) plans.Action {
		return plans.Action{Verb: verb, Key: render.Key{Kind: kind, Namespace: "shop", Name: name}}
	}
	want := []plans.Action{
		action(plans.Create, "Service", "s"),
		action(plans.Create, "Gateway", "g"),
		action(plans.Create, "ServiceEntry", "a"),
		action(plans.Update, "ServiceEntry", "b"),
		action(plans.Claim, "ServiceEntry", "c"),
		{Verb: plans.Update, Effect: plans.Changes, Key: render.Key{Kind: "VirtualService", Namespace: "shop", Name: "a"}},
		action(plans.Create, "AuthorizationPolicy", "p"),
		action(plans.Delete, "AuthorizationPolicy", "q"),
		action(plans.Delete, "VirtualService", "b"),
		action(plans.Delete, "VirtualService", "c"),
		action(plans.Delete, "Gateway", "h"),
		action(plans.Delete, "Service", "t"),
		action(plans.Skip, "Gateway", "i"),
		action(plans.Refuse, "ServiceEntry", "d"),
		action(plans.Report, "VirtualService", "e"),
	}
	seed := rand.Uint64()
	shuffled := append([]plans.Action(nil), want...)
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })

	names := func(actions []plans.Action) []string {
		var out []string
		for _, action := range actions {
			out = append(out, string(action.Verb)+" "+action.Key.String())
		}
		return out
	}
	ordered := plans.Sorted(shuffled)
	if diff := cmp.Diff(names(want), names(ordered)); diff != "" {
		t.Errorf("seed %d (-want +got):\n%s", seed, diff)
	}
	var sizes []int
	all, beforePause := plans.Stages(ordered)
	if beforePause != 5 {
		t.Errorf("%d stages come before the pause", beforePause)
	}
	for _, stage := range all {
		sizes = append(sizes, len(stage))
	}
	if diff := cmp.Diff([]int{1, 1, 3, 1, 1, 1, 2, 1, 1}, sizes); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}
	if got, _ := plans.Stages(plans.Sorted(want[12:])); len(got) != 0 {
		t.Errorf("what is only told became a stage: %v", got)
	}
}

func TestChangesAreWrittenInTheOrderOfAdditions(t *testing.T) {
	random := rand.New(rand.NewPCG(istiotest.Seed(t), 0))
	some := func() []*unstructured.Unstructured {
		var objects []*unstructured.Unstructured
		for _, name := range []string{"a", "b", "c"} {
			objects = append(objects, istiotest.RandomService(random, name)...)
		}
		return objects
	}
	steps := func(plan plans.Plan) (out [][]string, beforePause int) {
		all, beforePause := plans.Stages(plans.Sorted(plan.Actions))
		for _, stage := range all {
			var names []string
			for _, step := range stage {
				names = append(names, fmt.Sprint(step.Action.Verb, " ", step.Action.Key, " ", step.First))
			}
			out = append(out, names)
		}
		return out, beforePause
	}
	altered := 0
	for range 200 {
		plan := plans.Make(istiotest.Bundle(some()...), plantest.LiveState(some()...), plans.Options{Owner: plantest.Owner, Prune: true, MaxPrunePercent: 100})
		got, pause := steps(plan)
		for i := range plan.Actions {
			if plan.Actions[i].Effect == plans.Changes {
				altered++
				plan.Actions[i].Effect = plans.Adds
			}
		}
		want, at := steps(plan)
		if diff := cmp.Diff(want, got); diff != "" || pause != at {
			t.Fatalf("as if it widened, with the pause after %d, and as it is, after %d: -widens, +alters:\n%s", at, pause, diff)
		}
	}
	if altered == 0 {
		t.Error("nothing altered: that proves nothing")
	}
}
