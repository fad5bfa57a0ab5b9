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

	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/sandbox"
)

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
	r.refusals()
	slices.Sort(unknown)
	r.work.Parsed = len(unknown)
	var mu sync.Mutex
	return divide(ctx, r, &mu, unknown, filesAtOnce, func(ctx context.Context, child caller, paths []string) error {
		r.count(&mu)
		files := map[string][]byte{}
		for _, p := range paths {
			files[p] = r.snap.Files[p].Data
		}
		infos, err := call[map[string][]byte, map[string]fileInfo](ctx, child, classifyHandler, files)
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
		r.memory.files.put(places[p], r.infos[p])
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
	return divide(ctx, r, &mu, unknown, unitsAtOnce, func(ctx context.Context, child caller, units []int) error {
		r.count(&mu)
		var files, services []string
		for _, i := range units {
			files = append(files, r.split.units[i].files...)
			services = append(services, r.split.units[i].services...)
		}
		q := manifestsQuestion{On: r.question(files, r.manifestCluster()), Services: services}
		answer, err := call[manifestsQuestion, map[string]evaluated](ctx, child, manifestsHandler, q)
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
