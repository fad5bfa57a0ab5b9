package trace

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// finish sorts the result, merges branches that differ in the share only, and sets Error if no pod
// accepts the call.
func (r *Result) finish() {
	r.Arrivals = mergeArrivals(r.Arrivals)
	r.Mirrors = mergeArrivals(r.Mirrors)
	r.DeadEnds = mergeDeadEnds(r.DeadEnds)
	slices.Sort(r.LoopRisks)
	slices.Sort(r.Undecided)
	if r.Error != "" || r.LocalReply != "" && len(r.Arrivals) == 0 && len(r.DeadEnds) == 0 || r.Passthrough {
		return
	}
	var reasons []string
	for _, a := range r.Arrivals {
		switch {
		case a.Rejected != "":
			reasons = append(reasons, a.Rejected)
		case a.Denied != "":
			reasons = append(reasons, fmt.Sprintf("denied at %s/%s by policy %s", a.Cluster, a.Pod, a.Denied))
		default:
			return
		}
	}
	for _, d := range r.DeadEnds {
		reasons = append(reasons, d.Reason)
	}
	slices.Sort(reasons)
	r.Error = strings.Join(slices.Compact(reasons), "; ")
}

func mergeArrivals(all []Arrival) []Arrival {
	key := func(a Arrival) string {
		a.Share = 0
		return fmt.Sprintf("%03d %+v", a.Priority, a)
	}
	slices.SortStableFunc(all, func(a, b Arrival) int { return cmp.Compare(key(a), key(b)) })
	var merged []Arrival
	for _, a := range all {
		if n := len(merged); n > 0 && key(merged[n-1]) == key(a) {
			merged[n-1].Share += a.Share
			continue
		}
		merged = append(merged, a)
	}
	return merged
}

func mergeDeadEnds(all []DeadEnd) []DeadEnd {
	key := func(d DeadEnd) string {
		d.Share = 0
		return fmt.Sprintf("%03d %+v", d.Priority, d)
	}
	slices.SortStableFunc(all, func(a, b DeadEnd) int { return cmp.Compare(key(a), key(b)) })
	var merged []DeadEnd
	for _, d := range all {
		if n := len(merged); n > 0 && key(merged[n-1]) == key(d) {
			merged[n-1].Share += d.Share
			continue
		}
		merged = append(merged, d)
	}
	return merged
}
