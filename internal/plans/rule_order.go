package plans

import (
	"cmp"
	"maps"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/istio"
)

// sortActions sorts actions into the order in which they begin: additions in the order of
// [istio.Kinds], so that an object exists before another uses it; then removals in the reverse
// order; then everything that is not written. Within a kind the order is by key.
func sortActions(d *Draft) { d.Plan.Actions = Sorted(d.Plan.Actions) }

// Sorted returns the actions in the order in which they begin.
func Sorted(actions []Action) []Action {
	out := slices.Clone(actions)
	slices.SortStableFunc(out, func(a, b Action) int {
		return cmp.Or(
			cmp.Compare(stageOf(a, true), stageOf(b, true)),
			cmp.Compare(a.Key.String(), b.Key.String()),
		)
	})
	return out
}

// Stages divides a plan into stages of steps that may run concurrently, and counts the stages
// before the settle time.
func Stages(actions []Action) (out [][]Step, beforePause int) {
	of := map[int][]Step{}
	for _, action := range actions {
		if !action.Writes() {
			continue
		}
		twice := action.NeedsTwoPhases()
		n := stageOf(action, true)
		of[n] = append(of[n], Step{Action: action, First: twice})
		if twice {
			n = stageOf(action, false)
			of[n] = append(of[n], Step{Action: action})
		}
	}
	for _, n := range slices.Sorted(maps.Keys(of)) {
		if n <= lastAdditiveStage() {
			beforePause++
		}
		out = append(out, of[n])
	}
	return out, beforePause
}

// stageOf is the stage of the first or the last write of an action. Revoked access does not wait
// for the settle time.
func stageOf(action Action, first bool) int {
	kinds := len(istio.Kinds)
	kind := slices.IndexFunc(istio.Kinds, func(k istio.Kind) bool { return k.Kind == action.Key.Kind })
	widens := action.Verb != Delete && action.Effect != Removes && (!action.NeedsTwoPhases() || first)
	switch {
	case !action.Writes():
		return 3 * kinds
	case widens:
		return kind
	case action.Key.Kind == istio.AuthorizationPolicyKind && action.Verb != Delete:
		return lastAdditiveStage()
	default:
		return 2*kinds - kind
	}
}

// lastAdditiveStage is the stage after all additions.
func lastAdditiveStage() int { return len(istio.Kinds) }
