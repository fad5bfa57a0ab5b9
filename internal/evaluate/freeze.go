package evaluate

import (
	"context"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// Basis is what was good in the commits before, service by service: what a commit falls back to where it is broken. It is
// immutable.
type LastKnownGood struct {
	services map[string]good
	// shared are the files that services were evaluated with, pkg is their package.
	shared map[string]bool
	pkg    string
	// unread are the files that could not be parsed.
	unread map[string]bool
}

// good is the last good manifest of a service.
type good struct {
	known *known
	// files are those that defined it, all of them, and blobs what stood in them.
	files []string
	blobs map[string]source.Blob
	// hiding are files that could not be read when it vanished: it may stand there now.
	hiding []string
	// revision is that of the commit, as Snapshot.Revision.
	revision string
}

// Services are those that it has.
func (b *LastKnownGood) Services() []string { return slices.Sorted(maps.Keys(b.services)) }

// Revision is the commit that it has a service from, "" if it does not know the service.
func (b *LastKnownGood) Revision(service string) string { return b.services[service].revision }

// With is the basis with the given services, and no others of these, as another basis has them. It is for those that were frozen at
// other commits.
func (b *LastKnownGood) With(other *LastKnownGood, services ...string) *LastKnownGood {
	out := &LastKnownGood{services: make(map[string]good, len(b.services)+len(services)), shared: b.shared, pkg: b.pkg, unread: b.unread}
	maps.Copy(out.services, b.services)
	for _, name := range services {
		_, there := b.services[name]
		delete(out.services, name)
		if other == nil {
			continue
		}
		if g, ok := other.services[name]; ok {
			if !there {
				g.hiding = slices.Sorted(maps.Keys(b.unread))
			}
			out.services[name] = g
		}
	}
	return out
}

// Frozen is a service that is kept at its last good manifest.
type Frozen struct {
	// Revision is that of the commit which the manifest is from.
	Revision string
	// Findings are why.
	Findings manifest.Findings
}

// Manifests is a basis of everything in a commit that evaluates by itself, whether or not it fits to the rest. It is for services that are
// known to have been good in that commit.
func (e *Evaluator) Manifests(ctx context.Context, snap *source.Snapshot, cluster string) (*LastKnownGood, error) {
	release, err := turn(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	r := e.newRun(snap, Options{Cluster: cluster})
	defer r.pool.Close()
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	if r.split.inOnePiece() {
		return nil, manifest.Findings{{Message: "the repository is evaluated in one piece, of which no service can be taken by itself"}}
	}
	if err := r.evaluateManifests(ctx); err != nil {
		return nil, err
	}
	return r.basis(), nil
}

// suspects are service files of the basis that are none any more.
func (r *run) suspects() []string {
	if r.options.LastKnownGood == nil || r.suspected != nil {
		return nil
	}
	were := map[string]bool{}
	for _, g := range r.options.LastKnownGood.services {
		for _, p := range g.files {
			were[p] = true
		}
	}
	var out []string
	for p, info := range r.infos {
		asBefore := info.Apart && info.Obstacle == nil && (info.Package == r.options.LastKnownGood.pkg || r.options.LastKnownGood.pkg == "")
		if were[p] && !asBefore && len(info.Findings) == 0 {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// blameFiles gives each file the findings that stand in it, or one that says that it is no service file any more.
func blameFiles(paths []string, findings manifest.Findings) map[string]manifest.Findings {
	out := map[string]manifest.Findings{}
	for _, p := range paths {
		for _, f := range findings {
			if f.File == p {
				out[p] = append(out[p], f)
			}
		}
		if out[p] == nil {
			out[p] = manifest.Findings{{File: p, Message: "it defines something else than services now, with which the mesh cannot be evaluated: " + findings[0].Message}}
		}
	}
	return out
}

// sharedUnread tells of files that cannot be parsed, and that all services may depend on: those that did before, and those of the root folder.
func (r *run) sharedUnread() error {
	for p := range r.split.broken {
		inRoot := path.Dir(p) == "." && strings.HasSuffix(p, ".cue")
		if r.wasShared(p) || isOfModules(p) || inRoot && !r.wasService(p) {
			return r.unread()
		}
	}
	return nil
}

// wasShared tells whether all services were evaluated with a file before, or with some in the folder that stood there.
func (r *run) wasShared(p string) bool {
	if r.options.LastKnownGood == nil {
		return false
	}
	for file := range r.options.LastKnownGood.shared {
		if covers(p, file) {
			return true
		}
	}
	return false
}

// wasService tells whether a file defined services before, and nothing else, or a folder that stood there had such.
func (r *run) wasService(p string) bool {
	if r.options.LastKnownGood == nil {
		return false
	}
	for _, g := range r.options.LastKnownGood.services {
		if slices.ContainsFunc(g.files, func(file string) bool { return covers(p, file) }) {
			return true
		}
	}
	return false
}

// ofUnread are services that the basis knows to be defined, in part at least, by files that cannot be parsed. If such a file is new,
// whatever vanished may have moved there.
func (r *run) ofUnread() []string {
	if r.options.LastKnownGood == nil || len(r.split.broken) == 0 {
		return nil
	}
	// New ones among them, where what vanished may have moved to.
	var news []string
	for p := range r.split.broken {
		if !r.wasService(p) && !r.options.LastKnownGood.unread[p] {
			news = append(news, p)
		}
	}
	var names []string
	isUnread := func(p string) bool { return r.split.unreadOf(p) != nil }
	for name, g := range r.options.LastKnownGood.services {
		_, there := r.split.of[name]
		if !there && (len(news) > 0 || slices.ContainsFunc(g.hiding, isUnread)) {
			names = append(names, name)
			r.hiding[name] = slices.Concat(slices.DeleteFunc(slices.Clone(g.hiding), func(p string) bool { return !isUnread(p) }), news)
		} else if slices.ContainsFunc(g.files, isUnread) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// basis is what is good now, and what was good before of what is frozen.
func (r *run) basis() *LastKnownGood {
	b := &LastKnownGood{services: make(map[string]good, len(r.services)), shared: map[string]bool{}, pkg: r.split.pkg, unread: map[string]bool{}}
	for _, p := range r.split.shared {
		b.shared[p] = true
	}
	for p := range r.split.broken {
		b.unread[p] = true
	}
	for name, k := range r.services {
		if _, frozen := r.frozen[name]; frozen {
			g := r.options.LastKnownGood.services[name]
			g.hiding = r.hiding[name]
			b.services[name] = g
			continue
		}
		g := good{known: k, files: r.unitOf(name).files, revision: r.snap.Revision, blobs: map[string]source.Blob{}}
		for _, p := range g.files {
			g.blobs[p] = r.snap.Files[p]
		}
		b.services[name] = g
	}
	return b
}

// freezeUnread freezes what broken files defined before.
func (r *run) freezeUnread() {
	if len(r.split.broken) == 0 {
		return
	}
	if r.options.LastKnownGood == nil {
		for p := range r.split.broken {
			r.lost[p] = struct{}{}
		}
		return
	}
	for _, name := range r.ofUnread() {
		for _, p := range slices.Concat(r.options.LastKnownGood.services[name].files, r.hiding[name]) {
			for _, f := range r.split.unreadOf(p) {
				f.Service = name
				r.broken[name] = addFinding(r.broken[name], f)
			}
		}
	}
}

// freeze puts the last good manifest in the place of each broken one, and tells whether that changed anything. One that never was good
// is left out: nothing stems from it. But where nobody can tell what was good before, all that may stem from it has to be
// kept (Result.Lost).
func (r *run) freeze() (changed bool) {
	names := slices.Sorted(maps.Keys(r.broken))
	if r.options.LastKnownGood != nil && r.around != nil {
		names = r.blameNewcomers(names)
	}
	for _, name := range names {
		if _, already := r.frozen[name]; already {
			continue
		}
		if r.options.LastKnownGood == nil {
			r.lost[name] = struct{}{}
			if r.services[name] != nil {
				delete(r.services, name)
				changed = true
			}
			continue
		}
		last, ok := r.options.LastKnownGood.services[name]
		if slices.Contains(r.options.Unknown, name) {
			r.lost[name] = struct{}{}
		}
		if !ok {
			r.leftOut[name] = struct{}{}
			if r.services[name] != nil {
				delete(r.services, name)
				changed = true
			}
			continue
		}
		changed = changed || !r.unchanged(name)
		r.frozen[name] = Frozen{Revision: last.revision, Findings: r.broken[name]}
		r.services[name] = last.known
	}
	return changed
}

// blameNewcomers finds who claims what another one has, which may be told as the other's fault: a service that was not there before; if there
// is none, all that changed.
func (r *run) blameNewcomers(names []string) []string {
	for _, name := range slices.Clone(names) {
		if _, had := r.options.LastKnownGood.services[name]; !had || !r.isClaim(name) {
			continue
		}
		var newcomers, changed []string
		for _, rival := range r.around.rivals[name] {
			if _, had := r.options.LastKnownGood.services[rival]; !had {
				newcomers = append(newcomers, rival)
			} else if !r.unchanged(rival) {
				changed = append(changed, rival)
			}
		}
		blamed := newcomers
		if len(newcomers) == 0 && r.unchanged(name) {
			blamed = changed
		}
		for _, rival := range blamed {
			if r.broken[rival] == nil {
				r.broken[rival] = r.broken[name]
				names = append(names, rival)
			}
		}
		if len(newcomers) > 0 {
			delete(r.broken, name)
			names = slices.DeleteFunc(names, func(n string) bool { return n == name })
		}
	}
	return names
}

// isClaim tells whether all that is wrong with a service is about what rivals may claim.
func (r *run) isClaim(name string) bool {
	return !slices.ContainsFunc(r.broken[name], func(f manifest.Finding) bool {
		rest, _ := strings.CutPrefix(f.Path, servicesField+"."+name+".")
		field, _, _ := strings.Cut(rest, ".")
		return !slices.Contains([]string{"hosts", "vip", "authorization", "sidecar"}, field)
	})
}

// unchanged tells whether a service is as it was when it was good.
func (r *run) unchanged(name string) bool {
	now := r.services[name]
	last, ok := r.options.LastKnownGood.services[name]
	return ok && now != nil && now.key == last.known.key
}
