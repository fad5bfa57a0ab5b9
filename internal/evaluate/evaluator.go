package evaluate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/isthmus-mesh/isthmus/internal/cache"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/mesh"
	"github.com/isthmus-mesh/isthmus/internal/sandbox"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// Evaluator evaluates one commit after another and keeps what it found out, in memory and in its cache: what did not change between
// two commits is not evaluated again. It may be used by several goroutines; it evaluates one commit at a time.
type Evaluator struct {
	limits Limits
	cache  *cache.Store
	memory memory
}

// New makes an evaluator. The cache may be nil.
func New(limits Limits, store *cache.Store) *Evaluator {
	return &Evaluator{limits: limits.withDefaults(), cache: store, memory: newMemory()}
}

// sharedPart is what is not of one service.
type sharedPart struct {
	// raw is all of it as JSON.
	raw       map[string]json.RawMessage
	settings  manifest.Settings
	clusters  map[string]manifest.Cluster
	externals map[string]manifest.External
}

// unitService is one service of a unit.
type unitService struct {
	name     string
	known    *known
	findings manifest.Findings
}

// Work counts what an evaluation had to do, rather than finding it done.
type Work struct {
	// Calls to child processes; files parsed, services evaluated, services rendered there.
	Calls, Parsed, Evaluated, Rendered int
	// Whole: the repository was evaluated as a whole.
	Whole bool
}

// run is one evaluation.
type run struct {
	*Evaluator
	snap    *source.Snapshot
	options Options
	pool    *sandbox.Pool
	work    Work

	infos map[string]fileInfo
	// suspected are files that are taken for unparsable, for these reasons.
	suspected map[string]manifest.Findings
	split     *split
	// base is the key of all that every shard is evaluated with.
	base   cache.Key
	shared *sharedPart
	mesh   *manifest.Mesh
	// services are those that evaluated, broken what is wrong with others, or with those.
	services map[string]*known
	broken   map[string]manifest.Findings
	// frozen are those of services that are as they were in an earlier commit; lost those of which nobody knows, and files.
	frozen map[string]Frozen
	lost   map[string]struct{}
	// leftOut are broken services that never were good.
	leftOut map[string]struct{}
	// moved are services that vanished, by the files that may have them now.
	moved map[string][]string
	// undecided are services that can be rendered only as their files say them.
	undecided []string
	// failed are services of which nothing could be rendered.
	failed []string
	// wide is what is wrong with what all services share, as far as only services show it.
	wide     manifest.Findings
	around   *neighbourhood
	rendered map[string]*rendering
	// from is used again and again by serviceKey.
	from []*known
}

func (r *run) do(ctx context.Context) (*Result, error) {
	defer r.pool.Close()
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	if r.split.inOnePiece() {
		return r.whole(ctx)
	}
	if err := r.sharedUnread(); err != nil {
		return nil, err
	}
	if err := r.evaluateManifests(ctx); err != nil {
		return nil, err
	}
	if c := r.options.Cluster; c != "" {
		if _, ok := r.shared.clusters[c]; !ok {
			if unread := r.unread(); len(unread) > 0 {
				// It may stand there.
				return nil, unread
			}
			return nil, unknownCluster(r.shared.clusters, c)
		}
	}
	if err := r.renderServices(ctx); err != nil {
		return nil, err
	}
	return r.result()
}

// prepare finds out which files there are and what may be evaluated apart.
func (r *run) prepare(ctx context.Context) (err error) {
	if err := r.classify(ctx); err != nil {
		return explain(ctx, err)
	}
	for p, found := range r.suspected {
		r.infos[p] = fileInfo{Findings: found}
	}
	r.split, err = newSplit(r.snap, r.infos)
	return err
}

// evaluateManifests evaluates everything that does not depend on who calls whom.
func (r *run) evaluateManifests(ctx context.Context) error {
	r.base = r.baseKey()
	r.services, r.broken = map[string]*known{}, map[string]manifest.Findings{}
	r.frozen, r.lost, r.leftOut, r.moved = map[string]Frozen{}, map[string]struct{}{}, map[string]struct{}{}, map[string][]string{}
	if err := r.evaluateShared(ctx); err != nil {
		return err
	}
	return explain(ctx, r.evaluateUnits(ctx))
}

// whole evaluates the repository in one piece.
func (r *run) whole(ctx context.Context) (*Result, error) {
	if unread := r.unread(); len(unread) > 0 {
		return nil, unread
	}
	if len(r.options.Refused) > 0 {
		var all manifest.Findings
		for _, name := range slices.Sorted(maps.Keys(r.options.Refused)) {
			all = append(all, r.options.Refused[name]...)
		}
		return nil, all
	}
	r.work.Whole = true
	r.work.Calls++
	data, err := ask(ctx, r.snap, r.options.Cluster, r.limits)
	if err != nil {
		return nil, inOnePiece(explain(ctx, err), err, r.split.whole)
	}
	result, err := understand(data, r.options)
	if err != nil {
		return nil, err
	}
	result.Work, result.Whole = r.work, r.split.whole
	return result, nil
}

// findings are all that was found so far.
func (r *run) findings() manifest.Findings {
	return (&Result{Broken: r.broken, Unread: r.unread()}).Findings()
}

// unread is why files could not be parsed.
func (r *run) unread() manifest.Findings {
	var all manifest.Findings
	for _, p := range slices.Sorted(maps.Keys(r.split.broken)) {
		all = append(all, r.split.broken[p]...)
	}
	return all
}

// count notes a call of several that are made at the same time.
func (r *run) count(mu *sync.Mutex) {
	mu.Lock()
	defer mu.Unlock()
	r.work.Calls++
}

// call asks a child. What it says is somebody else's.
func call[Q, A any](ctx context.Context, pool *sandbox.Pool, handler string, q Q) (A, error) {
	var answer reply[A]
	request, err := encodeQuestion(q)
	if err != nil {
		var none A
		return none, err
	}
	response, err := pool.Call(ctx, handler, request)
	if err == nil {
		if err = json.Unmarshal(response, &answer); err != nil {
			err = fmt.Errorf("the evaluation's answer cannot be read: %w", err)
		}
	}
	switch {
	case err != nil:
		var none A
		return none, err
	case answer.Answer == nil:
		var none A
		if len(answer.Findings) == 0 {
			return none, errors.New("the evaluation gave no answer")
		}
		return none, answer.Findings
	}
	return *answer.Answer, nil
}

// batches of files and of services. Small ones need little memory and lose little when one service in them is
// to blame; each has to evaluate the shared files once more.
const (
	filesAtOnce    = 512
	unitsAtOnce    = 512
	servicesAtOnce = 128
)

// classify learns what each file is.
func (r *run) classify(ctx context.Context) error {
	r.infos = map[string]fileInfo{}
	places := map[string]place{}
	packs := r.packs("files", []byte(r.snap.Files[moduleFile].Hash))
	var unknown []string
	for p, blob := range r.snap.Files {
		if !readByCUE(p) && p != moduleFile {
			continue
		}
		at := packs.place(p, r.key("file", []byte(p), []byte(blob.Hash)))
		if info, ok := r.memory.files.get(r.cache, at); ok {
			r.infos[p] = info
			continue
		}
		places[p] = at
		unknown = append(unknown, p)
	}
	slices.Sort(unknown)
	r.work.Parsed = len(unknown)
	var mu sync.Mutex
	return divide(ctx, unknown, filesAtOnce, func(ctx context.Context, paths []string) error {
		r.count(&mu)
		files := map[string][]byte{}
		for _, p := range paths {
			files[p] = r.snap.Files[p].Data
		}
		infos, err := call[map[string][]byte, map[string]fileInfo](ctx, r.pool, classifyHandler, files)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for _, p := range paths {
			info, ok := infos[p]
			if !ok {
				return fmt.Errorf("the evaluation says nothing of %s", p)
			}
			r.infos[p] = info
			r.memory.files.put(places[p], info)
		}
		return nil
	}, func(p string, err error) {
		r.infos[p] = fileInfo{Findings: r.blameFile(ctx, p, err)}
	})
}

// evaluateShared evaluates the inventory, the settings and the externals. What is wrong there is wrong with everything.
func (r *run) evaluateShared(ctx context.Context) error {
	key := r.key("shared", r.base[:], []byte(r.manifestCluster()))
	at := place{pack: key, key: key}
	values, ok := r.memory.shared.get(r.cache, at)
	if ok {
		r.shared = values
		return nil
	}
	// What all depend on may need as much as a whole repository.
	r.work.Calls++
	pool := sandbox.NewPool(r.limits.sandbox(), 1)
	defer pool.Close()
	raw, err := call[meshQuestion, map[string]json.RawMessage](ctx, pool, sharedHandler, r.question(nil, r.manifestCluster()))
	var findings manifest.Findings
	var limit *sandbox.LimitError
	switch {
	case errors.As(err, &findings):
		return append(r.located(findings), r.unread()...)
	case errors.As(err, &limit) && limit.What != sandbox.Time:
		what := "evaluating what all services share (" + strings.Join(r.split.shared, ", ") + ")"
		return append(manifest.Findings{{Message: tooMuch(what, limit)}}, r.unread()...)
	case err != nil:
		return explain(ctx, err)
	}
	r.shared, err = newSharedPart(raw)
	if err != nil {
		return err
	}
	r.memory.shared.put(at, r.shared)
	return nil
}

func newSharedPart(values map[string]json.RawMessage) (*sharedPart, error) {
	s := &sharedPart{raw: values}
	var findings manifest.Findings
	for name, into := range map[string]any{"settings": &s.settings, "clusters": &s.clusters, "externals": &s.externals} {
		if err := json.Unmarshal(values[name], into); err != nil {
			findings = append(findings, manifest.Finding{Path: name, Message: err.Error()})
		}
	}
	if len(findings) > 0 {
		return nil, findings
	}
	return s, nil
}

// manifestCluster is the cluster that manifests are evaluated for: none, unless they depend on it.
func (r *run) manifestCluster() string {
	if r.split.readsCluster {
		return r.options.Cluster
	}
	return ""
}

// evaluateUnits evaluates the manifests of all services.
func (r *run) evaluateUnits(ctx context.Context) error {
	places := make([]place, len(r.split.units))
	packs := r.packs("manifests", r.base[:], []byte(r.manifestCluster()))
	var unknown []int
	for i, u := range r.split.units {
		parts := [][]byte{r.base[:], []byte(r.manifestCluster())}
		for _, p := range u.files {
			parts = append(parts, []byte(p), []byte(r.snap.Files[p].Hash))
		}
		places[i] = packs.place(u.files[0], r.key("manifests", parts...))
		if services, ok := r.memory.manifests.get(r.cache, places[i]); ok {
			r.take(services)
			continue
		}
		unknown = append(unknown, i)
	}
	var mu sync.Mutex
	return divide(ctx, unknown, unitsAtOnce, func(ctx context.Context, units []int) error {
		r.count(&mu)
		var files, services []string
		for _, i := range units {
			files = append(files, r.split.units[i].files...)
			services = append(services, r.split.units[i].services...)
		}
		q := manifestsQuestion{On: r.question(files, r.manifestCluster()), Services: services}
		answer, err := call[manifestsQuestion, map[string]evaluated](ctx, r.pool, manifestsHandler, q)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for _, i := range units {
			part := map[string]evaluated{}
			for _, name := range r.split.units[i].services {
				part[name] = answer[name]
			}
			services, err := newUnitServices(part)
			if err != nil {
				return err
			}
			r.work.Evaluated += len(services)
			r.memory.manifests.put(places[i], services)
			r.take(services)
		}
		return nil
	}, func(i int, err error) {
		u := r.split.units[i]
		r.work.Evaluated += len(u.services)
		part := map[string]evaluated{}
		for _, name := range u.services {
			part[name] = evaluated{Findings: r.blameUnit(ctx, u, name, err)}
		}
		services, err := newUnitServices(part)
		if err == nil {
			r.memory.manifests.put(places[i], services)
			r.take(services)
		}
	})
}

func newUnitServices(part map[string]evaluated) ([]unitService, error) {
	var out []unitService
	for _, name := range slices.Sorted(maps.Keys(part)) {
		s := unitService{name: name, findings: part[name].Findings}
		if len(s.findings) == 0 {
			var err error
			if s.known, err = newKnown(part[name].Manifest); err != nil {
				s.findings = manifest.Findings{{Service: name, Path: "services." + name, Message: err.Error()}}
			}
		}
		out = append(out, s)
	}
	return out, nil
}

func writeUnitServices(services []unitService) map[string]evaluated {
	part := make(map[string]evaluated, len(services))
	for _, s := range services {
		e := evaluated{Findings: s.findings}
		if s.known != nil {
			e.Manifest = s.known.raw
		}
		part[s.name] = e
	}
	return part
}

func (r *run) take(services []unitService) {
	for _, s := range services {
		if len(s.findings) > 0 {
			r.broken[s.name] = r.located(s.findings)
			continue
		}
		r.services[s.name] = s.known
	}
}

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
	return divide(ctx, names, servicesAtOnce, func(ctx context.Context, names []string) error {
		r.count(&mu)
		q := question(names)
		answer, err := call[shardQuestion, shardAnswer](ctx, r.pool, shardHandler, q)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if len(q.Written) == 0 {
			if names = r.setAside(names, &answer, places); len(names) == 0 {
				return nil
			}
		}
		return r.accept(names, answer, places)
	}, func(name string, err error) {
		r.work.Rendered++
		r.failed = append(r.failed, name)
		for _, f := range r.blameUnit(ctx, r.unitOf(name), name, err) {
			r.broken[name] = addFinding(r.broken[name], f)
		}
	})
}

// renderWritten renders services, of which data does not tell enough, as their files say them.
func (r *run) renderWritten(ctx context.Context, packs packs) error {
	places := map[string]place{}
	var unknown []string
	for _, name := range r.undecided {
		key := r.serviceKey(name)
		parts := [][]byte{key[:]}
		for _, p := range r.unitOf(name).files {
			parts = append(parts, []byte(p), []byte(r.snap.Files[p].Hash))
		}
		at := packs.place(name, r.key("written", parts...))
		if got, ok := r.memory.rendered.get(r.cache, at); ok {
			r.rendered[name] = got
			continue
		}
		places[name] = at
		unknown = append(unknown, name)
	}
	slices.Sort(unknown)
	return r.renderShards(ctx, unknown, places, r.writtenQuestion)
}

// setAside leaves those of a shard to renderWritten that cannot be rendered from data. A template may need another value where a manifest
// has a default, which it can choose only from what is written.
func (r *run) setAside(names []string, answer *shardAnswer, places map[string]place) (rest []string) {
	undecided := map[string]bool{}
	for _, f := range answer.Findings {
		undecided[f.Service] = undecided[f.Service] || strings.HasPrefix(f.Message, renderingPrefix)
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
			return f.Service == name && strings.HasPrefix(f.Message, renderingPrefix) || len(names) == 1 && isVague(f)
		})
	}
	return rest
}

// isWritten tells whether files say what a service is now: a frozen one is only known as data.
func (r *run) isWritten(name string) bool {
	if _, frozen := r.frozen[name]; frozen {
		return false
	}
	u := r.unitOf(name)
	// A file evaluates as a whole, or not at all.
	return len(u.files) > 0 && !slices.ContainsFunc(u.services, func(n string) bool {
		_, frozen := r.frozen[n]
		return frozen || r.services[n] == nil
	})
}

// writtenQuestion is shardQuestion for services as their files say them.
func (r *run) writtenQuestion(names []string) shardQuestion {
	q := r.shardQuestion(names)
	q.Own, q.Written = map[string][]byte{}, names
	files := map[string]bool{}
	for _, name := range names {
		for _, p := range r.unitOf(name).files {
			files[p] = true
		}
	}
	q.On = r.question(slices.Sorted(maps.Keys(files)), r.options.Cluster)
	return q
}

// accept takes a shard's answer. What was found is cached with no service that it may be about.
func (r *run) accept(names []string, answer shardAnswer, places map[string]place) error {
	findings := answer.Findings
	isWide := func(f manifest.Finding) bool { return !isVague(f) && !strings.HasPrefix(f.Path, servicesField+".") }
	if len(names) > 1 && (slices.ContainsFunc(findings, isVague) || r.options.Basis != nil && slices.ContainsFunc(findings, isWide)) {
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
		case isWide(f) && (r.options.Basis == nil || r.unchanged(names[0])):
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
		if r.options.Basis != nil && !r.unchanged(name) {
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

// concerned are the services that the cluster has to do with, sorted: those that its resources may be made of, and those whose calls they
// let in. What is wrong with any other is the business of other clusters, and of whoever checks the repository without a cluster.
func (r *run) concerned() []string {
	if r.options.Cluster == "" || r.options.Everything {
		return r.around.names
	}
	near := map[string]bool{}
	for c := range r.mesh.Clusters {
		near[c] = mesh.Relate(r.mesh, r.options.Cluster, c) != mesh.Gatewayed
	}
	runs := func(name string) bool {
		for c := range r.services[name].Placement {
			if near[c] {
				return true
			}
		}
		return false
	}
	concerned := make(map[string]bool, len(r.around.names))
	for _, name := range r.around.names {
		k := r.services[name]
		here := runs(name)
		exposed := false
		if k.Expose != nil {
			exposed = slices.ContainsFunc(k.Expose.Clusters, func(c string) bool { return near[c] })
		}
		called := slices.ContainsFunc(r.around.callers[name], runs)
		// What changed is judged alike everywhere: a cluster that it leaves must not believe it if the one that it goes to does not.
		changed := r.options.Basis != nil && !r.unchanged(name)
		if here || exposed || called || changed {
			concerned[name] = true
		}
		if here {
			for _, caller := range r.around.callers[name] {
				concerned[caller] = true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(r.around.names), func(name string) bool { return !concerned[name] })
}

// serviceKey says all that the rendering of a service depends on.
func (r *run) serviceKey(name string) cache.Key {
	keys := &r.memory.keys
	if keys.base != r.base || keys.cluster != r.options.Cluster || keys.of == nil {
		*keys = serviceKeys{base: r.base, cluster: r.options.Cluster, of: map[string]serviceKey{}}
	}
	r.from = r.madeOf(r.from[:0], name)
	last, ok := keys.of[name]
	if !ok || !slices.Equal(last.from, r.from) {
		last = serviceKey{from: slices.Clone(r.from), key: r.newServiceKey(name)}
		keys.of[name] = last
	}
	return last.key
}

// standsIn is for a service that is broken and never was good.
var standsIn = &known{}

// madeOf appends what newServiceKey looks at.
func (r *run) madeOf(to []*known, name string) []*known {
	k := r.services[name]
	look := func(names []string) {
		for _, n := range names {
			other := r.services[n]
			if other == nil && r.isStandIn(n) {
				other = standsIn
			}
			to = append(to, other)
		}
		to = append(to, nil)
	}
	to = append(to, k)
	look(r.around.callers[name])
	look(k.callees)
	look(k.Authorization.Callers)
	look(r.around.rivals[name])
	return to
}

func (r *run) newServiceKey(name string) cache.Key {
	k := r.services[name]
	parts := [][]byte{r.base[:], []byte(r.options.Cluster), []byte(name), k.key[:]}
	for _, caller := range r.around.callers[name] {
		other := r.services[caller]
		parts = append(parts, []byte(caller), other.facts, other.need(name))
	}
	parts = append(parts, nil)
	for _, callee := range k.callees {
		switch other := r.services[callee]; {
		case other != nil:
			parts = append(parts, []byte(callee), other.withPorts)
		case r.isStandIn(callee):
			parts = append(parts, []byte(callee), standIn)
		}
	}
	parts = append(parts, nil)
	for _, allowed := range k.Authorization.Callers {
		parts = append(parts, fmt.Append(nil, r.services[allowed] != nil, r.isStandIn(allowed)))
	}
	for _, rival := range r.around.rivals[name] {
		parts = append(parts, []byte(rival), r.services[rival].key[:])
	}
	return r.key("service", parts...)
}

// shardQuestion asks for some services, with what they have to know of others.
func (r *run) shardQuestion(names []string) shardQuestion {
	q := shardQuestion{On: r.question(nil, r.options.Cluster), Own: map[string][]byte{}, Others: map[string][]byte{}, Rivals: map[string][]byte{}}
	for _, name := range names {
		q.Own[name] = r.services[name].raw
	}
	isOwn := func(name string) bool { return q.Own[name] != nil }
	ports := map[string]bool{}
	others := map[string]struct{}{}
	for _, name := range names {
		for _, caller := range r.around.callers[name] {
			others[caller] = struct{}{}
		}
		for callee := range r.services[name].Egress {
			if r.services[callee] != nil {
				others[callee] = struct{}{}
				ports[callee] = ports[callee] || r.services[name].needs[callee] != nil
			}
		}
		for _, allowed := range r.services[name].Authorization.Callers {
			if r.services[allowed] != nil {
				others[allowed] = struct{}{}
			}
		}
		for _, rival := range r.around.rivals[name] {
			if !isOwn(rival) {
				q.Rivals[rival] = r.services[rival].raw
			}
		}
	}
	for name := range r.broken {
		if r.isStandIn(name) {
			q.Others[name] = standIn
		}
	}
	for name := range others {
		if isOwn(name) || q.Rivals[name] != nil {
			continue
		}
		facts := r.services[name].facts
		if ports[name] {
			facts = r.services[name].withPorts
		}
		q.Others[name] = withEgress(facts, r.calls(name, isOwn))
	}
	return q
}

// standIn stands for a service that is broken and never was good: that somebody calls it is not wrong, and has no effect.
var standIn = []byte(`{"placement":{},"backend":{"namespace":"none"},"hosts":[],"ports":{},"egress":{}}`)

func (r *run) isStandIn(name string) bool { return r.broken[name] != nil && r.services[name] == nil }

// calls are those of a service to some others, with what it needs of them.
func (r *run) calls(name string, to func(string) bool) map[string]json.RawMessage {
	var out map[string]json.RawMessage
	for callee := range r.services[name].Egress {
		if to(callee) {
			if out == nil {
				out = map[string]json.RawMessage{}
			}
			out[callee] = r.services[name].need(callee)
		}
	}
	return out
}

// question is the shared files and some service files.
func (r *run) question(units []string, cluster string) meshQuestion {
	q := meshQuestion{Files: make(map[string][]byte, len(r.split.shared)+len(r.split.beside)+len(units)), Package: r.split.pkg, Cluster: cluster}
	q.Mesh = slices.Concat(r.split.shared, units)
	for _, paths := range [][]string{q.Mesh, r.split.beside} {
		for _, p := range paths {
			q.Files[p] = r.snap.Files[p].Data
		}
	}
	return q
}

func (r *run) unitOf(name string) unit {
	if i, ok := r.split.of[name]; ok {
		return r.split.units[i]
	}
	return unit{services: []string{name}}
}

// result puts everything together.
func (r *run) result() (*Result, error) {
	result := &Result{
		Mesh: r.mesh, Broken: r.broken, Unread: r.unread(), Frozen: r.frozen, LeftOut: slices.Sorted(maps.Keys(r.leftOut)), Lost: slices.Sorted(maps.Keys(r.lost)), Work: r.work,
		Basis: r.basis(), at: &lazyLocator{run: r},
	}
	if r.options.Cluster == "" {
		return result, nil
	}
	result.Rendered = map[string]json.RawMessage{}
	for _, got := range r.rendered {
		for key, resource := range got.Resources {
			if _, twice := result.Rendered[key]; twice {
				return nil, manifest.Findings{{Path: templateField, Message: fmt.Sprintf("resource %s, which several services render", key)}}
			}
			result.Rendered[key] = resource
		}
	}
	return result, nil
}

func unknownCluster(clusters map[string]manifest.Cluster, cluster string) error {
	_, err := mesh.NewView(&manifest.Mesh{Clusters: clusters}, cluster)
	return err
}
