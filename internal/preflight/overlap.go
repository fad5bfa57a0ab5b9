package preflight

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// server is a server of a Gateway that routes by SNI.
type server struct {
	port  string
	hosts []string
}

// servers returns the AUTO_PASSTHROUGH servers of a Gateway.
func servers(gateway *unstructured.Unstructured) []server {
	items, _, _ := unstructured.NestedSlice(gateway.Object, "spec", "servers")
	var out []server
	for _, item := range items {
		fields, _ := item.(map[string]any)
		if mode, _, _ := unstructured.NestedString(fields, "tls", "mode"); mode != "AUTO_PASSTHROUGH" {
			continue
		}
		port, _, _ := unstructured.NestedFieldNoCopy(fields, "port", "number")
		hosts, _, _ := unstructured.NestedStringSlice(fields, "hosts")
		out = append(out, server{port: number(port), hosts: hosts})
	}
	return out
}

// overlaps finds servers of other owners with a host of ours on the same workload and port. For
// such a pair istiod gives Envoy two filter chains with one SNI, or drops the younger server.
func overlaps(gateways, foreign []*unstructured.Unstructured, plan plans.Plan) []Problem {
	var out []Problem
	for _, gateway := range gateways {
		before, written := written(plan, keyOf(gateway))
		for _, other := range foreign {
			// An object with our key is not a second Gateway: the plan refuses or claims it.
			if other.GetKind() != "Gateway" || keyOf(other) == keyOf(gateway) {
				continue
			}
			port, mine, theirs, ok := overlapping(gateway, other)
			if !ok {
				continue
			}
			existed := false
			if before != nil {
				_, _, _, existed = overlapping(before, other)
			}
			out = append(out, Problem{
				Reason: GatewayOverlaps, Resource: keyOf(gateway), Blocks: written && !existed,
				Message: fmt.Sprintf("%s, %s, serves %s on port %s of the same workload (%s) as %s serves %s, both with AUTO_PASSTHROUGH: "+
					"Istio drops one of the two servers, or gives Envoy a listener that Envoy rejects; remove %[3]s from %[1]s, or delete it",
					keyOf(other), ownerOf(other), theirs, port, labelsOf(selector(other)), keyOf(gateway), mine),
			})
		}
	}
	return out
}

// ownerOf describes the owner of another Gateway.
func ownerOf(other *unstructured.Unstructured) string {
	if partOf := other.GetLabels()[ownership.LabelPartOf]; partOf != "" {
		return "which belongs to another MeshSync or ApplySet (" + partOf + ")"
	}
	return "which Isthmus did not write"
}

// written reports whether a plan creates or updates a Gateway, and returns the live object, nil if
// there is none.
func written(plan plans.Plan, key render.Key) (live *unstructured.Unstructured, ok bool) {
	for _, action := range plan.Actions {
		if action.Key == key && (action.Verb == plans.Create || action.Verb == plans.Update) {
			live := action.Live
			return live, true
		}
	}
	return nil, false
}

func selector(gateway *unstructured.Unstructured) map[string]string {
	labels, _, _ := unstructured.NestedStringMap(gateway.Object, "spec", "selector")
	return labels
}

// overlapping returns the first port and pair of hosts that overlap.
func overlapping(a, b *unstructured.Unstructured) (port, ofA, ofB string, ok bool) {
	if !sameWorkload(selector(a), selector(b)) {
		return "", "", "", false
	}
	for _, x := range servers(a) {
		for _, y := range servers(b) {
			if x.port != y.port {
				continue
			}
			for _, mine := range x.hosts {
				if i := slices.IndexFunc(y.hosts, func(theirs string) bool { return overlap(mine, theirs) }); i >= 0 {
					return x.port, mine, y.hosts[i], true
				}
			}
		}
	}
	return "", "", "", false
}

// overlap reports whether two hosts of Gateways match a common name. Hosts are "*", "*.example.com"
// or "www.example.com", with or without "namespace/".
func overlap(a, b string) bool {
	bare := func(host string) string {
		_, name, qualified := strings.Cut(host, "/")
		if qualified {
			host = name
		}
		return strings.ToLower(host)
	}
	a, b = bare(a), bare(b)
	if a == b {
		return true
	}
	suffixA, wildA := strings.CutPrefix(a, "*")
	suffixB, wildB := strings.CutPrefix(b, "*")
	return wildA && strings.HasSuffix(b, suffixA) || wildB && strings.HasSuffix(a, suffixB)
}
