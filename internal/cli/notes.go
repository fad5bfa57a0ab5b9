package cli

import (
	"fmt"
	"maps"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/mesh"
)

// notesOn are the calls that have nowhere to go. They are no findings: a service may be declared before it runs, and a
// cluster may be down.
func notesOn(result *evaluate.Result) []problem {
	var notes manifest.Findings
	for caller, service := range result.Mesh.Services {
		for callee := range service.Egress {
			path := fmt.Sprintf("services.%s.egress.%s", caller, callee)
			note := manifest.Finding{
				Service: caller,
				Path:    path,
				Message: fmt.Sprintf("%s calls %s, which no active cluster runs: the call has no endpoints", caller, callee),
			}
			if at, ok := result.Locate(path); ok {
				note.File, note.Line, note.Column = at.File, at.Line, at.Column
			}
			everywhere, clusters := withoutEndpoints(result.Mesh, caller, callee)
			if everywhere {
				notes = append(notes, note)
			}
			for _, cluster := range clusters {
				note.Cluster = cluster
				notes = append(notes, note)
			}
		}
	}
	return merge(notes)
}

// notesOnShards are the files for which the repository has to be evaluated in one piece.
func notesOnShards(result *evaluate.Result) []problem {
	notes := make(manifest.Findings, len(result.Unshardable))
	for i, f := range result.Unshardable {
		f.Message = "the mesh is evaluated in one piece because of this file: " + f.Message
		notes[i] = f
	}
	return merge(notes)
}

// withoutEndpoints tells from which clusters a call goes nowhere: everywhere, or in some clusters only. A caller's cluster that is
// down is not counted on, and makes no calls.
func withoutEndpoints(m *manifest.Mesh, caller, callee string) (everywhere bool, clusters []string) {
	service, inMesh := m.Services[callee]
	if !inMesh {
		return false, nil
	}
	everywhere = true
	for cluster := range service.Placement {
		if m.Clusters[cluster].State == "active" {
			everywhere = false
		}
	}
	for _, cluster := range slices.Sorted(maps.Keys(m.Services[caller].Placement)) {
		switch {
		case m.Clusters[cluster].State == "down":
		case len(mesh.Publishers(m, cluster, callee)) > 0:
			everywhere = false
		default:
			clusters = append(clusters, cluster)
		}
	}
	if everywhere {
		return true, nil
	}
	return false, clusters
}
