package merge

import (
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/nested"
)

// unions has the merge rule of each kind whose objects list hosts, endpoints, callers or workloads.
// Objects of other kinds are not merged.
var unions = map[string]kindRule{
	"Service": {lists: listRules{"ports": mergePortsBy("port")}},
	"ServiceEntry": {
		lists:  listRules{"hosts": mergeStrings, "addresses": mergeStrings, "subjectAltNames": mergeStrings},
		finish: finishServiceEntry,
		marks:  labelNoEndpoint,
	},
	"DestinationRule": {
		lists:  listRules{"subsets": keyedList{key: keyedBy("name"), both: keepTunnels}.merge},
		finish: finishDestinationRule,
	},
	"VirtualService":      {lists: listRules{"hosts": mergeStrings, "gateways": mergeGateways}, finish: finishVirtualService},
	"Gateway":             {lists: listRules{"servers": mergeServers}, finish: finishGateway},
	"Sidecar":             {lists: listRules{"egress": mergeEgress}, finish: finishSidecar},
	"AuthorizationPolicy": {lists: listRules{"rules": mergePolicyRules}, finish: finishPolicy, marks: keepDryRun},
}

// kindRule says how two specs of one kind are merged. exportTo is merged for every kind; another
// field without a rule is the desired one.
type kindRule struct {
	lists listRules
	// finish merges the fields that depend on each other into a spec whose lists are merged.
	// It returns nil if the two specs exclude each other.
	finish func(merged, desired, live map[string]any) map[string]any
	// marks merges labels and annotations that have a meaning for the spec.
	marks func(merged, live *unstructured.Unstructured)
}

// listRules has the merge rule of each list of an object, by its field.
type listRules map[string]func(desired, live []any) []any

// merge returns the desired object with merged lists.
func (r listRules) merge(desired, live map[string]any) map[string]any {
	merged := maps.Clone(desired)
	for field, merge := range r {
		setList(merged, field, merge(nested.List(desired, field), nested.List(live, field)))
	}
	return merged
}

// Union returns the desired object with everything that callers would lose if it replaced the live
// object: hosts, addresses, ports, endpoints, subsets, namespaces of exportTo, and granted access.
// Where the two exclude each other, the live values stay. If nothing would be lost, it returns the
// desired object itself.
//
// Union(desired, Union(desired, live)) is Union(desired, live): a merged list has the order of the
// live list, with new items behind it.
func Union(desired, live *unstructured.Unstructured) *unstructured.Unstructured {
	rule, ok := unions[desired.GetKind()]
	wanted := nested.Map(desired.Object, "spec")
	had, _ := SpecWithoutServerFields(live).(map[string]any)
	if !ok || wanted == nil || had == nil {
		return desired
	}

	spec := rule.merge(desired.GetNamespace(), wanted, had)
	if spec == nil {
		spec = had
	}
	out := &unstructured.Unstructured{Object: maps.Clone(desired.Object)}
	out.Object["spec"] = spec
	out.Object["metadata"] = maps.Clone(nested.Map(desired.Object, "metadata"))
	if rule.marks != nil {
		rule.marks(out, live)
	}
	if Same(spec, wanted) && maps.Equal(out.GetLabels(), desired.GetLabels()) && maps.Equal(out.GetAnnotations(), desired.GetAnnotations()) {
		return desired
	}
	return out
}

// merge returns the merged spec, or nil if the two specs exclude each other.
func (r kindRule) merge(namespace string, desired, live map[string]any) map[string]any {
	merged := r.lists.merge(desired, live)
	setList(merged, "exportTo", mergeExports(namespace, nested.List(desired, "exportTo"), nested.List(live, "exportTo")))
	if r.finish == nil {
		return merged
	}
	return r.finish(merged, desired, live)
}
