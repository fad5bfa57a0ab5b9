package render

import (
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// finding converts a violation to a finding, with the position of the manifest field that most
// likely caused it.
func finding(result *evaluate.Result, cluster, key string, r Resource, v istio.Violation) manifest.Finding {
	f := manifest.Finding{Service: r.Service, Cluster: cluster, Path: key, Message: v.Message}
	if v.Path != "" {
		f.Path += "." + v.Path
	}
	if r.Service == "" {
		return f
	}
	for _, path := range likelySources(result, r, v.Path) {
		if pos, ok := result.Locate(path); ok {
			f.File, f.Line, f.Column = pos.File, pos.Line, pos.Column
			break
		}
	}
	return f
}

// likelySources returns the manifest fields that a resource field may come from, the likeliest
// first.
func likelySources(result *evaluate.Result, r Resource, path string) []string {
	if _, external := result.Mesh.Externals[r.Service]; external {
		return []string{"externals." + r.Service + externalSource(r.Key.Kind, path)}
	}
	service, field := "services."+r.Service, serviceSource(r.Key.Kind, path)
	likely := []string{service + field}
	// Resources of a host have its name, and its perHost fields replace those of the service.
	if field != "" {
		host := service + ".perHost." + strings.TrimSuffix(r.Key.Name, "-public")
		replaced, _, _ := strings.Cut(field[1:], ".")
		if isSet(result, host, host+"."+replaced) {
			likely = append([]string{host + field}, likely...)
		}
	}
	return likely
}

// isSet reports whether a field is in a file. Locate returns the position of the parent for a field
// that is not.
func isSet(result *evaluate.Result, parent, field string) bool {
	at, ok := result.Locate(field)
	around, _ := result.Locate(parent)
	return ok && at != around
}

// serviceSource returns the field of a service that a resource field comes from, "" if unknown.
func serviceSource(kind, path string) string {
	for _, s := range sources {
		if (s.kind == "" || s.kind == kind) && strings.HasPrefix(path, s.prefix) && strings.Contains(path, s.substring) {
			return s.field
		}
	}
	return ""
}

// externalSource returns the field of an external that a resource field comes from. Its fields have
// the names of ServiceEntry fields.
func externalSource(kind, path string) string {
	if kind != "ServiceEntry" {
		return serviceSource(kind, path)
	}
	field, _ := strings.CutPrefix(path, "spec")
	field, _, _ = strings.Cut(field, "[")
	return field
}

// sources maps resource fields to manifest fields. The first entry applies whose kind (if any)
// matches and whose prefix and substring are in the path.
var sources = []struct{ kind, prefix, substring, field string }{
	{"VirtualService", "spec.http", "", ".routes"},
	{"VirtualService", "spec.tcp", "", ".tcpRoutes"},
	{"VirtualService", "spec.tls", "", ".tlsRoutes"},
	{"DestinationRule", "spec", "outlierDetection", ".traffic.outlierDetection"},
	{"DestinationRule", "spec", "connectionPool", ".traffic.connectionPool"},
	{"DestinationRule", "spec", "loadBalancer", ".traffic.loadBalancer"},
	{"DestinationRule", "spec.subsets", "", ".versions"},
	{"ServiceEntry", "spec.workloadSelector", "", ".backend.selector"},
	{"ServiceEntry", "spec.subjectAltNames", "", ".backend.serviceAccounts"},
	{"ServiceEntry", "spec.endpoints", "", ".placement"},
	{"ServiceEntry", "spec.addresses", "", ".vip"},
	{"ServiceEntry", "spec.hosts", "", ".hosts"},
	{"AuthorizationPolicy", "spec.selector", "", ".backend.selector"},
	{"AuthorizationPolicy", "spec.rules", "", ".authorization"},
	{"Gateway", "spec.servers", "hosts", ".hosts"},
	{"Gateway", "spec", "", ".expose"},
	{"Sidecar", "spec.workloadSelector", "", ".backend.selector"},
	{"Sidecar", "spec", "", ".egress"},
	{"", "spec", "ports", ".ports"},
}
