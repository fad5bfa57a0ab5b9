package cueworker

import (
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// ShardFinding is a finding of a shard, with the fields by which it is assigned to a service.
type ShardFinding struct {
	manifest.Finding
	Scope Scope `json:"scope"`
	// Callee is the service that the finding names as callee, "" if it is not about a call.
	Callee string `json:"callee,omitempty"`
}

// Scope is the part of a repository that a finding is about.
type Scope string

const (
	// ServiceScope: one service, which the path names.
	ServiceScope Scope = "service"
	// MeshScope: a value that all services share.
	MeshScope Scope = "mesh"
	// NoUserPath: a field of the CUE module, which is not in a file of the user. The service is
	// unknown.
	NoUserPath Scope = "noUserPath"
)

// HasNoUserPath reports whether the finding may be about any service of the shard.
func (f ShardFinding) HasNoUserPath() bool { return f.Scope == NoUserPath }

// IsMeshScoped reports whether the finding is about a value that all services share.
func (f ShardFinding) IsMeshScoped() bool { return f.Scope == MeshScope }

// PlainFindings drops the scopes.
func PlainFindings(findings []ShardFinding) manifest.Findings {
	var out manifest.Findings
	for _, f := range findings {
		out = append(out, f.Finding)
	}
	return out
}

func scopeOf(path []string) Scope {
	switch {
	case len(path) == 0 || path[0] == "" || strings.HasPrefix(path[0], "_"):
		return NoUserPath
	case len(path) > 1 && path[0] == ServicesField:
		return ServiceScope
	}
	return MeshScope
}

// calleeIn is the callee in a path such as services.checkout.egress.cart.
func calleeIn(path []string) string {
	if len(path) < 4 || path[0] != ServicesField {
		return ""
	}
	if i := slices.Index(path[2:], "egress"); i >= 0 && 2+i+1 < len(path) {
		return path[2+i+1]
	}
	return ""
}
