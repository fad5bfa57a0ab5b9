package apply

import (
	"cmp"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/istio"
)

// order sorts actions into the order in which they are carried out: all writes by kind as in [istio.Kinds], then
// all deletes by kind the other way round, then what is only told. Within a kind it is by key.
//
// It is the one place that knows the order: a finer one, by what widens and what narrows, belongs here.
func order(actions []Action) []Action {
	sorted := slices.Clone(actions)
	slices.SortStableFunc(sorted, func(a, b Action) int {
		return cmp.Or(
			cmp.Compare(stageOf(a), stageOf(b)),
			cmp.Compare(a.Key.String(), b.Key.String()),
		)
	})
	return sorted
}

// stages cuts ordered actions into those that may be carried out side by side; what is only told is left out.
func stages(ordered []Action) [][]Action {
	var out [][]Action
	for i, action := range ordered {
		if !action.writes() {
			continue
		}
		if i == 0 || len(out) == 0 || stageOf(ordered[i-1]) != stageOf(action) {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], action)
	}
	return out
}

func stageOf(action Action) int {
	kind := slices.IndexFunc(istio.Kinds, func(k istio.Kind) bool { return k.Kind == action.Key.Kind })
	switch {
	case action.Verb == Delete:
		return 2*len(istio.Kinds) - kind
	case action.writes():
		return kind
	default:
		return 3 * len(istio.Kinds)
	}
}
