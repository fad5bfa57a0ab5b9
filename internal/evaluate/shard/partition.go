package shard

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	meshmodule "github.com/isthmus-mesh/isthmus/cue"
	"github.com/isthmus-mesh/isthmus/internal/evaluate/cueworker"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// Partition divides the files of a repository. Components can be evaluated apart from each other.
type Partition struct {
	// Package is the package of the mesh.
	Package string
	// Shared are the files of the mesh that are a part of every shard, sorted.
	Shared []string
	// Components are the service files, in the order of their first files.
	Components []Component
	// Broken are the findings of files that cannot be parsed, by path. These files are in no other
	// list.
	Broken map[string]manifest.Findings
	// ReadsCluster: manifests may depend on the cluster.
	ReadsCluster bool
	// Unshardable are the reasons why the repository must be evaluated in one piece.
	Unshardable manifest.Findings

	// supporting are all other files that shared files may read: modules and, if a file embeds
	// others, the embedded files.
	supporting []string
	// of is the index of the component that defines a service.
	of map[string]int
	// orderSensitive: a template may distinguish manifests with equal data.
	orderSensitive bool
	// rejected are findings of files that do not affect the mesh.
	rejected manifest.Findings
}

// Component is a connected component of service files: files that define the same service are in
// the same component.
type Component struct {
	Files, Services []string
}

// InOnePiece reports whether the repository cannot be divided.
func (p *Partition) InOnePiece() bool {
	return len(p.Unshardable) > 0 || len(p.Components) == 0 && len(p.Broken) == 0
}

// Defines reports whether a file that can be parsed defines a service.
func (p *Partition) Defines(service string) bool {
	_, ok := p.of[service]
	return ok
}

// ComponentOf returns the component of a service. A service without files has a component of its
// own.
func (p *Partition) ComponentOf(service string) Component {
	if i, ok := p.of[service]; ok {
		return p.Components[i]
	}
	return Component{Services: []string{service}}
}

// Unread are the findings of all files that cannot be read.
func (p *Partition) Unread() manifest.Findings {
	all := slices.Clone(p.rejected)
	for _, file := range slices.Sorted(maps.Keys(p.Broken)) {
		all = append(all, p.Broken[file]...)
	}
	return all
}

// UnreadOf are the findings that prevent a file from being read: those of the file, or of a folder
// in its path that is not a folder any more.
func (p *Partition) UnreadOf(file string) manifest.Findings {
	if found := p.Broken[file]; found != nil || len(p.Broken) == 0 {
		return found
	}
	for at := path.Dir(file); at != "."; at = path.Dir(at) {
		if found := p.Broken[at]; found != nil {
			return found
		}
	}
	return nil
}

// NewPartition divides a snapshot by the parsed files. rejected are findings of files that do not
// affect the mesh. Errors are manifest.Findings.
func NewPartition(snap *source.Snapshot, infos map[string]cueworker.FileInfo, rejected manifest.Findings) (*Partition, error) {
	s := &Partition{of: map[string]int{}, Broken: map[string]manifest.Findings{}, rejected: rejected}
	headers := map[string]cueworker.Header{}
	for p, info := range infos {
		switch {
		case len(info.Findings) > 0:
			s.Broken[p] = info.Findings
		case cueworker.ReadByCUE(p):
			headers[p] = cueworker.Header{Package: info.Package, Imports: info.Imports}
		}
	}
	if found := s.UnreadOf(cueworker.ModuleFile); found != nil {
		return nil, found
	}
	var module []byte
	if blob, ok := snap.Files[cueworker.ModuleFile]; ok {
		module = blob.Data
	}
	files, pkg, err := cueworker.Choose(module, len(snap.Files), headers)
	if err != nil {
		return nil, err
	}
	s.Package = pkg
	embeds := false
	hidden, seen := map[string]manifest.Finding{}, map[string]bool{}
	var isolatable []string
	for _, p := range files {
		info := infos[p]
		if info.Isolatable {
			isolatable = append(isolatable, p)
		} else {
			s.Shared = append(s.Shared, p)
			s.orderSensitive = s.orderSensitive || info.OrderSensitive
		}
		embeds = embeds || info.Embeds
		s.ReadsCluster = s.ReadsCluster || info.ReadsCluster
		if o := info.Obstacle; o != nil {
			s.Unshardable = append(s.Unshardable, manifest.Finding{File: p, Line: o.Line, Message: o.Why})
		}
		for name, line := range info.Hidden {
			if at, ok := hidden[name]; !ok || p < at.File {
				hidden[name] = manifest.Finding{File: p, Line: line, Message: fmt.Sprintf("services have a hidden field %s that other code may refer to; data has no hidden fields", name)}
			}
		}
		for name := range info.Seen {
			seen[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(hidden)) {
		if seen[name] {
			s.Unshardable = append(s.Unshardable, hidden[name])
		}
	}
	if at, same := sameModule(snap); !same {
		// First: another version of the module makes the other reasons irrelevant.
		s.Unshardable = slices.Insert(s.Unshardable, 0, manifest.Finding{
			File: at, Message: "the vendored module isthmus.dev/mesh is of another version than this program; `isthmus vendor` replaces it",
		})
	}
	inMesh := map[string]bool{}
	for _, p := range files {
		inMesh[p] = true
	}
	for _, p := range snap.Paths() {
		if cue := strings.HasSuffix(p, ".cue"); !inMesh[p] && s.Broken[p] == nil && (cue || embeds || strings.HasPrefix(p, "cue.mod/")) {
			s.supporting = append(s.supporting, p)
			isModule := path.Dir(p) == cueworker.VendoredFolder+meshmodule.Path
			s.orderSensitive = s.orderSensitive || cue && !isModule && bytes.Contains(snap.Files[p].Data, []byte("."+cueworker.MarshalPrefix))
		}
	}
	s.unite(isolatable, infos)
	return s, nil
}

// sameModule reports whether the vendored module is that of this program. service_graph.go mirrors
// only that version. If not, at is a file that differs.
func sameModule(snap *source.Snapshot) (at string, same bool) {
	folder := cueworker.VendoredFolder + meshmodule.Path + "/"
	ours, err := fs.ReadDir(meshmodule.Files, ".")
	if err != nil {
		return folder, false
	}
	known := map[string]bool{}
	for _, entry := range ours {
		p := folder + entry.Name()
		known[p] = true
		data, err := fs.ReadFile(meshmodule.Files, entry.Name())
		if blob, ok := snap.Files[p]; err != nil || !ok || string(blob.Data) != string(data) {
			return p, false
		}
	}
	for p := range snap.Files {
		if path.Dir(p)+"/" == folder && strings.HasSuffix(p, ".cue") && !known[p] {
			return p, false
		}
	}
	return "", true
}

// unite divides the service files into components (union-find).
func (p *Partition) unite(isolatable []string, infos map[string]cueworker.FileInfo) {
	leader := make([]int, len(isolatable))
	find := func(i int) int {
		for leader[i] != i {
			leader[i] = leader[leader[i]]
			i = leader[i]
		}
		return i
	}
	first := map[string]int{}
	for i, path := range isolatable {
		leader[i] = i
		for _, name := range infos[path].Services {
			if j, ok := first[name]; ok {
				a, b := find(i), find(j)
				leader[max(a, b)] = min(a, b)
			} else {
				first[name] = i
			}
		}
	}
	index := map[int]int{}
	for i, path := range isolatable {
		l := find(i)
		at, ok := index[l]
		if !ok {
			at = len(p.Components)
			index[l] = at
			p.Components = append(p.Components, Component{})
		}
		u := &p.Components[at]
		u.Files = append(u.Files, path)
		for _, name := range infos[path].Services {
			if _, ok := p.of[name]; !ok {
				p.of[name] = at
				u.Services = append(u.Services, name)
			}
		}
	}
}
