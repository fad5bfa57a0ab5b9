package render

import (
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// blame is a problem of a rendered object as a finding, at the place of the service that it stems from.
func blame(result *evaluate.Result, cluster, key string, r Resource, p istio.Violation) manifest.Finding {
	f := manifest.Finding{Service: r.Service, Cluster: cluster, Path: key, Message: p.Message}
	if p.Path != "" {
		f.Path += "." + p.Path
	}
	if r.Service == "" {
		return f
	}
	for _, path := range likelySources(result, r, p.Path) {
		if pos, ok := result.Locate(path); ok {
			f.File, f.Line, f.Column = pos.File, pos.Line, pos.Column
			break
		}
	}
	return f
}

// likelySources are the fields of a manifest that a field of a resource is made from, the likeliest first.
func likelySources(result *evaluate.Result, r Resource, path string) []string {
	if _, external := result.Mesh.Externals[r.Service]; external {
		return []string{"externals." + r.Service + externalSource(r.Key.Kind, path)}
	}
	service, field := "services."+r.Service, serviceSource(r.Key.Kind, path)
	likely := []string{service + field}
	// Resources of a host are named after it, and what is said for one host replaces what is said for all.
	if field != "" {
		host := service + ".perHost." + strings.TrimSuffix(r.Key.Name, "-public")
		replaced, _, _ := strings.Cut(field[1:], ".")
		if written(result, host, host+"."+replaced) {
			likely = append([]string{host + field}, likely...)
		}
	}
	return likely
}

// written tells whether a field stands in a file: the place of one that does not is that of its parent.
func written(result *evaluate.Result, parent, field string) bool {
	at, ok := result.Locate(field)
	around, _ := result.Locate(parent)
	return ok && at != around
}

// serviceSource is the field of a service that a field of a resource is made from, "" if it may be any.
func serviceSource(kind, path string) string {
	for _, s := range sources {
		if (s.kind == "" || s.kind == kind) && strings.HasPrefix(path, s.under) && strings.Contains(path, s.names) {
			return s.field
		}
	}
	return ""
}

// externalSource is the same for an external, whose fields are named as those of its ServiceEntry.
func externalSource(kind, path string) string {
	if kind != "ServiceEntry" {
		return serviceSource(kind, path)
	}
	field, _ := strings.CutPrefix(path, "spec")
	field, _, _ = strings.Cut(field, "[")
	return field
}

// sources are tried in order: a resource's field that lies under one and names another word stems from a manifest's.
var sources = []struct{ kind, under, names, field string }{
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
