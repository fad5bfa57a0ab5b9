package apply

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

func TestOrder(t *testing.T) {
	action := func(verb Verb, kind, name string) Action {
		return Action{Verb: verb, Key: render.Key{Kind: kind, Namespace: "shop", Name: name}}
	}
	want := []Action{
		action(Create, "Service", "s"),
		action(Create, "Gateway", "g"),
		action(Create, "ServiceEntry", "a"),
		action(Update, "ServiceEntry", "b"),
		action(Claim, "ServiceEntry", "c"),
		{Verb: Update, Effect: Changes, Key: render.Key{Kind: "VirtualService", Namespace: "shop", Name: "a"}},
		action(Create, "AuthorizationPolicy", "p"),
		action(Delete, "AuthorizationPolicy", "q"),
		action(Delete, "VirtualService", "b"),
		action(Delete, "VirtualService", "c"),
		action(Delete, "Gateway", "h"),
		action(Delete, "Service", "t"),
		action(Hold, "Gateway", "i"),
		action(Refuse, "ServiceEntry", "d"),
		action(Report, "VirtualService", "e"),
	}
	seed := rand.Uint64()
	shuffled := append([]Action(nil), want...)
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })

	names := func(actions []Action) []string {
		var out []string
		for _, action := range actions {
			out = append(out, string(action.Verb)+" "+action.Key.String())
		}
		return out
	}
	ordered := order(shuffled)
	if diff := cmp.Diff(names(want), names(ordered)); diff != "" {
		t.Errorf("seed %d (-want +got):\n%s", seed, diff)
	}
	var sizes []int
	all, beforePause := stages(ordered)
	if beforePause != 5 {
		t.Errorf("%d stages come before the pause", beforePause)
	}
	for _, stage := range all {
		sizes = append(sizes, len(stage))
	}
	if diff := cmp.Diff([]int{1, 1, 3, 1, 1, 1, 2, 1, 1}, sizes); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}
	if got, _ := stages(order(want[12:])); len(got) != 0 {
		t.Errorf("what is only told became a stage: %v", got)
	}
}

func TestWhatAltersIsWrittenInTheOrderOfWhatWidens(t *testing.T) {
	random := rand.New(rand.NewPCG(seedOf(t), 0))
	some := func() []*unstructured.Unstructured {
		var objects []*unstructured.Unstructured
		for _, name := range []string{"a", "b", "c"} {
			objects = append(objects, randomService(random, name)...)
		}
		return objects
	}
	steps := func(plan Plan) (out [][]string, beforePause int) {
		all, beforePause := stages(order(plan.Actions))
		for _, stage := range all {
			var names []string
			for _, step := range stage {
				names = append(names, fmt.Sprint(step.action.Verb, " ", step.action.Key, " ", step.first))
			}
			out = append(out, names)
		}
		return out, beforePause
	}
	altered := 0
	for range 200 {
		plan := Make(bundleOf(some()...), ourObjects(some()...), PlanOptions{Owner: testOwner, Prune: true, MaxPrunePercent: 100})
		got, pause := steps(plan)
		for i := range plan.Actions {
			if plan.Actions[i].Effect == Changes {
				altered++
				plan.Actions[i].Effect = Adds
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
