package evaluate

import (
	"context"
	"maps"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/sandbox"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// Basis is what was good in the commits before, service by service: what a commit falls back to where it is broken. It is
// immutable.
type Basis struct {
	services map[string]good
	// shared are the files that services were evaluated with.
	shared map[string]bool
}

// good is the last good manifest of a service.
type good struct {
	known *known
	// files are those that defined it, all of them.
	files []string
	// revision is that of the commit, as Snapshot.Revision.
	revision string
}

// Services are those that it has.
func (b *Basis) Services() []string { return slices.Sorted(maps.Keys(b.services)) }

// With is the basis with the given services, and no others of these, as another basis has them. It is for those that were frozen at
// other commits.
func (b *Basis) With(other *Basis, services ...string) *Basis {
	out := &Basis{services: maps.Clone(b.services), shared: b.shared}
	for _, name := range services {
		delete(out.services, name)
		if other != nil {
			if g, ok := other.services[name]; ok {
				out.services[name] = g
			}
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

// Basis evaluates the manifests of a commit and renders nothing. What is broken in it is not in the basis. An error is one of those of
// Evaluate: that of a mesh which cannot be evaluated at all, or in shards.
func (e *Evaluator) Basis(ctx context.Context, snap *source.Snapshot, cluster string) (*Basis, error) {
	release, err := turn(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	r := &run{Evaluator: e, snap: snap, options: Options{Cluster: cluster}, pool: sandbox.NewPool(e.limits.shard(), workers)}
	defer r.pool.Close()
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	if r.split.inOnePiece() {
		return nil, manifest.Findings{{Message: "the repository is evaluated as a whole, so no service of it can be taken by itself"}}
	}
	if err := r.evaluateManifests(ctx); err != nil {
		return nil, err
	}
	for _, name := range r.ofUnread() {
		delete(r.services, name)
	}
	return r.basis(), nil
}

// ofUnread are services that the basis knows to be defined, in part at least, by files that cannot be parsed.
func (r *run) ofUnread() []string {
	if r.options.Basis == nil || len(r.split.broken) == 0 {
		return nil
	}
	var names []string
	for name, g := range r.options.Basis.services {
		if slices.ContainsFunc(g.files, func(p string) bool { return r.split.broken[p] != nil }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// basis is what is good now, and what was good before of what is frozen.
func (r *run) basis() *Basis {
	b := &Basis{services: make(map[string]good, len(r.services)), shared: map[string]bool{}}
	for _, p := range r.split.shared {
		b.shared[p] = true
	}
	for name, k := range r.services {
		if _, frozen := r.frozen[name]; frozen {
			b.services[name] = r.options.Basis.services[name]
			continue
		}
		b.services[name] = good{known: k, files: r.unitOf(name).files, revision: r.snap.Revision}
	}
	return b
}

// freezeUnread freezes what broken files defined before. A file that all services were evaluated with is nobody's alone.
func (r *run) freezeUnread() error {
	if len(r.split.broken) == 0 {
		return nil
	}
	if r.options.Basis == nil {
		for p := range r.split.broken {
			r.lost[p] = struct{}{}
		}
		return nil
	}
	for p := range r.split.broken {
		if r.options.Basis.shared[p] {
			return r.findings()
		}
	}
	for _, name := range r.ofUnread() {
		for _, p := range r.options.Basis.services[name].files {
			for _, f := range r.split.broken[p] {
				f.Service = name
				r.broken[name] = addFinding(r.broken[name], f)
			}
		}
	}
	return nil
}

// freeze puts the last good manifest in the place of each broken one, and tells whether that changed anything. One that never was good
// is left out: nothing stems from it. But where nobody can tell what was good before, all that may stem from it has to be
// kept (Result.Lost).
func (r *run) freeze() (changed bool) {
	names := slices.Sorted(maps.Keys(r.broken))
	if r.options.Basis != nil && r.around != nil {
		// Whoever claims what another one has may be told as its fault.
		for _, name := range names {
			if r.unchanged(name) {
				for _, rival := range r.around.rivals[name] {
					if !r.unchanged(rival) && r.broken[rival] == nil {
						r.broken[rival] = r.broken[name]
						names = append(names, rival)
					}
				}
			}
		}
	}
	for _, name := range names {
		if _, already := r.frozen[name]; already {
			continue
		}
		if r.options.Basis == nil {
			r.lost[name] = struct{}{}
			if r.services[name] != nil {
				delete(r.services, name)
				changed = true
			}
			continue
		}
		last, ok := r.options.Basis.services[name]
		if !ok {
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

// unchanged tells whether a service is as it was when it was good.
func (r *run) unchanged(name string) bool {
	now := r.services[name]
	last, ok := r.options.Basis.services[name]
	return ok && now != nil && now.key == last.known.key
}
