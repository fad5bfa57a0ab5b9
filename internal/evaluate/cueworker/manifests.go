package cueworker

import (
	"encoding/json"
	"fmt"
	"slices"

	"cuelang.org/go/cue"

	meshmodule "github.com/isthmus-mesh/isthmus/cue"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// MeshRequest is a part of a mesh.
type MeshRequest struct {
	// Files by path.
	Files map[string][]byte
	// Mesh are the paths in Files that belong to Package; CUE reads the others by import or
	// embedding.
	Mesh    []string
	Package string
	// Cluster is the value of the tag; "" sets no tag.
	Cluster string
}

// Files of the CUE module: a shard replaces the file that evaluates a mesh as a whole.
const (
	wholeFile = VendoredFolder + meshmodule.Path + "/shard_all.cue"
	ShardFile = VendoredFolder + meshmodule.Path + "/shard.cue"
)

// acrossServices are the files of the CUE module that compare services. Manifests are evaluated
// without them, so they must not define anything that a repository can refer to.
var acrossServices = []string{"cluster_relation.cue", "cluster_view.cue", "checks.cue", "checks_access.cue", "checks_clusters.cue", "checks_routes.cue"}

// build evaluates the files with shard in the place of wholeFile, and without some files of the
// module.
func (q MeshRequest) build(shard string, without ...string) (cue.Value, Locator, error) {
	delete(q.Files, wholeFile)
	for _, name := range without {
		delete(q.Files, VendoredFolder+meshmodule.Path+"/"+name)
	}
	q.Files[ShardFile] = []byte("@experiment(explicitopen)\n\npackage mesh\n\n" + shard)
	slices.Sort(q.Mesh)
	return build(repositoryRequest{Cluster: q.Cluster, Files: q.Files}, q.Mesh, q.Package)
}

// emptyShard is a shard without services. Its argument: render what a cluster has once.
const emptyShard = `#Mesh: {
	_own: {}
	_all: {}
	_rivals: {}
	_meshwide: %t
	_exporting: false
	_exports: {...}
	_rendered: {...}
	resources: {...}
}
`

// sharedValues evaluates the settings, the clusters and the externals.
func sharedValues(q MeshRequest) (map[string]json.RawMessage, error) {
	value, at, err := q.build(fmt.Sprintf(emptyShard, true))
	if err != nil {
		return nil, err
	}
	if err := check(value); err != nil {
		return nil, fromCUE(err, at)
	}
	values := map[string]json.RawMessage{}
	for _, name := range []string{"settings", "clusters", "externals"} {
		data, err := value.LookupPath(cue.ParsePath(name)).MarshalJSON()
		if err != nil {
			return nil, fromCUE(err, at)
		}
		values[name] = data
	}
	return values, nil
}

// ManifestsRequest names the services to evaluate.
type ManifestsRequest struct {
	On       MeshRequest
	Services []string
}

// Manifest is one service: its manifest as plain data, or its findings.
type Manifest struct {
	Manifest json.RawMessage   `json:"manifest,omitempty"`
	Findings manifest.Findings `json:"findings,omitempty"`
}

// manifests evaluates services. A finding of one service does not affect the others. An error of
// the instance, such as an unresolved reference, is an error for all services of the request.
func manifests(q ManifestsRequest) (map[string]Manifest, error) {
	value, at, err := q.On.build(fmt.Sprintf(emptyShard, false), acrossServices...)
	if err != nil {
		return nil, err
	}
	services := value.LookupPath(cue.ParsePath(ServicesField))
	if !services.Exists() {
		if err := check(value); err != nil {
			return nil, fromCUE(err, at)
		}
		return nil, manifest.Findings{{Message: "there are no services"}}
	}
	out := make(map[string]Manifest, len(q.Services))
	for _, name := range q.Services {
		service := services.LookupPath(cue.MakePath(cue.Str(name)))
		err := check(service)
		var data []byte
		if err == nil {
			data, err = service.MarshalJSON()
		}
		if err != nil {
			out[name] = Manifest{Findings: fromCUE(err, at)}
			continue
		}
		out[name] = Manifest{Manifest: data}
	}
	return out, nil
}
