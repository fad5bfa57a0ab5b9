package shard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/cache"
	"github.com/isthmus-mesh/isthmus/internal/evaluate/cueworker"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/sandbox"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// Batch sizes. Each batch evaluates the shared files once more. A small batch needs little memory,
// and a failing item in it affects few others.
const (
	filesPerBatch      = 512
	componentsPerBatch = 512
	servicesPerBatch   = 128
)

// Loaded has the shared values and the manifests of a repository.
type Loaded struct {
	Shared   *SharedValues
	Services *Services

	// base is the key of all files that are a part of every shard.
	base cache.Key
}

// Services is the state of the services of one evaluation. [Load] fills it, a [Renderer] adds
// findings, and package freeze replaces broken manifests.
type Services struct {
	// Good has the manifests by service: those that evaluated, and last known good ones.
	Good map[string]*Summary
	// Broken are findings by service, also for services in Good.
	Broken map[string]manifest.Findings
	// FrozenFiles are the files of frozen services, in the commit of their manifest.
	FrozenFiles map[string]map[string]source.Blob
}

// AddFinding adds a finding of a service, once.
func (s *Services) AddFinding(name string, f manifest.Finding) {
	s.Broken[name] = addFinding(s.Broken[name], f)
}

// SharedValues are the values that do not belong to a service.
type SharedValues struct {
	Settings  manifest.Settings
	Clusters  map[string]manifest.Cluster
	Externals map[string]manifest.External

	raw map[string]json.RawMessage
}

func newSharedValues(values map[string]json.RawMessage) (*SharedValues, error) {
	s := &SharedValues{raw: values}
	var findings manifest.Findings
	for name, into := range map[string]any{"settings": &s.Settings, "clusters": &s.Clusters, "externals": &s.Externals} {
		if err := json.Unmarshal(values[name], into); err != nil {
			findings = append(findings, manifest.Finding{Path: name, Message: err.Error()})
		}
	}
	if len(findings) > 0 {
		return nil, findings
	}
	return s, nil
}

// Load evaluates everything that does not depend on the calls between services. An error of the
// shared values is an error of the repository.
func Load(ctx context.Context, s *Session, p *Partition) (*Loaded, error) {
	l := &loader{Session: s, partition: p, base: baseKey(s, p), blame: blame{s, p}}
	l.services = &Services{
		Good: map[string]*Summary{}, Broken: map[string]manifest.Findings{}, FrozenFiles: map[string]map[string]source.Blob{},
	}
	shared, err := l.loadShared(ctx)
	if err != nil {
		return nil, err
	}
	if err := l.loadManifests(ctx); err != nil {
		return nil, Explain(ctx, err)
	}
	return &Loaded{Shared: shared, Services: l.services, base: l.base}, nil
}

type loader struct {
	*Session
	partition *Partition
	base      cache.Key
	blame     blame
	services  *Services
}

func (l *loader) loadShared(ctx context.Context) (*SharedValues, error) {
	cluster := l.manifestCluster(l.partition)
	key := l.key("shared", l.base[:], []byte(cluster))
	at := single(key)
	if values, ok := l.Memory.shared.get(l.Memory.store, at); ok {
		return values, nil
	}
	l.Work.Calls++
	// The shared values may need as much as the repository in one piece.
	pool := sandbox.NewPool(l.Limits.Sandbox(), 1)
	defer pool.Close()
	raw, err := cueworker.Shared(ctx, pool, meshRequest(l.Session, l.partition, nil, cluster))
	var findings manifest.Findings
	var limit *sandbox.LimitError
	switch {
	case errors.As(err, &findings):
		return nil, append(l.blame.located(findings), l.partition.Unread()...)
	case errors.As(err, &limit) && limit.What != sandbox.Time:
		return nil, append(sharedExceeded(l.partition, limit), l.partition.Unread()...)
	case err != nil:
		return nil, Explain(ctx, err)
	}
	values, err := newSharedValues(raw)
	if err != nil {
		return nil, err
	}
	l.Memory.shared.put(at, values)
	return values, nil
}

// loadManifests evaluates the manifests of all services.
func (l *loader) loadManifests(ctx context.Context) error {
	cluster := l.manifestCluster(l.partition)
	slots := make([]slot, len(l.partition.Components))
	buckets := l.Memory.buckets("manifests", l.base[:], []byte(cluster))
	var missing []int
	for i, c := range l.partition.Components {
		parts := [][]byte{l.base[:], []byte(cluster)}
		for _, p := range c.Files {
			parts = append(parts, []byte(p), l.hash(p))
		}
		slots[i] = buckets.slot(c.Files[0], l.key("manifests", parts...))
		if services, ok := l.Memory.manifests.get(l.Memory.store, slots[i]); ok {
			l.take(services)
			continue
		}
		missing = append(missing, i)
	}
	return bisect(ctx, l.Session, missing, componentsPerBatch, func(ctx context.Context, child cueworker.Caller, batch []int) error {
		l.countCall()
		var files, names []string
		for _, i := range batch {
			files = append(files, l.partition.Components[i].Files...)
			names = append(names, l.partition.Components[i].Services...)
		}
		request := cueworker.ManifestsRequest{On: meshRequest(l.Session, l.partition, files, cluster), Services: names}
		manifests, err := cueworker.Manifests(ctx, child, request)
		if err != nil {
			return err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, i := range batch {
			ofComponent := map[string]cueworker.Manifest{}
			for _, name := range l.partition.Components[i].Services {
				ofComponent[name] = manifests[name]
			}
			services, err := decodeServices(ofComponent)
			if err != nil {
				return err
			}
			l.Work.Evaluated += len(services)
			l.Memory.manifests.put(slots[i], services)
			l.take(services)
		}
		return nil
	}, func(i int, err error) {
		c := l.partition.Components[i]
		l.Work.Evaluated += len(c.Services)
		failed := map[string]cueworker.Manifest{}
		for _, name := range c.Services {
			failed[name] = cueworker.Manifest{Findings: l.blame.service(ctx, name, err)}
		}
		services, err := decodeServices(failed)
		if err == nil {
			l.Memory.manifests.put(slots[i], services)
			l.take(services)
		}
	})
}

func (l *loader) take(services []componentService) {
	for _, s := range services {
		if len(s.findings) > 0 {
			l.services.Broken[s.name] = l.blame.located(s.findings)
			continue
		}
		l.services.Good[s.name] = s.summary
	}
}

// componentService is one service of a component: its summary, or its findings.
type componentService struct {
	name     string
	summary  *Summary
	findings manifest.Findings
}

func decodeServices(manifests map[string]cueworker.Manifest) ([]componentService, error) {
	var out []componentService
	for _, name := range slices.Sorted(maps.Keys(manifests)) {
		s := componentService{name: name, findings: manifests[name].Findings}
		if len(s.findings) == 0 {
			var err error
			if s.summary, err = newSummary(manifests[name].Manifest); err != nil {
				s.findings = manifest.Findings{{Service: name, Path: "services." + name, Message: err.Error()}}
			}
		}
		out = append(out, s)
	}
	return out, nil
}

func encodeServices(services []componentService) map[string]cueworker.Manifest {
	manifests := make(map[string]cueworker.Manifest, len(services))
	for _, s := range services {
		m := cueworker.Manifest{Findings: s.findings}
		if s.summary != nil {
			m.Manifest = s.summary.raw
		}
		manifests[s.name] = m
	}
	return manifests
}

// Classify parses the files of the snapshot that CUE reads. Its errors are not explained yet.
func Classify(ctx context.Context, s *Session) (map[string]cueworker.FileInfo, error) {
	infos := map[string]cueworker.FileInfo{}
	slots := map[string]slot{}
	buckets := s.Memory.buckets("files", s.hash(cueworker.ModuleFile))
	var missing []string
	for p, blob := range s.Snapshot.Files {
		if !cueworker.ReadByCUE(p) && p != cueworker.ModuleFile {
			continue
		}
		at := buckets.slot(p, s.key("file", []byte(p), []byte(blob.Hash)))
		if info, ok := s.Memory.files.get(s.Memory.store, at); ok {
			infos[p] = info
			continue
		}
		slots[p] = at
		missing = append(missing, p)
	}
	slices.Sort(missing)
	s.Work.Parsed = len(missing)
	err := bisect(ctx, s, missing, filesPerBatch, func(ctx context.Context, child cueworker.Caller, paths []string) error {
		s.countCall()
		files := map[string][]byte{}
		for _, p := range paths {
			files[p] = s.Snapshot.Files[p].Data
		}
		parsed, err := cueworker.Classify(ctx, child, files)
		if err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, p := range paths {
			info, ok := parsed[p]
			if !ok {
				return fmt.Errorf("the evaluation returned no result for %s", p)
			}
			infos[p] = info
			s.Memory.files.put(slots[p], info)
		}
		return nil
	}, func(p string, err error) {
		infos[p] = cueworker.FileInfo{Findings: blameFile(ctx, p, err)}
		s.Memory.files.put(slots[p], infos[p])
	})
	return infos, err
}
