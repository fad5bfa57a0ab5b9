package evaluate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// assemble makes the mesh of what evaluated.
func (r *run) assemble() {
	r.mesh = &manifest.Mesh{
		Settings: r.shared.settings, Clusters: r.shared.clusters, Externals: r.shared.externals,
		Services: make(map[string]manifest.Service, len(r.services)),
	}
	for name, k := range r.services {
		r.mesh.Services[name] = k.Service
	}
	r.around = newNeighbourhood(r.mesh, r.services)
}

// mostFreezes is how often services may be frozen because others were: far more often than anybody's chain of mistakes is long.
const mostFreezes = 20

// renderServices checks the services that matter here, and renders what the cluster gets of them. What turns out to be broken is frozen,
// which may make others broken; so it goes on until nothing new is.
func (r *run) renderServices(ctx context.Context) error {
	for name, found := range r.options.Refused {
		r.broken[name] = slices.Concat(r.broken[name], found)
	}
	r.freezeUnread()
	r.freeze()
	for range mostFreezes {
		r.assemble()
		if err := r.renderOnce(ctx); err != nil {
			return explain(ctx, err)
		}
		if err := r.renderMesh(ctx); err != nil {
			return err
		}
		if len(r.wide) > 0 {
			return append(r.wide, r.findings()...)
		}
		if !r.freeze() {
			break
		}
	}
	for name := range r.frozen {
		if slices.Contains(r.failed, name) {
			// Not even what was good can be rendered with what all services share now.
			return r.findings()
		}
	}
	return nil
}

func (r *run) renderOnce(ctx context.Context) error {
	r.rendered, r.failed, r.undecided = map[string]*rendering{}, nil, nil
	places := map[string]place{}
	packs := r.packs("services", r.base[:], []byte(r.options.Cluster))
	var unknown []string
	for _, name := range r.concerned() {
		at := packs.place(name, r.serviceKey(name))
		if r.split.discerns && r.isWritten(name) {
			r.undecided = append(r.undecided, name)
			continue
		}
		got, ok := r.memory.rendered.get(r.cache, at)
		switch {
		case !ok:
			places[name] = at
			unknown = append(unknown, name)
		case got.TooMuch != "":
			r.fail(ctx, name, manifest.Findings{{Message: got.TooMuch}})
		case got.Undecided && !r.isWritten(name):
			places[name] = at
			unknown = append(unknown, name)
		case got.Undecided:
			r.undecided = append(r.undecided, name)
		default:
			r.rendered[name] = got
		}
	}
	maps.DeleteFunc(r.memory.keys.of, func(name string, _ serviceKey) bool { return r.services[name] == nil })
	if err := r.renderShards(ctx, unknown, places, r.shardQuestion); err != nil {
		return err
	}
	if err := r.renderWritten(ctx, packs); err != nil {
		return err
	}
	for name, got := range r.rendered {
		if n := len(got.Resources); n > r.limits.Objects {
			r.broken[name] = addFinding(r.broken[name], r.located(manifest.Findings{{
				Service: name, Path: servicesField + "." + name,
				Message: fmt.Sprintf("it makes %d resources for this cluster, more than the %d that a service may: see --%s", n, r.limits.Objects, ObjectsFlag),
			}})[0])
		}
	}
	for name, k := range r.services {
		if k.mistyped != nil && len(r.broken[name]) == 0 {
			r.broken[name] = r.located(manifest.Findings{{Service: name, Path: servicesField + "." + name, Message: k.mistyped.Error()}})
		}
	}
	return nil
}

// renderShards renders services in batches, and keeps what comes of each in its place.
func (r *run) renderShards(ctx context.Context, names []string, places map[string]place, question func([]string) shardQuestion) error {
	var mu sync.Mutex
	return divide(ctx, r, &mu, names, servicesAtOnce, func(ctx context.Context, child caller, names []string) error {
		mu.Lock()
		r.work.Calls++
		q := question(names)
		mu.Unlock()
		answer, err := call[shardQuestion, shardAnswer](ctx, child, shardHandler, q)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if len(q.Written) == 0 {
			all := len(names)
			names = r.setAside(names, &answer, places)
			unclear := func(f manifest.Finding) bool { return isVague(f) || isWide(f) }
			switch {
			case len(names) == 0:
				return nil
			case len(names) < all && slices.ContainsFunc(answer.Findings, unclear):
				// It may be about one that was set aside, or about any other.
				return answer.Findings
			}
		}
		return r.accept(names, answer, places)
	}, func(name string, err error) {
		r.work.Rendered++
		if isLimit(err) {
			// It would be as much the next time.
			r.memory.rendered.put(places[name], &rendering{TooMuch: r.tooMuch(ctx, err)})
		}
		r.fail(ctx, name, err)
	})
}

// fail notes why nothing of a service could be rendered.
func (r *run) fail(ctx context.Context, name string, err error) {
	r.failed = append(r.failed, name)
	for _, f := range r.blameUnit(ctx, r.unitOf(name), name, err) {
		r.broken[name] = addFinding(r.broken[name], f)
	}
}

// renderWritten renders services, of which data does not tell enough, as their files say them.
func (r *run) renderWritten(ctx context.Context, packs packs) error {
	places := map[string]place{}
	var unknown, frozen []string
	for _, name := range r.undecided {
		key := r.serviceKey(name)
		parts := [][]byte{key[:]}
		files := r.written(name)
		for _, p := range slices.Sorted(maps.Keys(files)) {
			parts = append(parts, []byte(p), []byte(files[p].Hash))
		}
		at := packs.place(name, r.key("written", parts...))
		switch got, ok := r.memory.rendered.get(r.cache, at); {
		case ok && got.TooMuch != "":
			r.fail(ctx, name, manifest.Findings{{Message: got.TooMuch}})
			continue
		case ok:
			r.rendered[name] = got
			continue
		}
		places[name] = at
		if _, ok := r.frozen[name]; ok {
			frozen = append(frozen, name)
			continue
		}
		unknown = append(unknown, name)
	}
	slices.Sort(unknown)
	if err := r.renderShards(ctx, unknown, places, r.writtenQuestion); err != nil {
		return err
	}
	for _, name := range frozen {
		// By itself: other services may stand in the same files as they are now.
		if err := r.renderShards(ctx, []string{name}, places, r.writtenQuestion); err != nil {
			return err
		}
	}
	return nil
}

// setAside leaves those of a shard to renderWritten that cannot be rendered from data. A template may need another value where a manifest
// has a default, which it can choose only from what is written.
func (r *run) setAside(names []string, answer *shardAnswer, places map[string]place) (rest []string) {
	undecided := map[string]bool{}
	for _, f := range answer.Findings {
		undecided[f.Service] = undecided[f.Service] || f.Code == manifest.RenderingFailed
	}
	if len(names) == 1 && slices.ContainsFunc(answer.Findings, isVague) {
		undecided[names[0]] = true
	}
	for _, name := range names {
		if !undecided[name] || !r.isWritten(name) {
			rest = append(rest, name)
			continue
		}
		r.undecided = append(r.undecided, name)
		r.memory.rendered.put(places[name], &rendering{Undecided: true})
		answer.Findings = slices.DeleteFunc(answer.Findings, func(f manifest.Finding) bool {
			return f.Service == name && f.Code == manifest.RenderingFailed || len(names) == 1 && isVague(f)
		})
	}
	return rest
}

// isWritten tells whether it is known what files say of a service.
func (r *run) isWritten(name string) bool { return r.services[name] != nil && len(r.written(name)) > 0 }

// written are the files that define a service: those of now, or, of a frozen one, those of the commit in which it was good.
func (r *run) written(name string) map[string]source.Blob {
	if _, frozen := r.frozen[name]; frozen {
		return r.options.LastKnownGood.services[name].blobs
	}
	files := map[string]source.Blob{}
	for _, p := range r.unitOf(name).files {
		files[p] = r.snap.Files[p]
	}
	return files
}

// accept takes a shard's answer. What was found is cached with no service that it may be about.
func (r *run) accept(names []string, answer shardAnswer, places map[string]place) error {
	findings := answer.Findings
	if len(names) > 1 && (slices.ContainsFunc(findings, isVague) || r.options.LastKnownGood != nil && slices.ContainsFunc(findings, isWide)) {
		return findings
	}
	if slices.ContainsFunc(findings, func(f manifest.Finding) bool { return !isVague(f) }) {
		// What could not be computed for one of these reasons says nothing new.
		findings = slices.DeleteFunc(findings, isVague)
	}
	blamed := map[string]bool{}
	for _, f := range r.located(findings) {
		name := f.Service
		if r.isEcho(f) {
			continue
		}
		switch {
		case isVague(f):
			name = names[0]
		case isWide(f) && (r.options.LastKnownGood == nil || r.unchanged(names[0])):
			r.wide = addFinding(r.wide, f)
			continue
		case isWide(f):
			// It is one service that does not fit to what all share.
			name, f.Service = names[0], names[0]
		}
		r.broken[name] = addFinding(r.broken[name], f)
		blamed[name] = true
		for _, others := range [][]string{r.around.callers[name], r.around.rivals[name]} {
			for _, other := range others {
				blamed[other] = true
			}
		}
		if k := r.services[name]; k != nil {
			for callee := range k.Egress {
				blamed[callee] = true
			}
		}
	}
	for _, name := range names {
		r.work.Rendered++
		got := answer.Services[name]
		if got == nil {
			if !blamed[name] {
				return fmt.Errorf("the evaluation says nothing of service %s", name)
			}
			r.failed = append(r.failed, name)
			continue
		}
		r.rendered[name] = got
		if !blamed[name] && len(r.wide) == 0 {
			r.memory.rendered.put(places[name], got)
		}
	}
	return nil
}

// isEcho tells whether a finding only says that a service is called of which nothing is known because it is broken.
func (r *run) isEcho(f manifest.Finding) bool {
	_, callee, ok := strings.Cut(f.Path, ".egress.")
	callee, _, _ = strings.Cut(callee, ".")
	return ok && r.isStandIn(callee)
}

// isWide tells whether a finding is about what all services share.
func isWide(f manifest.Finding) bool {
	return !isVague(f) && !strings.HasPrefix(f.Path, servicesField+".")
}

// isVague tells whether a finding is about something in between, which a person has not written.
func isVague(f manifest.Finding) bool { return f.Path == "" || strings.HasPrefix(f.Path, "_") }

func addFinding(to manifest.Findings, f manifest.Finding) manifest.Findings {
	if slices.Contains(to, f) {
		return to
	}
	return append(to, f)
}

// renderMesh renders what a cluster has once: its gateways, and externals.
func (r *run) renderMesh(ctx context.Context) error {
	if r.options.Cluster == "" {
		return nil
	}
	q := r.shardQuestion(nil)
	q.Meshwide = true
	for _, got := range r.rendered {
		q.Exporting = q.Exporting || got.Exports
	}
	for name := range r.mesh.Externals {
		for _, caller := range r.around.callers[name] {
			q.Others[caller] = withEgress(r.services[caller].facts, r.calls(caller, func(callee string) bool {
				_, external := r.mesh.Externals[callee]
				return external
			}))
		}
		for _, address := range r.mesh.Externals[name].Addresses {
			for _, service := range r.around.byAddress[strings.TrimSuffix(address, "/32")] {
				q.Rivals[service] = r.services[service].raw
				delete(q.Others, service)
			}
		}
	}
	parts := [][]byte{r.base[:], []byte(r.options.Cluster), fmt.Append(nil, q.Exporting)}
	for _, of := range []map[string][]byte{q.Others, q.Rivals} {
		for _, name := range slices.Sorted(maps.Keys(of)) {
			parts = append(parts, []byte(name), of[name])
		}
		parts = append(parts, nil)
	}
	key := r.key("mesh", parts...)
	at := place{pack: key, key: key}
	if got, ok := r.memory.rendered.get(r.cache, at); ok {
		r.rendered[""] = got
		return nil
	}
	r.work.Calls++
	answer, err := call[shardQuestion, shardAnswer](ctx, r.pool, shardHandler, q)
	var findings manifest.Findings
	switch {
	case errors.As(err, &findings):
		return r.located(findings)
	case err != nil:
		return explain(ctx, err)
	case len(answer.Findings) > 0:
		r.blameRivals(r.located(answer.Findings), q.Rivals)
		return nil
	case answer.Services[""] == nil:
		return errors.New("the evaluation says nothing of the cluster itself")
	}
	r.rendered[""] = answer.Services[""]
	r.memory.rendered.put(at, answer.Services[""])
	return nil
}

// blameRivals finds who is to blame for what is wrong with what all share: services that changed, if it is about any.
func (r *run) blameRivals(findings manifest.Findings, rivals map[string][]byte) {
	blamed := false
	for name := range rivals {
		if r.options.LastKnownGood != nil && !r.unchanged(name) {
			blamed = true
			for _, f := range findings {
				f.Service = name
				r.broken[name] = addFinding(r.broken[name], f)
			}
		}
	}
	if !blamed {
		r.wide = append(r.wide, findings...)
	}
}
