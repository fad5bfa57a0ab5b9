package merge

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/nested"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// annotationDryRun keeps a policy from being enforced.
const AnnotationDryRun = "istio.io/dry-run"

// mostRules is how many rules an AuthorizationPolicy may have.
const mostRules = 512

// unitePolicies keeps what the live AuthorizationPolicy grants. Where either is not of those that allow, more rules mean less access, and it stays
// as it is unless the desired one clearly does not refuse more.
func unitePolicies(_ string, desired, live map[string]any) map[string]any {
	wanted, had := actionOf(desired), actionOf(live)
	denied := func(rule any) bool {
		return !slices.ContainsFunc(nested.List(live, "rules"), func(known any) bool { return Same(rule, known) })
	}
	switch {
	case wanted == "AUDIT":
		return desired
	case wanted == "DENY" && had == "DENY" && sameTargets(desired, live) && !slices.ContainsFunc(nested.List(desired, "rules"), denied):
		return desired
	case wanted != "ALLOW" || had != "ALLOW":
		return live
	}

	out := maps.Clone(desired)
	Set(out, "rules", uniteRules(nested.List(desired, "rules"), nested.List(live, "rules")))
	if len(nested.List(out, "rules")) > mostRules {
		return live
	}
	// The first policy of a workload closes it to everybody else.
	if !covers(live, desired) {
		restore(out, live, "selector", "targetRef", "targetRefs")
	}
	return out
}

func uniteRules(desired, live []any) []any {
	granted := func(rule map[string]any) bool {
		return slices.ContainsFunc(desired, func(wider any) bool { return grants(nested.Map(wider), rule) })
	}
	return merging{
		key: func(rule map[string]any) string {
			if principalsOf(rule) == nil {
				return nested.JSON(rule)
			}
			return nested.JSON(withPrincipals(rule, nil))
		},
		join: func(desired, live map[string]any) map[string]any {
			if granted(live) {
				return desired
			}
			return withPrincipals(desired, uniteStrings(principalsOf(desired), principalsOf(live)))
		},
		keep: func(live map[string]any) map[string]any {
			if granted(live) {
				return nil
			}
			return live
		},
	}.of(desired, live)
}

// principalsOf are those whom a rule is for, if it tells callers by nothing else.
func principalsOf(rule map[string]any) []any {
	from := nested.List(rule, "from")
	if len(from) != 1 || len(nested.Map(from[0])) != 1 || len(nested.Map(from[0], "source")) != 1 {
		return nil
	}
	return nested.List(nested.Map(from[0], "source"), "principals")
}

// withPrincipals is a rule for others.
func withPrincipals(rule map[string]any, principals []any) map[string]any {
	out := maps.Clone(rule)
	out["from"] = []any{map[string]any{"source": map[string]any{"principals": principals}}}
	return out
}

// grants reports whether one rule surely allows all that another allows.
func grants(wider, rule map[string]any) bool {
	oneOf := func(list, inner string) bool {
		some, all := nested.List(wider, list), nested.List(rule, list)
		if len(some) == 0 {
			return true
		}
		return len(all) > 0 && !slices.ContainsFunc(all, func(one any) bool {
			return !slices.ContainsFunc(some, func(other any) bool { return demandsLess(nested.Map(other, inner), nested.Map(one, inner)) })
		})
	}
	if !oneOf("from", "source") || !oneOf("to", "operation") {
		return false
	}
	return !slices.ContainsFunc(nested.List(wider, "when"), func(condition any) bool {
		return !slices.ContainsFunc(nested.List(rule, "when"), func(other any) bool { return demandsLess(nested.Map(condition), nested.Map(other)) })
	})
}

// demandsLess reports whether whatever fulfils a source, an operation or a condition fulfils another one, which demands less.
func demandsLess(less, more map[string]any) bool {
	for name, value := range less {
		if _, isList := value.([]any); !isList {
			if !Same(value, more[name]) {
				return false
			}
			continue
		}
		few, many := nested.List(more, name), nested.List(less, name)
		if strings.HasPrefix(name, "not") {
			few, many = many, few
		}
		if more[name] == nil || slices.ContainsFunc(few, func(one any) bool { return !slices.Contains(many, one) }) {
			return false
		}
	}
	return true
}

func actionOf(policy map[string]any) string {
	if action, ok := policy["action"].(string); ok {
		return action
	}
	return "ALLOW"
}

func sameTargets(a, b map[string]any) bool {
	return Same(a["selector"], b["selector"]) && Same(a["targetRef"], b["targetRef"]) && Same(a["targetRefs"], b["targetRefs"])
}

// covers reports whether a policy is for all workloads that another one is for.
func covers(policy, other map[string]any) bool {
	refers := func(policy map[string]any) bool { return policy["targetRef"] != nil || policy["targetRefs"] != nil }
	if refers(policy) || refers(other) {
		return sameTargets(policy, other)
	}
	return within(nested.Map(policy, "selector", "matchLabels"), nested.Map(other, "selector", "matchLabels"))
}

// isDryRun reads the annotation as Istio does.
func isDryRun(policy *unstructured.Unstructured) bool {
	dry, err := strconv.ParseBool(policy.GetAnnotations()[AnnotationDryRun])
	return err == nil && dry
}

// keepDryRun leaves a policy that is not enforced as open as it is.
func keepDryRun(out, live *unstructured.Unstructured) {
	if isDryRun(live) && !isDryRun(out) {
		out.SetAnnotations(overlay(out.GetAnnotations(), nil, map[string]string{AnnotationDryRun: "true"}))
	}
}

// narrows reports whether a new object takes something from those who have it: a Sidecar everything that it does not name, and the first policy of a
// workload all access that it does not grant. Beside one that allows, another that does only adds.
func Narrows(fresh *unstructured.Unstructured, live, after map[render.Key]*unstructured.Unstructured) bool {
	switch {
	case fresh.GetKind() == "Sidecar":
		return true
	case fresh.GetKind() != "AuthorizationPolicy", isDryRun(fresh), actionOf(nested.Map(fresh.Object, "spec")) == "AUDIT":
		return false
	case actionOf(nested.Map(fresh.Object, "spec")) != "ALLOW":
		return true
	}
	for key, policy := range live {
		alike := key.Kind == fresh.GetKind() && key.Namespace == fresh.GetNamespace()
		if alike && allowsFor(policy, fresh) && allowsFor(after[key], fresh) {
			return false
		}
	}
	return true
}

// allowsFor reports whether only some may already call the workloads of a policy, because of this one.
func allowsFor(policy, fresh *unstructured.Unstructured) bool {
	// Of foreign ones nothing but the name is known.
	spec := nested.Map(policy.Object, "spec")
	return spec != nil && policy.GetDeletionTimestamp() == nil && !isDryRun(policy) && actionOf(spec) == "ALLOW" && covers(spec, nested.Map(fresh.Object, "spec"))
}
