package apply

import (
	"cmp"
	"maps"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/istio"
)

// order sorts actions into the order in which they begin: what widens by kind as in [istio.Kinds], so that what is used comes before what
// uses it; then what narrows by kind the other way round; then what is only told. Within a kind it is by key.
func order(actions []Action) []Action {
	sorted := slices.Clone(actions)
	slices.SortStableFunc(sorted, func(a, b Action) int {
		return cmp.Or(
			cmp.Compare(stageOf(a, true), stageOf(b, true)),
			cmp.Compare(a.Key.String(), b.Key.String()),
		)
	})
	return sorted
}

// stages cuts a plan into steps that may be carried out side by side, and tells how many of these come before the pause in which proxies
// learn of what was widened.
func stages(actions []Action) (out [][]step, beforePause int) {
	of := map[int][]step{}
	for _, action := range actions {
		if !action.writes() {
			continue
		}
		twice := action.twice()
		n := stageOf(action, true)
		of[n] = append(of[n], step{action: action, first: twice})
		if twice {
			n = stageOf(action, false)
			of[n] = append(of[n], step{action: action})
		}
	}
	for _, n := range slices.Sorted(maps.Keys(of)) {
		if n <= lastBeforePause() {
			beforePause++
		}
		out = append(out, of[n])
	}
	return out, beforePause
}

// stageOf is where the first or the last write of an action belongs. Access is taken away before the pause: who may not call any
// more is not let in a moment longer.
func stageOf(action Action, first bool) int {
	kinds := len(istio.Kinds)
	kind := slices.IndexFunc(istio.Kinds, func(k istio.Kind) bool { return k.Kind == action.Key.Kind })
	widens := action.Verb != Delete && action.Effect != Removes && (!action.twice() || first)
	switch {
	case !action.writes():
		return 3 * kinds
	case widens:
		return kind
	case action.Key.Kind == policyKind && action.Verb != Delete:
		return lastBeforePause()
	default:
		return 2*kinds - kind
	}
}

// lastBeforePause is the stage after all that widens.
func lastBeforePause() int { return len(istio.Kinds) }
