package shard

import (
	"context"
	"fmt"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/cache"
	"github.com/isthmus-mesh/isthmus/internal/evaluate/cueworker"
	"github.com/isthmus-mesh/isthmus/internal/evaluate/limits"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// Previous compares services with an earlier commit in which they were good.
type Previous interface {
	// Exists reports whether there is an earlier commit.
	Exists() bool
	// Changed reports whether a service differs from the earlier commit. It is false if there is no
	// earlier commit.
	Changed(service string, now *Summary) bool
}

// Renderer checks the services that concern a cluster, and renders its objects.
type Renderer struct {
	*Session
	Partition *Partition
	Loaded    *Loaded
	Previous  Previous
	// CheckAll checks all services, not only those that concern the cluster.
	CheckAll bool
}

// Rendering is the result of a [Renderer].
type Rendering struct {
	// Mesh has the services in Services.Good.
	Mesh  *manifest.Mesh
	Graph *Graph
	// Resources by service; "" has the objects that the cluster has once.
	Resources map[string]*cueworker.ServiceResources
	// Failed are services that could not be rendered.
	Failed []string
	// MeshFindings are findings of values that all services share.
	MeshFindings manifest.Findings
}

// renderOutcome is the cached result for a service: its objects, or why there are none.
type renderOutcome struct {
	Resources cueworker.ServiceResources
	// LimitExceeded is the message of the limit that the service exceeded; "" for none.
	LimitExceeded string
	// NeedsSource: the service can be rendered only from its files.
	NeedsSource bool
}

// Render checks and renders the manifests in r.Loaded. It adds findings of services to
// Loaded.Services.Broken. It may be called again after manifests were replaced.
func (r *Renderer) Render(ctx context.Context) (*Rendering, error) {
	services := r.Loaded.Services
	out := &Rendering{
		Mesh: &manifest.Mesh{
			Settings: r.Loaded.Shared.Settings, Clusters: r.Loaded.Shared.Clusters, Externals: r.Loaded.Shared.Externals,
			Services: make(map[string]manifest.Service, len(services.Good)),
		},
		Resources: map[string]*cueworker.ServiceResources{},
	}
	for name, s := range services.Good {
		out.Mesh.Services[name] = s.Service
	}
	out.Graph = newGraph(out.Mesh, services.Good)
	p := &pass{
		Renderer: r, services: services, out: out, blame: blame{r.Session, r.Partition},
		requests: &requestBuilder{Session: r.Session, partition: r.Partition, services: services, graph: out.Graph},
	}
	p.keys = &keyBuilder{requestBuilder: p.requests, base: r.Loaded.base}
	if err := p.renderServices(ctx); err != nil {
		return nil, Explain(ctx, err)
	}
	p.checkResults()
	if err := p.renderMeshwide(ctx); err != nil {
		return nil, err
	}
	return out, nil
}

// pass is one call of Render.
type pass struct {
	*Renderer
	services *Services
	requests *requestBuilder
	keys     *keyBuilder
	blame    blame
	out      *Rendering
	// needSource are services that can be rendered only from their files.
	needSource []string
}

func (p *pass) cached(at slot) (*renderOutcome, bool) {
	return p.Memory.rendered.get(p.Memory.store, at)
}

// renderServices renders the services that concern the cluster.
func (p *pass) renderServices(ctx context.Context) error {
	slots := map[string]slot{}
	base := p.Loaded.base
	buckets := p.Memory.buckets("services", base[:], []byte(p.Cluster))
	var missing []string
	for _, name := range p.concerned(p.out) {
		at := buckets.slot(name, p.keys.service(name))
		if p.Partition.orderSensitive && p.requests.hasSource(name) {
			p.needSource = append(p.needSource, name)
			continue
		}
		got, ok := p.cached(at)
		switch {
		case !ok:
			slots[name] = at
			missing = append(missing, name)
		case got.LimitExceeded != "":
			p.fail(ctx, name, manifest.Findings{{Message: got.LimitExceeded}})
		case got.NeedsSource && !p.requests.hasSource(name):
			slots[name] = at
			missing = append(missing, name)
		case got.NeedsSource:
			p.needSource = append(p.needSource, name)
		default:
			p.out.Resources[name] = &got.Resources
		}
	}
	p.keys.forgetRemoved()
	if err := p.renderShards(ctx, missing, slots, p.requests.shardRequest); err != nil {
		return err
	}
	return p.renderFromSource(ctx, buckets)
}

// renderFromSource renders services from their files, for which data was not sufficient.
func (p *pass) renderFromSource(ctx context.Context, buckets buckets) error {
	slots := map[string]slot{}
	var missing, frozen []string
	for _, name := range p.needSource {
		at := buckets.slot(name, p.keys.source(name))
		switch got, ok := p.cached(at); {
		case ok && got.LimitExceeded != "":
			p.fail(ctx, name, manifest.Findings{{Message: got.LimitExceeded}})
			continue
		case ok:
			p.out.Resources[name] = &got.Resources
			continue
		}
		slots[name] = at
		if _, ok := p.services.FrozenFiles[name]; ok {
			frozen = append(frozen, name)
			continue
		}
		missing = append(missing, name)
	}
	slices.Sort(missing)
	if err := p.renderShards(ctx, missing, slots, p.requests.sourceRequest); err != nil {
		return err
	}
	for _, name := range frozen {
		// Each in a shard of its own: its old files may define services that are now defined in
		// other files.
		if err := p.renderShards(ctx, []string{name}, slots, p.requests.sourceRequest); err != nil {
			return err
		}
	}
	return nil
}

// renderShards renders services in batches, and caches the outcome of each in its slot.
func (p *pass) renderShards(
	ctx context.Context, names []string, slots map[string]slot, request func([]string) cueworker.ShardRequest,
) error {
	return bisect(ctx, p.Session, names, servicesPerBatch, func(ctx context.Context, child cueworker.Caller, names []string) error {
		p.mu.Lock()
		p.Work.Calls++
		q := request(names)
		p.mu.Unlock()
		response, err := cueworker.Shard(ctx, child, q)
		if err != nil {
			return err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(q.FromSource) == 0 {
			all := len(names)
			names = p.deferToSource(names, &response, slots)
			unclear := func(f cueworker.ShardFinding) bool { return f.HasNoUserPath() || f.IsMeshScoped() }
			switch {
			case len(names) == 0:
				return nil
			case len(names) < all && slices.ContainsFunc(response.Findings, unclear):
				// The finding may be about a deferred service, or about any other.
				return cueworker.PlainFindings(response.Findings)
			}
		}
		return p.accept(names, response, slots)
	}, func(name string, err error) {
		p.Work.Rendered++
		if isLimit(err) {
			// The next evaluation would exceed the limit as well.
			p.Memory.rendered.put(slots[name], &renderOutcome{LimitExceeded: limitMessage(ctx, err)})
		}
		p.fail(ctx, name, err)
	})
}

// fail records why a service could not be rendered.
func (p *pass) fail(ctx context.Context, name string, err error) {
	p.out.Failed = append(p.out.Failed, name)
	for _, f := range p.blame.service(ctx, name, err) {
		p.services.AddFinding(name, f)
	}
}

// checkResults adds findings for services with too many objects, and with fields of a wrong type
// that no check of the CUE module reported.
func (p *pass) checkResults() {
	for name, got := range p.out.Resources {
		if n := len(got.Objects); n > p.Limits.Objects {
			p.services.AddFinding(name, p.blame.located(manifest.Findings{{
				Service: name, Path: cueworker.ServicesField + "." + name,
				Message: fmt.Sprintf("it renders %d resources for this cluster, more than the limit of %d per service: see --%s",
					n, p.Limits.Objects, limits.ObjectsFlag),
			}})[0])
		}
	}
	for name, s := range p.services.Good {
		if s.mistyped != nil && len(p.services.Broken[name]) == 0 {
			p.services.Broken[name] = p.blame.located(manifest.Findings{{
				Service: name, Path: cueworker.ServicesField + "." + name, Message: s.mistyped.Error(),
			}})
		}
	}
}

// single is the slot of a result in a bucket of its own.
func single(key cache.Key) slot { return slot{bucket: key, key: key} }
