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

// server is one of a Gateway that routes by SNI.
type server struct {
	port  string
	hosts []string
}

// servers are the AUTO_PASSTHROUGH servers of a Gateway.
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

// overlaps are servers of others, on a workload and port of ours, that take a host of ours. For such a pair istiod gives Envoy two filter chains with one
// SNI, or drops the younger server as a whole.
func overlaps(gateways, foreign []*unstructured.Unstructured, plan plans.Plan) []Problem {
	var out []Problem
	for _, gateway := range gateways {
		was, written := written(plan, keyOf(gateway))
		for _, other := range foreign {
			// Of the same name, it is refused or becomes ours: there is one of the two.
			if other.GetKind() != "Gateway" || keyOf(other) == keyOf(gateway) {
				continue
			}
			port, mine, theirs, is := overlapping(gateway, other)
			if !is {
				continue
			}
			before := false
			if was != nil {
				_, _, _, before = overlapping(was, other)
			}
			out = append(out, Problem{
				Reason: GatewayOverlaps, Resource: keyOf(gateway), Blocks: written && !before,
				Message: fmt.Sprintf("%s, %s, serves %s on port %s of the same workload (%s) as %s serves %s, both with AUTO_PASSTHROUGH: "+
					"of two such servers Istio drops one, or gives Envoy a listener that it refuses; take %[3]s out of %[1]s, or delete it",
					keyOf(other), whose(other), theirs, port, labelsOf(selector(other)), keyOf(gateway), mine),
			})
		}
	}
	return out
}

// whose says who else a Gateway is of.
func whose(other *unstructured.Unstructured) string {
	if partOf := other.GetLabels()[ownership.LabelPartOf]; partOf != "" {
		return "which belongs to another MeshSync or ApplySet (" + partOf + ")"
	}
	return "which Isthmus did not write"
}

// written tells whether a plan writes a Gateway, and how it is before.
func written(plan plans.Plan, key render.Key) (was *unstructured.Unstructured, is bool) {
	for _, action := range plan.Actions {
		if action.Key == key && (action.Verb == plans.Create || action.Verb == plans.Update) {
			live, _ := action.Objects()
			return live, true
		}
	}
	return nil, false
}

func selector(gateway *unstructured.Unstructured) map[string]string {
	labels, _, _ := unstructured.NestedStringMap(gateway.Object, "spec", "selector")
	return labels
}

// overlapping names the first two hosts, of one port, that some name belongs to both of.
func overlapping(a, b *unstructured.Unstructured) (port, ofA, ofB string, is bool) {
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

// overlap tells whether a name belongs to both of two hosts of Gateways: "*", "*.example.com", "www.example.com", each with or without "namespace/".
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
