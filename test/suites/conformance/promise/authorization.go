package promise

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

// verdict on a call at the pod.
type verdict string

const (
	letIn   verdict = ""
	refused verdict = "refused"
	logged  verdict = "logged"
)

// mode of a service's authorization.
func mode(m repo.Mesh, service string) string {
	return cmp.Or(m.Services[service].Authorization.Mode, m.Settings.Authorization.Mode, "off")
}

// attempt is a call as the callee's pod sees it.
type attempt struct {
	principal string
	callee    string
	port      string // by name
	http      bool
	method    string
	path      string
}

// judgeAttempt says what the callee's manifest and those of its callers make of a call.
func judgeAttempt(m repo.Mesh, a attempt) verdict {
	how := mode(m, a.callee)
	if how == "off" || allowed(m, a) {
		return letIn
	}
	if how == "audit" {
		return logged
	}
	return refused
}

func allowed(m repo.Mesh, a attempt) bool {
	callee := m.Services[a.callee]
	if slices.Contains(callee.Authorization.Allow, a.principal) {
		return true
	}
	for name, caller := range m.Services {
		egress, declared := caller.Egress[a.callee]
		if !declared || callee.Authorization.Callers != nil && !slices.Contains(callee.Authorization.Callers, name) {
			continue
		}
		if slices.Contains(principals(m, name), a.principal) && covers(egress, a) {
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

// principals under which a service calls.
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

// covers tells whether a declared call is wide enough.
func covers(e repo.Egress, a attempt) bool {
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

// pathCovers: a pattern may begin or end with a star.
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

// exposedOn are the clusters on whose public gateways a service is.
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

// exposedPort by name: the one that is named, or the only one.
func exposedPort(m repo.Mesh, service string) string {
	s := m.Services[service]
	return cmp.Or(s.Expose.Port, sortedKeys(s.Ports)[0])
}
