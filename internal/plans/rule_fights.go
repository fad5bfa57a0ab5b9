package plans

// backOffFromFights skips corrections of objects that another writer keeps changing. The planner
// tells which, and for how long; see [Fights].
func backOffFromFights(d *Draft) {
	d.each(func(action Action) Action {
		if backoff, ok := d.Memory.Backoffs[action.Key]; ok && action.Drift {
			action.Verb, action.Reason, action.Fields, action.Drift = Skip, backoff, nil, false
		}
		return action
	})
}
