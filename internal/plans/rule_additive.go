package plans

import "github.com/isthmus-mesh/isthmus/internal/merge"

// skipRemovals applies while [Options.AdditiveOnly] is set. Deletions are skipped and updates are
// merged already. This rule skips what still takes something away: a new object that narrows (a
// Sidecar, the first ALLOW policy of a workload), and routing whose old and new objects conflict.
func skipRemovals(d *Draft) {
	if d.Options.AdditiveOnly == nil {
		return
	}
	after := d.objectsAfter(d.Plan.Actions)
	conflicting := d.conflictingServices(d.Plan.Actions, after)
	d.each(func(action Action) Action {
		writes := action.Verb == Create || action.Verb == Update
		conflicts := writes && conflicting.Has(action.Service) && IsRouting(action.Key.Kind)
		if conflicts || action.Verb == Create && merge.Restricts(action.Desired, d.Live, after) {
			action.Verb, action.Reason, action.Fields, action.Drift = Skip, *d.Options.AdditiveOnly, nil, false
		}
		return action
	})
}
