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
	// GatewayOverlaps: another Gateway serves hosts of ours on the same workload and port.
	GatewayOverlaps = "GatewayOverlaps"
	// GatewayAddress: the inventory says another address, or another port, than the gateway's Service has.
	GatewayAddress = "GatewayAddressDiffers"
)

// Problem is one respect in which the cluster is not as the repository takes it to be.
type Problem struct {
	Reason string
	// Resource is what it is about.
	Resource render.Key
	// Message says what is wrong and what to do, in a sentence.
	Message string
	// Blocks is set if carrying the plan out would bring it about.
	Blocks bool
}

// Check gives the problems in the order of the bundle, overlaps first.
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

// passthrough are the Gateways of the bundle through which other clusters come in.
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

// within reports whether all that a selector chooses is chosen by fewer labels as well.
func within(few, many map[string]string) bool {
	for name, value := range few {
		if other, ok := many[name]; !ok || other != value {
			return false
		}
	}
	return true
}

// sameWorkload tells whether two selectors choose the same pods for all that they say: those of one are among those of the other.
func sameWorkload(a, b map[string]string) bool { return within(a, b) || within(b, a) }

func labelsOf(selector map[string]string) string {
	var parts []string
	for name, value := range selector {
		parts = append(parts, name+"="+value)
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}

func number(value any) string { return fmt.Sprint(value) }
