package preflight

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// Reasons of problems.
const (
	// GatewayOverlaps: a Gateway of another owner serves hosts of ours on the same workload and
	// port.
	GatewayOverlaps = "GatewayOverlaps"
	// GatewayAddress: the address or port in the inventory differs from the gateway's Service.
	GatewayAddress = "GatewayAddressDiffers"
)

// Problem is a difference between the cluster and the repository's assumptions about it.
type Problem struct {
	Reason string
	// Resource is the object with the problem.
	Resource render.Key
	// Message describes the problem and its correction.
	Message string
	// Blocks is true if the plan would cause the problem.
	Blocks bool
}

// Check returns the problems, overlaps first, in the order of the bundle.
func Check(bundle *render.Bundle, view clustercache.State, plan plans.Plan, owner ownership.Owner) []Problem {
	gateways := passthrough(bundle)
	if len(gateways) == 0 {
		return nil
	}
	foreign := slices.DeleteFunc(slices.Clone(view.Objects), func(object *unstructured.Unstructured) bool {
		return object.Object["spec"] == nil || owner.Ownership(object) != ownership.Foreign
	})
	return append(overlaps(gateways, foreign, plan), addresses(bundle, gateways, foreign)...)
}

// passthrough returns the cross-cluster Gateways of the bundle.
func passthrough(bundle *render.Bundle) []*unstructured.Unstructured {
	var out []*unstructured.Unstructured
	for _, resource := range bundle.Resources {
		if resource.Key.Kind != "Gateway" || resource.Side != render.SidePublish {
			continue
		}
		if gateway := resource.Object(); len(servers(gateway)) > 0 {
			out = append(out, gateway)
		}
	}
	return out
}

func keyOf(object *unstructured.Unstructured) render.Key {
	return render.Key{Kind: object.GetKind(), Namespace: object.GetNamespace(), Name: object.GetName()}
}

// contains reports whether a selector has all labels of another, so that it selects a subset of its
// pods.
func contains(selector, labels map[string]string) bool {
	for name, value := range labels {
		if other, ok := selector[name]; !ok || other != value {
			return false
		}
	}
	return true
}

// sameWorkload reports whether one of two selectors selects a subset of the pods of the other.
func sameWorkload(a, b map[string]string) bool { return contains(a, b) || contains(b, a) }

func labelsOf(selector map[string]string) string {
	var parts []string
	for name, value := range selector {
		parts = append(parts, name+"="+value)
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

func number(value any) string { return fmt.Sprint(value) }
