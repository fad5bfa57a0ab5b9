package merge

import (
	"cmp"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/nested"
)

// mergeEgress merges the hosts of each listener. Without egress, a proxy knows all hosts.
func mergeEgress(desired, live []any) []any {
	if len(desired) == 0 {
		return desired
	}
	if len(live) == 0 {
		live = []any{map[string]any{"hosts": []any{"*/*"}}}
	}
	merged := slices.Clone(keyedList{
		key:  keyedBy("port.number", "bind", "captureMode"),
		both: listRules{"hosts": mergeStrings}.merge,
	}.merge(desired, live))
	// The listener without a port is for all other ports, and must be the last.
	slices.SortStableFunc(merged, func(a, b any) int {
		return cmp.Compare(min(1, len(nested.Map(b, "port"))), min(1, len(nested.Map(a, "port"))))
	})
	return merged
}

// finishSidecar keeps the selector, unless the desired one selects only some of the same workloads.
// A workload without a Sidecar knows all hosts.
func finishSidecar(merged, desired, live map[string]any) map[string]any {
	if !selectsAllOf(nested.Map(live, "workloadSelector", "labels"), nested.Map(desired, "workloadSelector", "labels")) {
		copyFields(merged, live, "workloadSelector")
	}
	return merged
}
