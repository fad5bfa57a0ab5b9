package merge

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/nested"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// unions unite, by kind, the spec that an object shall have with the one that it has. Of every other kind the bundle's is
// taken as it is: none lists hosts, endpoints, callers or whom it is for.
var unions = map[string]func(namespace string, desired, live map[string]any) map[string]any{
	"Service":             uniteStubs,
	"Gateway":             uniteGateways,
	"ServiceEntry":        uniteServiceEntries,
	"DestinationRule":     uniteDestinationRules,
	"VirtualService":      uniteVirtualServices,
	"Sidecar":             uniteSidecars,
	"AuthorizationPolicy": unitePolicies,
}

// widen returns the desired object with what the live one has and would lose by it: hosts, addresses, ports, endpoints, subsets, those whom it
// is exported to, and what it grants. Where the two cannot stand together the live one's is kept. The desired object itself is
// returned if nothing would be lost.
//
// Widening again, with what was made of it as the live object, gives the same: what is missing in the live object is added
// to it, and it is as good as never put in another order.
func Union(desired, live *unstructured.Unstructured) *unstructured.Unstructured {
	unite := unions[desired.GetKind()]
	wanted := nested.Map(desired.Object, "spec")
	had, _ := SpecWithoutServerFields(live).(map[string]any)
	if unite == nil || wanted == nil || had == nil {
		return desired
	}

	out := &unstructured.Unstructured{Object: maps.Clone(desired.Object)}
	out.Object["spec"] = unite(desired.GetNamespace(), wanted, had)
	out.Object["metadata"] = maps.Clone(nested.Map(desired.Object, "metadata"))
	switch desired.GetKind() {
	case "ServiceEntry":
		labelNoEndpoint(out)
	case "AuthorizationPolicy":
		keepDryRun(out, live)
	}
	if Same(out.Object["spec"], wanted) && maps.Equal(out.GetLabels(), desired.GetLabels()) && maps.Equal(out.GetAnnotations(), desired.GetAnnotations()) {
		return desired
	}
	return out
}

func uniteStubs(_ string, desired, live map[string]any) map[string]any {
	out := maps.Clone(desired)
	Set(out, "ports", unitePorts("port", nested.List(desired, "ports"), nested.List(live, "ports")))
	return out
}

// uniteGateways keeps servers, and of those that are on both sides the hosts. One that is only in the live Gateway keeps the hosts that no other
// serves on that port: istiod drops a server whose host another one has.
func uniteGateways(_ string, desired, live map[string]any) map[string]any {
	served, names := map[string][]any{}, []any{}
	for _, item := range nested.List(desired, "servers") {
		port := nested.Map(item, "port")
		served[Number(port, "number")] = append(served[Number(port, "number")], nested.List(item, "hosts")...)
		names = append(names, port["name"])
	}
	unserved := func(server map[string]any) []any {
		elsewhere := served[Number(nested.Map(server, "port"), "number")]
		return slices.DeleteFunc(slices.Clone(nested.List(server, "hosts")), func(host any) bool { return slices.Contains(elsewhere, host) })
	}
	servers := merging{
		key: func(server map[string]any) string {
			port := nested.Map(server, "port")
			return fmt.Sprint(port["name"], "/", Number(port, "number"))
		},
		join: func(desired, live map[string]any) map[string]any {
			out := maps.Clone(desired)
			Set(out, "hosts", uniteStrings(nested.List(desired, "hosts"), unserved(live)))
			return out
		},
		keep: func(live map[string]any) map[string]any {
			hosts := unserved(live)
			if len(hosts) == 0 {
				return nil
			}
			out := maps.Clone(live)
			out["hosts"] = hosts
			out["port"] = renamed(nested.Map(live, "port"), "number", names)
			return out
		},
	}
	out := maps.Clone(desired)
	Set(out, "servers", servers.of(nested.List(desired, "servers"), nested.List(live, "servers")))
	if !within(nested.Map(desired, "selector"), nested.Map(live, "selector")) {
		restore(out, live, "selector")
	}
	return out
}

// uniteSidecars keeps the hosts that proxies are told of. Without any egress they are told of all.
func uniteSidecars(_ string, desired, live map[string]any) map[string]any {
	out := maps.Clone(desired)
	if egress := nested.List(desired, "egress"); len(egress) > 0 {
		had := nested.List(live, "egress")
		if len(had) == 0 {
			had = []any{map[string]any{"hosts": []any{"*/*"}}}
		}
		listeners := merging{
			key: func(listener map[string]any) string {
				return nested.JSON([]any{nested.Map(listener, "port")["number"], listener["bind"], listener["captureMode"]})
			},
			join: func(desired, live map[string]any) map[string]any {
				out := maps.Clone(desired)
				Set(out, "hosts", uniteStrings(nested.List(desired, "hosts"), nested.List(live, "hosts")))
				return out
			},
		}
		united := slices.Clone(listeners.of(egress, had))
		// The one for every other port has to be the last.
		slices.SortStableFunc(united, func(a, b any) int {
			return cmp.Compare(min(1, len(nested.Map(b, "port"))), min(1, len(nested.Map(a, "port"))))
		})
		out["egress"] = united
	}
	// Those that were not selected see everything.
	if !within(nested.Map(live, "workloadSelector", "labels"), nested.Map(desired, "workloadSelector", "labels")) {
		restore(out, live, "workloadSelector")
	}
	return out
}

// uniteExports unites lists of namespaces. None at all stands for what the mesh says, mostly everybody, and only "*" is sure not to be less.
func uniteExports(namespace string, desired, live []any) []any {
	everybody := func(to []any) bool { return len(to) == 0 || slices.Contains(to, "*") }
	nobody := func(to []any) bool { return slices.Contains(to, "~") }
	switch {
	case len(desired)+len(live) == 0, slices.Contains(desired, "*"), nobody(live):
		return desired
	case everybody(desired), everybody(live):
		return []any{"*"}
	case nobody(desired):
		return live
	}
	// Istio refuses a namespace that is listed twice, by its name and by the word for its own.
	alias := func(to any) any {
		switch to {
		case ".":
			return namespace
		case namespace:
			return "."
		default:
			return to
		}
	}
	return uniteStrings(desired, slices.DeleteFunc(slices.Clone(live), func(to any) bool {
		return !slices.Contains(desired, to) && slices.Contains(desired, alias(to))
	}))
}

// uniteStrings returns either list if it has all of the other, so that a mere order is no change.
func uniteStrings(desired, live []any) []any {
	lost := slices.DeleteFunc(slices.Clone(live), func(item any) bool { return slices.Contains(desired, item) })
	if len(lost) == 0 {
		return desired
	}
	if !slices.ContainsFunc(desired, func(item any) bool { return !slices.Contains(live, item) }) {
		return live
	}
	byText := func(a, b any) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) }
	united := slices.Concat(desired, lost)
	if slices.IsSortedFunc(desired, byText) {
		slices.SortFunc(united, byText)
	}
	return slices.Compact(united)
}

// unitePorts unites ports by their number, which field has, and gives one that would be lost another name if its own is taken.
func unitePorts(field string, desired, live []any) []any {
	var names []any
	for _, port := range desired {
		names = append(names, nested.Map(port)["name"])
	}
	return merging{
		key:  func(port map[string]any) string { return Number(port, field) },
		keep: func(live map[string]any) map[string]any { return renamed(live, field, names) },
	}.of(desired, live)
}

// renamed is a port under a name that is not taken: "http-8080" for "http".
func renamed(port map[string]any, field string, taken []any) map[string]any {
	const longest = 63
	name, _ := port["name"].(string)
	if !slices.Contains(taken, any(name)) {
		return port
	}
	suffix := "-" + Number(port, field)
	for slices.Contains(taken, any(name)) {
		name = strings.TrimRight(name[:min(len(name), longest-len(suffix))], "-.") + suffix
		suffix += "-" + Number(port, field)
	}
	out := maps.Clone(port)
	out["name"] = name
	return out
}

// merging says how two lists of objects are united.
type merging struct {
	// key names an item: those with the same one are the same item.
	key func(item map[string]any) string
	// join makes one of an item that both lists have; nil if the desired one is taken as it is.
	join func(desired, live map[string]any) map[string]any
	// keep makes what stays of an item that only the live list has, nil if nothing; it is nil itself if all of it stays.
	keep func(live map[string]any) map[string]any
}

// of unites two lists. If no item would be lost it is the desired one, and else it has the order of the live one, with what is new behind. Several
// items of one name are taken one by one.
func (m merging) of(desired, live []any) []any {
	places := map[string][]int{}
	for i, item := range desired {
		key := m.key(nested.Map(item))
		places[key] = append(places[key], i)
	}
	joined, placed := slices.Clone(desired), make([]bool, len(desired))
	met := map[string]int{}
	lost := false
	var order []any // of what is kept, and of the indices of what is desired
	for _, item := range live {
		key := m.key(nested.Map(item))
		at := places[key]
		if len(at) == 0 {
			kept := nested.Map(item)
			if m.keep != nil {
				kept = m.keep(kept)
			}
			if kept != nil {
				lost = true
				order = append(order, kept)
			}
			continue
		}
		i := at[min(met[key], len(at)-1)]
		met[key]++
		if m.join != nil {
			was := joined[i]
			joined[i] = m.join(nested.Map(was), nested.Map(item))
			lost = lost || !Same(joined[i], was)
		}
		if !placed[i] {
			placed[i] = true
			order = append(order, i)
		}
	}
	if !lost {
		return desired
	}

	united := make([]any, 0, len(order)+len(desired))
	for _, item := range order {
		if i, isIndex := item.(int); isIndex {
			item = joined[i]
		}
		united = append(united, item)
	}
	for i, item := range joined {
		if !placed[i] {
			united = append(united, item)
		}
	}
	return united
}

// within reports whether whatever is selected by some labels is selected by a few of them.
func within(few, some map[string]any) bool {
	for name, value := range few {
		if some[name] != value {
			return false
		}
	}
	return true
}

// number is that of a port, as text: it comes as an int64 or a float64.
func Number(port map[string]any, field string) string {
	n, _ := nested.Integer(port[field])
	return fmt.Sprint(n)
}

// set leaves an empty list as it was said: absent, or empty.
func Set(spec map[string]any, name string, list []any) {
	if len(list) > 0 {
		spec[name] = list
	}
}

// restore gives fields of a spec the values that they have in another.
func restore(spec, from map[string]any, names ...string) {
	for _, name := range names {
		delete(spec, name)
		if value, ok := from[name]; ok {
			spec[name] = value
		}
	}
}

func Same(a, b any) bool {
	var paths []string
	compareValues("", a, b, &paths)
	return len(paths) == 0
}
