package apply

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

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
		action(Update, "VirtualService", "a"),
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
