package plans

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/isthmus-mesh/isthmus/internal/merge"
	"github.com/isthmus-mesh/isthmus/internal/nested"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// digestOfObject is the digest of an object, as the hash of a resource.
func digestOfObject(object *unstructured.Unstructured) string { return digestOfText(object.Object) }

func digestOfText(value any) string {
	sum := sha256.Sum256([]byte(nested.JSON(value)))
	return hex.EncodeToString(sum[:])
}

// IsRouting reports whether a kind routes calls.
func IsRouting(kind string) bool {
	return kind == "ServiceEntry" || kind == "DestinationRule" || kind == "VirtualService"
}

// hostResolutions are how hosts resolve in the cluster now, and by the bundle alone.
type hostResolutions struct{ live, desired map[string]*hostResolution }

// conflictingServices returns services whose ServiceEntries for one host are consistent now and in
// the bundle, but not in the objects after these actions, where old and new entries coexist.
func (d *Draft) conflictingServices(actions []Action, after map[render.Key]*unstructured.Unstructured) sets.Set[string] {
	if d.hosts == nil {
		desired := make(map[render.Key]*unstructured.Unstructured, len(d.Bundle.Resources))
		for _, resource := range d.Bundle.Resources {
			if resource.Key.Kind == "ServiceEntry" || resource.Key.Kind == "DestinationRule" {
				desired[resource.Key] = resource.Object()
			}
		}
		d.hosts = &hostResolutions{live: resolutionsByHost(d.Live, d.Live), desired: resolutionsByHost(desired, d.Live)}
	}
	then := resolutionsByHost(after, d.Live)
	conflicting := sets.New[string]()
	for _, action := range actions {
		if action.Desired == nil || !IsRouting(action.Key.Kind) {
			continue
		}
		for _, host := range HostsOf(action.Desired) {
			if then[host].conflicts() && !d.hosts.live[host].conflicts() && !d.hosts.desired[host].conflicts() {
				conflicting.Insert(action.Service)
			}
		}
	}
	return conflicting
}

// hostResolution is how the ServiceEntries of one host in one namespace lead to its endpoints, and
// how its DestinationRule orders them.
type hostResolution struct {
	static, dns bool
	// localities are those of listed endpoints; pods have any.
	localities sets.Set[string]
	selected   bool
	ordered    bool
	// names are the SANs of all entries; existingNames are those of each live entry.
	names         sets.Set[string]
	existingNames []sets.Set[string]
}

// conflicts reports whether Istio would lose endpoints. If entries disagree on the resolution or
// on the names of the endpoints, Istio follows the oldest entry. With failoverPriority and DNS
// endpoints in several localities, istiod panics (istio/istio#61857).
func (a *hostResolution) conflicts() bool {
	if a == nil {
		return false
	}
	refused := slices.ContainsFunc(a.existingNames, func(names sets.Set[string]) bool { return names.Len() > 0 && !names.IsSuperset(a.names) })
	return refused || a.dns && (a.static || a.ordered && (a.selected || a.localities.Len() > 1))
}

// resolutionsByHost are the resolutions of objects by host. Objects that are live are older than
// every object that the plan creates.
func resolutionsByHost(objects, live map[render.Key]*unstructured.Unstructured) map[string]*hostResolution {
	out := map[string]*hostResolution{}
	for key, object := range objects {
		if key.Kind != "ServiceEntry" && key.Kind != "DestinationRule" {
			continue
		}
		spec := nested.Map(object.Object, "spec")
		for _, host := range HostsOf(object) {
			if out[host] == nil {
				out[host] = &hostResolution{localities: sets.New[string](), names: sets.New[string]()}
			}
			if key.Kind == "DestinationRule" {
				out[host].ordered = out[host].ordered || strings.Contains(nested.JSON(spec), `"failoverPriority":[`)
				continue
			}
			out[host].add(spec, live[key] != nil)
		}
	}
	return out
}

func (a *hostResolution) add(entry map[string]any, older bool) {
	resolution, _ := entry["resolution"].(string)
	a.static = a.static || resolution == "STATIC"
	a.dns = a.dns || strings.HasPrefix(resolution, "DNS")
	a.selected = a.selected || merge.SelectsPods(entry)
	for _, endpoint := range nested.List(entry, "endpoints") {
		locality, _ := nested.Map(endpoint)["locality"].(string)
		a.localities.Insert(locality)
	}
	names := sets.New[string]()
	for _, name := range nested.List(entry, "subjectAltNames") {
		names.Insert(fmt.Sprint(name))
	}
	a.names = a.names.Union(names)
	if older {
		a.existingNames = append(a.existingNames, names)
	}
}

// HostsOf are the hosts of a ServiceEntry, DestinationRule or VirtualService, each as
// namespace/host.
func HostsOf(object *unstructured.Unstructured) []string {
	spec := nested.Map(object.Object, "spec")
	hosts := nested.List(spec, "hosts")
	if host, ok := spec["host"]; ok {
		hosts = []any{host}
	}
	var out []string
	for _, host := range hosts {
		if name, ok := host.(string); ok {
			out = append(out, object.GetNamespace()+"/"+name)
		}
	}
	return out
}
