package merge

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/nested"
)

const (
	// AnnotationDryRun with a true value means that Istio does not enforce a policy.
	AnnotationDryRun = "istio.io/dry-run"
	// maxPolicyRules is the limit of the CRD.
	maxPolicyRules = 512
)

// finishPolicy keeps the access that the live policy grants. More rules of a policy that does not
// allow mean less access, so such a policy stays as it is, unless the desired one clearly denies no
// more.
func finishPolicy(merged, desired, live map[string]any) map[string]any {
	wanted, had := actionOf(desired), actionOf(live)
	switch {
	case wanted == "AUDIT":
		return desired
	case wanted == "DENY" && had == "DENY" && sameTargets(desired, live) && hasRules(live, nested.List(desired, "rules")):
		return desired
	case wanted != "ALLOW" || had != "ALLOW" || len(nested.List(merged, "rules")) > maxPolicyRules:
		return nil
	}
	// The first policy that allows callers of a workload denies all other callers.
	if !covers(live, desired) {
		copyFields(merged, live, "selector", "targetRef", "targetRefs")
	}
	return merged
}

// mergePolicyRules merges the principals of rules that are equal otherwise. A live rule is dropped
// if a desired rule grants as much.
func mergePolicyRules(desired, live []any) []any {
	granted := func(rule map[string]any) bool {
		return someItem(desired, func(wider map[string]any) bool { return grants(wider, rule) })
	}
	return keyedList{
		key: func(rule map[string]any) string {
			if principalsOf(rule) == nil {
				return nested.JSON(rule)
			}
			return nested.JSON(withPrincipals(rule, nil))
		},
		both: func(desired, live map[string]any) map[string]any {
			if granted(live) {
				return desired
			}
			return withPrincipals(desired, mergeStrings(principalsOf(desired), principalsOf(live)))
		},
		liveOnly: func(live map[string]any) map[string]any {
			if granted(live) {
				return nil
			}
			return live
		},
	}.merge(desired, live)
}

// principalsOf returns the callers of a rule that has no other condition on the source.
func principalsOf(rule map[string]any) []any {
	from := nested.List(rule, "from")
	if len(from) != 1 || len(nested.Map(from[0])) != 1 || len(nested.Map(from[0], "source")) != 1 {
		return nil
	}
	return nested.List(nested.Map(from[0], "source"), "principals")
}

func withPrincipals(rule map[string]any, principals []any) map[string]any {
	out := maps.Clone(rule)
	out["from"] = []any{map[string]any{"source": map[string]any{"principals": principals}}}
	return out
}

// grants reports whether a rule certainly allows every call that another rule allows.
func grants(wider, rule map[string]any) bool {
	oneOf := func(list, inner string) bool {
		if len(nested.List(wider, list)) == 0 {
			return true
		}
		return len(nested.List(rule, list)) > 0 && !someItem(nested.List(rule, list), func(narrow map[string]any) bool {
			return !someItem(nested.List(wider, list), func(wide map[string]any) bool {
				return implies(nested.Map(narrow, inner), nested.Map(wide, inner))
			})
		})
	}
	return oneOf("from", "source") && oneOf("to", "operation") && !someItem(nested.List(wider, "when"), func(wide map[string]any) bool {
		return !someItem(nested.List(rule, "when"), func(narrow map[string]any) bool { return implies(narrow, wide) })
	})
}

// implies reports whether a call that meets a source, operation or condition certainly meets
// another one.
func implies(narrow, wide map[string]any) bool {
	for name, value := range wide {
		if _, isList := value.([]any); !isList {
			if !Same(value, narrow[name]) {
				return false
			}
			continue
		}
		few, many := nested.List(narrow, name), nested.List(wide, name)
		if strings.HasPrefix(name, "not") {
			few, many = many, few
		}
		if narrow[name] == nil || len(minus(few, many)) > 0 {
			return false
		}
	}
	return true
}

// hasRules reports whether a policy has rules that are equal to all of these.
func hasRules(policy map[string]any, rules []any) bool {
	return !slices.ContainsFunc(rules, func(rule any) bool {
		return !slices.ContainsFunc(nested.List(policy, "rules"), func(known any) bool { return Same(rule, known) })
	})
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

// covers reports whether a policy is for all workloads of another one.
func covers(policy, other map[string]any) bool {
	refers := func(policy map[string]any) bool { return policy["targetRef"] != nil || policy["targetRefs"] != nil }
	if refers(policy) || refers(other) {
		return sameTargets(policy, other)
	}
	return selectsAllOf(nested.Map(policy, "selector", "matchLabels"), nested.Map(other, "selector", "matchLabels"))
}

// isDryRun parses the annotation as Istio does.
func isDryRun(policy *unstructured.Unstructured) bool {
	dry, err := strconv.ParseBool(policy.GetAnnotations()[AnnotationDryRun])
	return err == nil && dry
}

// keepDryRun leaves a policy unenforced: enforcing it would deny calls.
func keepDryRun(policy, live *unstructured.Unstructured) {
	if isDryRun(live) && !isDryRun(policy) {
		policy.SetAnnotations(setMark(policy.GetAnnotations(), AnnotationDryRun, true))
	}
}
