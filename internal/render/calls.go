package render

import (
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/mesh"
)

// calls are the view's calls with the ServiceEntries that give them endpoints here. Clusters that share a control plane share its
// entries, so a call is one, whichever of them it comes from.
func calls(view *mesh.View, resources []Resource) []Call {
	entries := map[string][]Key{}
	for _, r := range resources {
		if r.Key.Kind == "ServiceEntry" && r.Side == SideCall && !r.noEndpoint {
			entries[r.Service] = append(entries[r.Service], r.Key)
		}
	}
	out := make([]Call, 0, len(view.Calls))
	for _, c := range view.Calls {
		out = append(out, Call{Caller: c.Caller, Callee: c.Callee, Entries: entries[c.Callee]})
	}
	return slices.CompactFunc(out, func(a, b Call) bool { return a.Caller == b.Caller && a.Callee == b.Callee })
}

// services counts those that run here or are called from here.
func services(view *mesh.View) int {
	names := map[string]struct{}{}
	for _, s := range view.Runs {
		names[s] = struct{}{}
	}
	for _, c := range view.Calls {
		names[c.Callee] = struct{}{}
	}
	return len(names)
}
