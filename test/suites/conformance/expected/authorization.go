package expected

import (
	"cmp"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
)

// principal of a workload, without the scheme.
func principal(trustDomain, namespace, serviceAccount string) string {
	return trustDomain + "/ns/" + namespace + "/sa/" + serviceAccount
}

// access is the decision of the callee's pod about a call. accessLogged: dry run, so the call is
// allowed and the policy logs it.
type access string

const (
	accessAllowed access = ""
	accessDenied  access = "denied"
	accessLogged  access = "logged"
)

// authorizationMode of a service: off, audit or enforce.
func authorizationMode(m repo.Mesh, service string) string {
	return cmp.Or(m.Services[service].Authorization.Mode, m.Settings.Authorization.Mode, "off")
}

// inboundCall is a call as the callee's pod sees it.
type inboundCall struct {
	principal string
	callee    string
	port      string // by name
	http      bool
	method    string
	path      string
}

// decideAccess applies the manifests of the callee and of its callers to a call.
func decideAccess(m repo.Mesh, a inboundCall) access {
	mode := authorizationMode(m, a.callee)
	if mode == "off" || isAllowed(m, a) {
		return accessAllowed
	}
	if mode == "audit" {
		return accessLogged
	}
	return accessDenied
}

func isAllowed(m repo.Mesh, a inboundCall) bool {
	callee := m.Services[a.callee]
	if slices.Contains(callee.Authorization.Allow, a.principal) {
		return true
	}
	for name, caller := range m.Services {
		egress, declared := caller.Egress[a.callee]
		if !declared || callee.Authorization.Callers != nil && !slices.Contains(callee.Authorization.Callers, name) {
			continue
		}
		if slices.Contains(principals(m, name), a.principal) && egressCovers(egress, a) {
			return true
		}
	}
	for _, cluster := range exposedOn(m, a.callee) {
		g := publicGateway(m, cluster)
		if a.principal == principal(m.Clusters[cluster].TrustDomain, g.Namespace, g.ServiceAccount) && a.port == exposedPort(m, a.callee) {
			return true
		}
	}
	return false
}

// principals of a service's pods in all clusters.
func principals(m repo.Mesh, service string) []string {
	s := m.Services[service]
	out := []string{}
	for cluster := range s.Placement {
		for _, account := range serviceAccounts(s, cluster) {
			out = append(out, principal(m.Clusters[cluster].TrustDomain, namespace(s, cluster), account))
		}
	}
	return out
}

// egressCovers reports whether a declared call covers the port, method and path.
func egressCovers(e repo.Egress, a inboundCall) bool {
	if e.Ports != nil && !slices.Contains(e.Ports, a.port) {
		return false
	}
	if !a.http {
		return true
	}
	path, _, _ := strings.Cut(a.path, "?")
	return (e.Methods == nil || slices.Contains(e.Methods, a.method)) &&
		(e.Paths == nil || slices.ContainsFunc(e.Paths, func(p string) bool { return pathCovers(p, path) }))
}

// pathCovers matches a path with a pattern that may begin or end with a star.
func pathCovers(pattern, path string) bool {
	switch {
	case pattern == "*":
		return true
	case strings.HasSuffix(pattern, "*"):
		return strings.HasPrefix(path, strings.TrimSuffix(pattern, "*"))
	case strings.HasPrefix(pattern, "*"):
		return strings.HasSuffix(path, strings.TrimPrefix(pattern, "*"))
	}
	return pattern == path
}

// exposedOn are the clusters whose public gateways expose a service.
func exposedOn(m repo.Mesh, service string) []string {
	s := m.Services[service]
	if s.Expose == nil {
		return nil
	}
	if len(s.Expose.Clusters) > 0 {
		return slices.Sorted(slices.Values(s.Expose.Clusters))
	}
	return slices.DeleteFunc(sortedKeys(s.Placement), func(c string) bool { return m.Clusters[c].PublicGateway == nil })
}

// exposedPort is the name of the exposed port: the stated one, or the only one.
func exposedPort(m repo.Mesh, service string) string {
	s := m.Services[service]
	return cmp.Or(s.Expose.Port, sortedKeys(s.Ports)[0])
}
