package render

import (
	"github.com/isthmus-mesh/isthmus/internal/mesh"
)

// calls adds to each call of the view the ServiceEntries that give it endpoints.
func calls(view *mesh.View, resources []Resource) []Call {
	entries := map[string][]Key{}
	for _, r := range resources {
		if r.Key.Kind == "ServiceEntry" && r.Side == SideCall && !r.noEndpoint {
			entries[r.Service] = append(entries[r.Service], r.Key)
		}
	}
	out := make([]Call, len(view.Calls))
	for i, c := range view.Calls {
		out[i] = Call{Caller: c.Caller, Callee: c.Callee, Entries: entries[c.Callee]}
	}
	return out
}

// countServices counts the services that run here or are called from here.
func countServices(view *mesh.View) int {
	names := map[string]struct{}{}
	for _, s := range view.Runs {
		names[s] = struct{}{}
	}
	for _, c := range view.Calls {
		names[c.Callee] = struct{}{}
	}
	return len(names)
}
