package plans

import (
	"cmp"
	"maps"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/istio"
)

// order sorts actions into the order in which they begin: what widens by kind as in [istio.Kinds], so that what is used comes before what
// uses it; then what narrows by kind the other way round; then what is only told. Within a kind it is by key.
func SortActions(actions []Action) []Action {
	sorted := slices.Clone(actions)
	slices.SortStableFunc(sorted, func(a, b Action) int {
		return cmp.Or(
			cmp.Compare(StageOf(a, true), StageOf(b, true)),
			cmp.Compare(a.Key.String(), b.Key.String()),
		)
	})
	return sorted
}

// stages cuts a plan into steps that may be carried out side by side, and tells how many of these come before the pause in which proxies
// learn of what was widened.
func Stages(actions []Action) (out [][]Step, beforePause int) {
	of := map[int][]Step{}
	for _, action := range actions {
		if !action.Writes() {
			continue
		}
		twice := action.NeedsTwoPhases()
		n := StageOf(action, true)
		of[n] = append(of[n], Step{Action: action, First: twice})
		if twice {
			n = StageOf(action, false)
			of[n] = append(of[n], Step{Action: action})
		}
	}
	for _, n := range slices.Sorted(maps.Keys(of)) {
		if n <= LastAdditiveStage() {
			beforePause++
		}
		out = append(out, of[n])
	}
	return out, beforePause
}

// stageOf is where the first or the last write of an action belongs. Access is taken away before the pause: who may not call any
// more is not let in a moment longer.
func StageOf(action Action, first bool) int {
	kinds := len(istio.Kinds)
	kind := slices.IndexFunc(istio.Kinds, func(k istio.Kind) bool { return k.Kind == action.Key.Kind })
	widens := action.Verb != Delete && action.Effect != Removes && (!action.NeedsTwoPhases() || first)
	switch {
	case !action.Writes():
		return 3 * kinds
	case widens:
		return kind
	case action.Key.Kind == istio.AuthorizationPolicyKind && action.Verb != Delete:
		return LastAdditiveStage()
	default:
		return 2*kinds - kind
	}
}

// lastBeforePause is the stage after all that widens.
func LastAdditiveStage() int { return len(istio.Kinds) }
