package evaluate

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	meshmodule "github.com/isthmus-mesh/isthmus/cue"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// split says which files of a repository may be evaluated apart from each other.
type split struct {
	pkg string
	// shared are the files of the mesh that every shard is evaluated with, sorted; beside are all other files that these may read:
	// modules and, if anything embeds files, those.
	shared, beside []string
	// units are the service files, those that define the same service together, in the order of their first files.
	units []unit
	// of is the index of the unit that defines a service.
	of map[string]int
	// broken are files that cannot be parsed, which are in no other list.
	broken map[string]manifest.Findings
	// readsCluster: manifests may differ from cluster to cluster.
	readsCluster bool
	// discerns: a template may tell apart manifests that are the same as data.
	discerns bool
	// whole are the reasons why there is no split: the repository has to be evaluated as a whole.
	whole manifest.Findings
}

// inOnePiece tells whether there is nothing to evaluate apart.
func (s *split) inOnePiece() bool { return len(s.whole) > 0 || len(s.units) == 0 && len(s.broken) == 0 }

// unit is what is evaluated apart: files and the services that they define.
type unit struct {
	files, services []string
}

// newSplit puts together what the files say of themselves.
func newSplit(snap *source.Snapshot, infos map[string]fileInfo) (*split, error) {
	s := &split{of: map[string]int{}, broken: map[string]manifest.Findings{}}
	clauses := map[string]clause{}
	for p, info := range infos {
		switch {
		case len(info.Findings) > 0:
			s.broken[p] = info.Findings
		case readByCUE(p):
			clauses[p] = clause{pkg: info.Package, imports: info.Imports}
		}
	}
	if found := s.unreadOf(moduleFile); found != nil {
		return nil, found
	}
	var module []byte
	if blob, ok := snap.Files[moduleFile]; ok {
		module = blob.Data
	}
	files, pkg, err := choose(module, len(snap.Files), clauses)
	if err != nil {
		return nil, err
	}
	s.pkg = pkg
	embeds := false
	hidden, seen := map[string]manifest.Finding{}, map[string]bool{}
	var apart []string
	for _, p := range files {
		info := infos[p]
		if info.Apart {
			apart = append(apart, p)
		} else {
			s.shared = append(s.shared, p)
			s.discerns = s.discerns || info.Discerns
		}
		embeds = embeds || info.Embeds
		s.readsCluster = s.readsCluster || info.ReadsCluster
		if o := info.Obstacle; o != nil {
			s.whole = append(s.whole, manifest.Finding{File: p, Line: o.Line, Message: o.Why})
		}
		for name, line := range info.Hidden {
			if at, ok := hidden[name]; !ok || p < at.File {
				hidden[name] = manifest.Finding{File: p, Line: line, Message: fmt.Sprintf("services have a field %s, which something else may look at: data has none", name)}
			}
		}
		for name := range info.Seen {
			seen[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(hidden)) {
		if seen[name] {
			s.whole = append(s.whole, hidden[name])
		}
	}
	if at, same := sameModule(snap); !same {
		// First, since with another version no other reason counts.
		s.whole = slices.Insert(s.whole, 0, manifest.Finding{
			File: at, Message: "the vendored module isthmus.dev/mesh is of another version than this program; `isthmus vendor` brings that one",
		})
	}
	inMesh := map[string]bool{}
	for _, p := range files {
		inMesh[p] = true
	}
	for _, p := range snap.Paths() {
		if cue := strings.HasSuffix(p, ".cue"); !inMesh[p] && s.broken[p] == nil && (cue || embeds || strings.HasPrefix(p, "cue.mod/")) {
			s.beside = append(s.beside, p)
			isModule := path.Dir(p) == vendored+meshmodule.Path
			s.discerns = s.discerns || cue && !isModule && bytes.Contains(snap.Files[p].Data, []byte("."+marshal))
		}
	}
	s.unite(apart, infos)
	return s, nil
}

// sameModule tells whether the vendored module is the one that this program knows: only of that one it knows what a shard needs. If
// not, at is a file that differs.
func sameModule(snap *source.Snapshot) (at string, same bool) {
	folder := vendored + meshmodule.Path + "/"
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

// unite makes units of the service files: files that define the same service are one.
func (s *split) unite(apart []string, infos map[string]fileInfo) {
	leader := make([]int, len(apart))
	find := func(i int) int {
		for leader[i] != i {
			leader[i] = leader[leader[i]]
			i = leader[i]
		}
		return i
	}
	first := map[string]int{}
	for i, p := range apart {
		leader[i] = i
		for _, name := range infos[p].Services {
			if j, ok := first[name]; ok {
				a, b := find(i), find(j)
				leader[max(a, b)] = min(a, b)
			} else {
				first[name] = i
			}
		}
	}
	index := map[int]int{}
	for i, p := range apart {
		l := find(i)
		at, ok := index[l]
		if !ok {
			at = len(s.units)
			index[l] = at
			s.units = append(s.units, unit{})
		}
		u := &s.units[at]
		u.files = append(u.files, p)
		for _, name := range infos[p].Services {
			if _, ok := s.of[name]; !ok {
				s.of[name] = at
				u.services = append(u.services, name)
			}
		}
	}
}
