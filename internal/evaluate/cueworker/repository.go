package cueworker

import (
	"encoding/json"

	"cuelang.org/go/cue"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// repositoryRequest is the content of a snapshot, without its origin.
type repositoryRequest struct {
	Cluster string
	Files   map[string][]byte
}

// RepositoryResponse is the value of a repository.
type RepositoryResponse struct {
	// Values are the fields of the root, in JSON as CUE writes it.
	Values map[string]json.RawMessage `json:"values,omitempty"`
	At     Locator                    `json:"at,omitempty"`
}

// ResourcesField is the field of the root with the objects for the cluster.
const ResourcesField = "resources"

// Fields are the fields of the root in a [RepositoryResponse].
func Fields(cluster string) []string {
	names := []string{"settings", "clusters", "services", "externals"}
	if cluster != "" {
		names = append(names, ResourcesField)
	}
	return names
}

// repository evaluates a repository in one piece.
func repository(q repositoryRequest) (RepositoryResponse, error) {
	files, pkg, err := meshFiles(q.Files)
	if err != nil {
		return RepositoryResponse{}, err
	}
	value, at, err := build(q, files, pkg)
	if err != nil {
		return RepositoryResponse{}, err
	}
	if err := check(value); err != nil {
		return RepositoryResponse{}, withUnknownCluster(fromCUE(err, at), value, q.Cluster)
	}
	a := RepositoryResponse{Values: map[string]json.RawMessage{}, At: at}
	for _, name := range Fields(q.Cluster) {
		field := value.LookupPath(cue.ParsePath(name))
		if !field.Exists() {
			continue
		}
		if a.Values[name], err = field.MarshalJSON(); err != nil {
			return RepositoryResponse{}, fromCUE(err, at)
		}
	}
	return a, nil
}

// withUnknownCluster sets the code of the finding that the cluster is not in the inventory.
func withUnknownCluster(findings manifest.Findings, value cue.Value, cluster string) manifest.Findings {
	if cluster == "" || value.LookupPath(cue.MakePath(cue.Str("clusters"), cue.Str(cluster))).Exists() {
		return findings
	}
	for i, f := range findings {
		if f.Path == "clusters."+cluster {
			findings[i].Code = manifest.UnknownCluster
		}
	}
	return findings
}
