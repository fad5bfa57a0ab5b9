package clustercache

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/isthmus-mesh/isthmus/internal/nested"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// strip reduces an object to what a plan needs, before it enters the cache. A foreign object keeps
// its key and labels, and of Gateways and Services what package preflight compares. An object with
// a mark keeps all but the managedFields of other writers, of which the last name stays, and of
// its status only the problems. The argument is not changed, and strip is idempotent.
func strip(object *unstructured.Unstructured) *unstructured.Unstructured {
	switch {
	case object.GroupVersionKind() == corev1.SchemeGroupVersion.WithKind("Namespace"):
		return stripNamespace(object)
	case !ownership.HasAnyMark(object):
		return StripForeign(object)
	default:
		return stripMarked(object)
	}
}

func stripNamespace(object *unstructured.Unstructured) *unstructured.Unstructured {
	out := identity(object)
	out.SetLabels(only(object.GetLabels(), LabelCreatedBy))
	out.SetDeletionTimestamp(object.GetDeletionTimestamp())
	return out
}

// StripForeign reduces a foreign object to what a plan and preflight need.
func StripForeign(object *unstructured.Unstructured) *unstructured.Unstructured {
	out := identity(object)
	out.SetLabels(only(object.GetLabels(), render.LabelService, render.LabelSide))
	switch object.GetKind() {
	case "Gateway":
		stripGateway(object, out)
	case "Service":
		stripService(object, out)
	}
	return out
}

// stripGateway keeps the AUTO_PASSTHROUGH servers: overlapping servers break the workload that
// they share.
func stripGateway(object, out *unstructured.Unstructured) {
	var servers []any
	for _, server := range nested.List(nested.Map(object.Object, "spec"), "servers") {
		if nested.Map(server, "tls")["mode"] != "AUTO_PASSTHROUGH" {
			continue
		}
		servers = append(servers, map[string]any{
			"port": nested.Map(server, "port"), "hosts": nested.List(server, "hosts"), "tls": map[string]any{"mode": "AUTO_PASSTHROUGH"},
		})
	}
	if len(servers) > 0 {
		out.Object["spec"] = map[string]any{"selector": nested.Map(object.Object, "spec", "selector"), "servers": servers}
	}
}

// stripService keeps the addresses of a Service that is reached from outside.
func stripService(object, out *unstructured.Unstructured) {
	spec := nested.Map(object.Object, "spec")
	external := nested.List(spec, "externalIPs")
	if spec["type"] != "LoadBalancer" && len(external) == 0 {
		return
	}
	kept := map[string]any{"type": spec["type"], "selector": nested.Map(spec, "selector"), "ports": nested.List(spec, "ports")}
	if len(external) > 0 {
		kept["externalIPs"] = external
	}
	out.Object["spec"] = kept
	if ingress := nested.List(nested.Map(object.Object, "status", "loadBalancer"), "ingress"); len(ingress) > 0 {
		out.Object["status"] = map[string]any{"loadBalancer": map[string]any{"ingress": ingress}}
	}
}

func stripMarked(object *unstructured.Unstructured) *unstructured.Unstructured {
	out := &unstructured.Unstructured{Object: make(map[string]any, len(object.Object))}
	for key, value := range object.Object {
		if key != "status" {
			out.Object[key] = value
		}
	}
	// The metadata is changed below, so it must not be shared.
	metadata, _ := object.Object["metadata"].(map[string]any)
	metadata = maps.Clone(metadata)
	delete(metadata, "managedFields")
	if ownership.ManagedByUs(object) {
		managers := []any{ourMetadata(object)}
		if last := ownership.LastForeignManager(object); last != nil {
			managers = append(managers, last)
		}
		metadata["managedFields"] = managers
	}
	out.Object["metadata"] = metadata
	if status := statusProblems(object); status != nil {
		out.Object["status"] = status
	}
	return out
}

// ourMetadata is one entry of managedFields, in place of all entries, with the labels and
// annotations that we set.
func ourMetadata(object *unstructured.Unstructured) map[string]any {
	labels, annotations := ownership.OwnedMetadata(object)
	return map[string]any{
		"manager": ownership.FieldManager,
		"fieldsV1": map[string]any{"f:metadata": map[string]any{
			"f:labels": fieldNames(labels), "f:annotations": fieldNames(annotations),
		}},
	}
}

func fieldNames(names sets.Set[string]) map[string]any {
	fields := make(map[string]any, len(names))
	for name := range names {
		fields["f:"+name] = map[string]any{}
	}
	return fields
}

func identity(object *unstructured.Unstructured) *unstructured.Unstructured {
	out := &unstructured.Unstructured{Object: map[string]any{}}
	out.SetAPIVersion(object.GetAPIVersion())
	out.SetKind(object.GetKind())
	out.SetNamespace(object.GetNamespace())
	out.SetName(object.GetName())
	out.SetUID(object.GetUID())
	out.SetResourceVersion(object.GetResourceVersion())
	return out
}

func only(labels map[string]string, names ...string) map[string]string {
	var out map[string]string
	for _, name := range names {
		if value, ok := labels[name]; ok {
			if out == nil {
				out = map[string]string{}
			}
			out[name] = value
		}
	}
	return out
}
