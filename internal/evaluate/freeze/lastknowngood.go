package freeze

import (
	"maps"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/evaluate/cueworker"
	"github.com/isthmus-mesh/isthmus/internal/evaluate/shard"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// LastKnownGood has the manifest of each service from the last commit in which it was good. It is
// immutable. The zero value has no service; nil means that the earlier commits are unknown.
type LastKnownGood struct {
	services map[string]entry
	// shared are the files that were a part of every shard, pkg is their package.
	shared map[string]bool
	pkg    string
	// unread are the files that could not be parsed.
	unread map[string]bool
}

// entry is the last known good manifest of a service.
type entry struct {
	summary *shard.Summary
	// files are the files that defined the service, blobs their content.
	files []string
	blobs map[string]source.Blob
	// hiding are files that could not be read when the service disappeared. It may be in one of
	// them.
	hiding []string
	// revision of the commit, as Snapshot.Revision.
	revision string
}

// Services returns the names of the services, sorted.
func (l *LastKnownGood) Services() []string { return slices.Sorted(maps.Keys(l.services)) }

// Revision returns the commit of the manifest of a service, "" for an unknown service.
func (l *LastKnownGood) Revision(service string) string { return l.services[service].revision }

// With returns a copy in which the given services are those of other. Services that other does not
// have are removed, and with a nil other all of them. It merges services that were frozen at
// different commits.
func (l *LastKnownGood) With(other *LastKnownGood, services ...string) *LastKnownGood {
	out := &LastKnownGood{services: make(map[string]entry, len(l.services)+len(services)), shared: l.shared, pkg: l.pkg, unread: l.unread}
	maps.Copy(out.services, l.services)
	for _, name := range services {
		_, there := l.services[name]
		delete(out.services, name)
		if other == nil {
			continue
		}
		if e, ok := other.services[name]; ok {
			if !there {
				e.hiding = slices.Sorted(maps.Keys(l.unread))
			}
			out.services[name] = e
		}
	}
	return out
}

// Exists implements [shard.Previous]; nil is valid.
func (l *LastKnownGood) Exists() bool { return l != nil }

// Changed implements [shard.Previous]; nil is valid.
func (l *LastKnownGood) Changed(service string, now *shard.Summary) bool {
	if l == nil {
		return false
	}
	last, ok := l.services[service]
	return !ok || now == nil || now.Key != last.summary.Key
}

// Suspects returns the files that defined only services in earlier commits and now define something
// else. If the commit cannot be evaluated, the error may be in one of them.
func (l *LastKnownGood) Suspects(infos map[string]cueworker.FileInfo) []string {
	if l == nil {
		return nil
	}
	were := map[string]bool{}
	for _, e := range l.services {
		for _, p := range e.files {
			were[p] = true
		}
	}
	var out []string
	for p, info := range infos {
		asBefore := info.Isolatable && info.Obstacle == nil && (info.Package == l.pkg || l.pkg == "")
		if were[p] && !asBefore && len(info.Findings) == 0 {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// BlameFiles assigns findings to suspect files by position. A file without a finding gets one that
// it is not a service file any more.
func BlameFiles(paths []string, findings manifest.Findings) map[string]manifest.Findings {
	out := map[string]manifest.Findings{}
	for _, p := range paths {
		for _, f := range findings {
			if f.File == p {
				out[p] = append(out[p], f)
			}
		}
		if out[p] == nil {
			out[p] = manifest.Findings{{File: p, Message: "it defines more than services now, and the mesh cannot be evaluated with it: " + findings[0].Message}}
		}
	}
	return out
}

// wasShared reports whether a path, or a file below it, was a part of every shard.
func (l *LastKnownGood) wasShared(p string) bool {
	if l == nil {
		return false
	}
	for file := range l.shared {
		if covers(p, file) {
			return true
		}
	}
	return false
}

// wasService reports whether a path, or a file below it, defined services and nothing else.
func (l *LastKnownGood) wasService(p string) bool {
	if l == nil {
		return false
	}
	for _, e := range l.services {
		if slices.ContainsFunc(e.files, func(file string) bool { return covers(p, file) }) {
			return true
		}
	}
	return false
}
