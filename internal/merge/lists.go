package merge

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/nested"
)

// keyedList merges two lists of objects that have a key.
type keyedList struct {
	key func(item map[string]any) string
	// both merges an item that both lists have. The default is the desired item.
	both func(desired, live map[string]any) map[string]any
	// liveOnly is the part that stays of an item that only the live list has, nil if none does.
	// The default is the whole item.
	liveOnly func(live map[string]any) map[string]any
}

// merge returns the desired list itself if no item would be lost. Otherwise the result has the
// order of the live list, with new items behind it. The n-th item of a key is merged with the n-th
// item of that key in the other list, or with its last one.
func (l keyedList) merge(desired, live []any) []any {
	unmatched := map[string][]int{}
	for i, item := range desired {
		key := l.key(nested.Map(item))
		unmatched[key] = append(unmatched[key], i)
	}
	items := slices.Clone(desired) // and, behind them, items that only the live list has
	var order []int
	lost := false
	for _, item := range live {
		had := nested.Map(item)
		key := l.key(had)
		at := unmatched[key]
		if len(at) == 0 {
			if l.liveOnly != nil {
				had = l.liveOnly(had)
			}
			if had == nil {
				continue
			}
			at, items, lost = []int{len(items)}, append(items, had), true
		} else {
			unmatched[key] = at[min(1, len(at)-1):]
			if was := items[at[0]]; l.both != nil {
				items[at[0]] = l.both(nested.Map(was), had)
				lost = lost || !Same(items[at[0]], was)
			}
		}
		order = append(order, at[0])
	}
	if !lost {
		return desired
	}

	for i := range desired {
		order = append(order, i)
	}
	var merged []any
	placed := make([]bool, len(items))
	for _, at := range order {
		if !placed[at] {
			merged = append(merged, items[at])
		}
		placed[at] = true
	}
	return merged
}

// keyedBy returns the key that consists of the values at paths such as "port.number".
func keyedBy(paths ...string) func(item map[string]any) string {
	return func(item map[string]any) string {
		values := make([]any, len(paths))
		for i, path := range paths {
			names := strings.Split(path, ".")
			last := len(names) - 1
			values[i] = nested.Map(item, names[:last]...)[names[last]]
		}
		return nested.JSON(values)
	}
}

// mergeStrings returns either list if it has all items of the other, so that a different order
// alone is no change. A sorted list stays sorted.
func mergeStrings(desired, live []any) []any {
	lost := minus(live, desired)
	switch {
	case len(lost) == 0:
		return desired
	case len(minus(desired, live)) == 0:
		return live
	}
	byText := func(a, b any) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) }
	merged := slices.Concat(desired, lost)
	if slices.IsSortedFunc(desired, byText) {
		slices.SortFunc(merged, byText)
	}
	return slices.Compact(merged)
}

// mergeExports merges the namespaces of exportTo. An empty list means the default of the mesh,
// which mostly is all namespaces; only "*" is certain to include them.
func mergeExports(namespace string, desired, live []any) []any {
	all := func(to []any) bool { return len(to) == 0 || slices.Contains(to, "*") }
	none := func(to []any) bool { return slices.Contains(to, "~") }
	switch {
	case len(desired)+len(live) == 0, slices.Contains(desired, "*"), none(live):
		return desired
	case all(desired), all(live):
		return []any{"*"}
	case none(desired):
		return live
	}
	// Istio rejects a list that has its own namespace both by name and as ".".
	alias := map[any]any{".": namespace, namespace: "."}
	return mergeStrings(desired, slices.DeleteFunc(slices.Clone(live), func(to any) bool {
		return !slices.Contains(desired, to) && alias[to] != nil && slices.Contains(desired, alias[to])
	}))
}

// mergePortsBy merges ports by their number, which is in the given field. A port that only the live
// list has is renamed if a desired port has its name.
func mergePortsBy(field string) func(desired, live []any) []any {
	return func(desired, live []any) []any {
		return keyedList{
			key:      keyedBy(field),
			liveOnly: func(live map[string]any) map[string]any { return renamed(live, field, desired) },
		}.merge(desired, live)
	}
}

// renamed returns the port under a name that no other port has: "http-8080" for "http". A name has
// at most 63 characters.
func renamed(port map[string]any, field string, others []any) map[string]any {
	const longest = 63
	name, _ := port["name"].(string)
	suffix := "-" + PortNumber(port, field)
	out := port
	for someItem(others, func(other map[string]any) bool { return other["name"] == name }) {
		name = strings.TrimRight(name[:min(len(name), longest-len(suffix))], "-.") + suffix
		suffix += "-" + PortNumber(port, field)
		out = maps.Clone(port)
		out["name"] = name
	}
	return out
}

// minus returns the items of a list that another list does not have. Items are scalars.
func minus(list, other []any) []any {
	return slices.DeleteFunc(slices.Clone(list), func(item any) bool { return slices.Contains(other, item) })
}
