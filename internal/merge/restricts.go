package merge

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/nested"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// Restricts reports whether creating an object takes something away from callers or workloads. A
// Sidecar hides all hosts that it does not list. The first policy that allows callers of a workload
// denies all other callers; a further one only adds callers. live and after are all objects before
// and after the plan.
func Restricts(created *unstructured.Unstructured, live, after map[render.Key]*unstructured.Unstructured) bool {
	switch {
	case created.GetKind() == "Sidecar":
		return true
	case created.GetKind() != istio.AuthorizationPolicyKind, isDryRun(created), actionOf(nested.Map(created.Object, "spec")) == "AUDIT":
		return false
	case actionOf(nested.Map(created.Object, "spec")) != "ALLOW":
		return true
	}
	for key, policy := range live {
		alike := key.Kind == created.GetKind() && key.Namespace == created.GetNamespace()
		if alike && allowsFor(policy, created) && allowsFor(after[key], created) {
			return false
		}
	}
	return true
}

// allowsFor reports whether a policy already restricts the workloads of a created one to some
// callers.
func allowsFor(policy, created *unstructured.Unstructured) bool {
	// The spec of an object that Isthmus does not own is not known.
	spec := nested.Map(policy.Object, "spec")
	return spec != nil && policy.GetDeletionTimestamp() == nil && !isDryRun(policy) &&
		actionOf(spec) == "ALLOW" && covers(spec, nested.Map(created.Object, "spec"))
}
