package freeze

import (
	"maps"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/evaluate/cueworker"
	"github.com/isthmus-mesh/isthmus/internal/evaluate/shard"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// Frozen is a service that keeps its last known good manifest.
type Frozen struct {
	// Revision of the commit that the manifest is from.
	Revision string
	// Findings are the errors of the service.
	Findings manifest.Findings
}

// Freezer replaces the broken services of one commit.
type Freezer struct {
	// Frozen are the services with their last known good manifests.
	Frozen map[string]Frozen
	// Unknown are broken services without a known manifest, and files without known services.
	Unknown map[string]struct{}
	// NeverGood are broken services that are in no earlier commit.
	NeverGood map[string]struct{}

	last      *LastKnownGood
	lost      []string
	partition *shard.Partition
	services  *shard.Services
	// hiding are unreadable files, by the services that disappeared and may be in them.
	hiding map[string][]string
}

// New makes a freezer for the services of a commit. lost are services whose last known good
// manifest is lost.
func New(last *LastKnownGood, lost []string, p *shard.Partition, services *shard.Services) *Freezer {
	return &Freezer{
		Frozen: map[string]Frozen{}, Unknown: map[string]struct{}{}, NeverGood: map[string]struct{}{},
		last: last, lost: lost, partition: p, services: services, hiding: map[string][]string{},
	}
}

// BlameUnread marks services as broken whose files cannot be parsed any more.
func (f *Freezer) BlameUnread() {
	if len(f.partition.Broken) == 0 {
		return
	}
	if f.last == nil {
		for p := range f.partition.Broken {
			f.Unknown[p] = struct{}{}
		}
		return
	}
	for _, name := range f.servicesOfUnread() {
		for _, p := range slices.Concat(f.last.services[name].files, f.hiding[name]) {
			for _, found := range f.partition.UnreadOf(p) {
				found.Service = name
				f.services.AddFinding(name, found)
			}
		}
	}
}

// servicesOfUnread returns services that were defined, at least in part, in files that cannot be
// parsed now. If such a file is new, all services that disappeared may be in it.
func (f *Freezer) servicesOfUnread() []string {
	var newFiles []string
	for p := range f.partition.Broken {
		if !f.last.wasService(p) && !f.last.unread[p] {
			newFiles = append(newFiles, p)
		}
	}
	var names []string
	isUnread := func(p string) bool { return f.partition.UnreadOf(p) != nil }
	for name, e := range f.last.services {
		if !f.partition.Defines(name) && (len(newFiles) > 0 || slices.ContainsFunc(e.hiding, isUnread)) {
			names = append(names, name)
			f.hiding[name] = slices.Concat(slices.DeleteFunc(slices.Clone(e.hiding), func(p string) bool { return !isUnread(p) }), newFiles)
		} else if slices.ContainsFunc(e.files, isUnread) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Freeze replaces each broken manifest with its last known good one, and reports whether a manifest
// changed. A service that never was good is removed. graph is that of the rendering which found the
// errors, nil if nothing was rendered yet.
func (f *Freezer) Freeze(graph *shard.Graph) (changed bool) {
	names := slices.Sorted(maps.Keys(f.services.Broken))
	if f.last != nil && graph != nil {
		names = f.blameNewcomers(names, graph)
	}
	for _, name := range names {
		if _, already := f.Frozen[name]; already {
			continue
		}
		if f.last == nil {
			f.Unknown[name] = struct{}{}
			changed = f.remove(name) || changed
			continue
		}
		last, ok := f.last.services[name]
		if slices.Contains(f.lost, name) {
			f.Unknown[name] = struct{}{}
		}
		if !ok {
			f.NeverGood[name] = struct{}{}
			changed = f.remove(name) || changed
			continue
		}
		changed = changed || f.last.Changed(name, f.services.Good[name])
		f.Frozen[name] = Frozen{Revision: last.revision, Findings: f.services.Broken[name]}
		f.services.Good[name] = last.summary
		f.services.FrozenFiles[name] = last.blobs
	}
	return changed
}

func (f *Freezer) remove(name string) (changed bool) {
	changed = f.services.Good[name] != nil
	delete(f.services.Good, name)
	return changed
}

// blameNewcomers finds the service that caused a conflict, because the finding may be about another
// service with the same claim: a service that is new or, if there is none, all that changed.
func (f *Freezer) blameNewcomers(names []string, graph *shard.Graph) []string {
	for _, name := range slices.Clone(names) {
		if _, had := f.last.services[name]; !had || !f.isClaim(name) {
			continue
		}
		var newcomers, changed []string
		for _, candidate := range graph.ConflictCandidates(name) {
			if _, had := f.last.services[candidate]; !had {
				newcomers = append(newcomers, candidate)
			} else if f.last.Changed(candidate, f.services.Good[candidate]) {
				changed = append(changed, candidate)
			}
		}
		blamed := newcomers
		if len(newcomers) == 0 && !f.last.Changed(name, f.services.Good[name]) {
			blamed = changed
		}
		for _, candidate := range blamed {
			if f.services.Broken[candidate] == nil {
				f.services.Broken[candidate] = f.services.Broken[name]
				names = append(names, candidate)
			}
		}
		if len(newcomers) > 0 {
			delete(f.services.Broken, name)
			names = slices.DeleteFunc(names, func(n string) bool { return n == name })
		}
	}
	return names
}

// claimFields are the fields of a manifest that can conflict with another service.
var claimFields = []string{"hosts", "vip", "authorization", "sidecar"}

// isClaim reports whether all findings of a service are about fields that can conflict.
func (f *Freezer) isClaim(name string) bool {
	return !slices.ContainsFunc(f.services.Broken[name], func(found manifest.Finding) bool {
		rest, _ := strings.CutPrefix(found.Path, cueworker.ServicesField+"."+name+".")
		field, _, _ := strings.Cut(rest, ".")
		return !slices.Contains(claimFields, field)
	})
}

// LastKnownGood returns the manifests of the commit: those that are good, and the frozen ones.
func (f *Freezer) LastKnownGood(snap *source.Snapshot) *LastKnownGood {
	out := &LastKnownGood{
		services: make(map[string]entry, len(f.services.Good)), shared: map[string]bool{}, pkg: f.partition.Package, unread: map[string]bool{},
	}
	for _, p := range f.partition.Shared {
		out.shared[p] = true
	}
	for p := range f.partition.Broken {
		out.unread[p] = true
	}
	for name, summary := range f.services.Good {
		if _, frozen := f.Frozen[name]; frozen {
			e := f.last.services[name]
			e.hiding = f.hiding[name]
			out.services[name] = e
			continue
		}
		e := entry{summary: summary, files: f.partition.ComponentOf(name).Files, revision: snap.Revision, blobs: map[string]source.Blob{}}
		for _, p := range e.files {
			e.blobs[p] = snap.Files[p]
		}
		out.services[name] = e
	}
	return out
}
