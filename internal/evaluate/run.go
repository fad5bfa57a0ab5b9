package evaluate

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/evaluate/cueworker"
	"github.com/isthmus-mesh/isthmus/internal/evaluate/freeze"
	"github.com/isthmus-mesh/isthmus/internal/evaluate/shard"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/mesh"
	"github.com/isthmus-mesh/isthmus/internal/sandbox"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// run calls the steps of one evaluation.
type run struct {
	session *shard.Session
	options Options
	// suspected are files that are handled as unreadable, with the findings.
	suspected map[string]manifest.Findings

	infos     map[string]cueworker.FileInfo
	partition *shard.Partition
}

func (e *Evaluator) newRun(snap *source.Snapshot, opts Options) *run {
	return &run{session: shard.NewSession(snap, opts.Cluster, e.limits, e.memory), options: opts}
}

func (r *run) do(ctx context.Context) (*Result, error) {
	defer r.session.Close()
	if err := r.divide(ctx); err != nil {
		return nil, err
	}
	if r.partition.InOnePiece() {
		return r.unsharded(ctx)
	}
	if unread := r.options.LastKnownGood.SharedUnread(r.partition); unread != nil {
		return nil, unread
	}
	loaded, err := shard.Load(ctx, r.session, r.partition)
	if err != nil {
		return nil, err
	}
	if err := r.checkCluster(loaded.Shared.Clusters); err != nil {
		return nil, err
	}
	return r.render(ctx, loaded)
}

// divide parses the files and divides the repository.
func (r *run) divide(ctx context.Context) (err error) {
	// Also after an error: Partial looks for suspects in these files.
	if r.infos, err = shard.Classify(ctx, r.session); err != nil {
		return shard.Explain(ctx, err)
	}
	rejected := r.options.LastKnownGood.AddRejected(r.session.Snapshot, r.infos)
	for p, found := range r.suspected {
		r.infos[p] = cueworker.FileInfo{Findings: found}
	}
	r.partition, err = shard.NewPartition(r.session.Snapshot, r.infos, rejected)
	return err
}

// checkCluster returns an error for a cluster that is not in the inventory. If files cannot be
// read, their findings are the error, because the cluster may be in one of them.
func (r *run) checkCluster(clusters map[string]manifest.Cluster) error {
	if _, ok := clusters[r.options.Cluster]; ok || r.options.Cluster == "" {
		return nil
	}
	if unread := r.partition.Unread(); len(unread) > 0 {
		return unread
	}
	_, err := mesh.NewView(&manifest.Mesh{Clusters: clusters}, r.options.Cluster)
	return err
}

// maxFreezes limits the chains of services that break because others were frozen.
const maxFreezes = 20

// render renders the cluster. Freezing a broken service may break others, so it is repeated until
// nothing new is broken.
func (r *run) render(ctx context.Context, loaded *shard.Loaded) (*Result, error) {
	services := loaded.Services
	for name, found := range r.options.Refused {
		services.Broken[name] = slices.Concat(services.Broken[name], found)
	}
	freezer := freeze.New(r.options.LastKnownGood, r.options.Unknown, r.partition, services)
	freezer.BlameUnread()
	freezer.Freeze(nil)
	renderer := &shard.Renderer{
		Session: r.session, Partition: r.partition, Loaded: loaded, Previous: r.options.LastKnownGood, CheckAll: r.options.CheckAll,
	}
	var rendering *shard.Rendering
	for range maxFreezes {
		var err error
		if rendering, err = renderer.Render(ctx); err != nil {
			return nil, err
		}
		if len(rendering.MeshFindings) > 0 {
			return nil, append(rendering.MeshFindings, r.findings(services)...)
		}
		if !freezer.Freeze(rendering.Graph) {
			break
		}
	}
	for name := range freezer.Frozen {
		if slices.Contains(rendering.Failed, name) {
			// The shared values of this commit break the last known good manifest.
			return nil, r.findings(services)
		}
	}
	return r.result(services, freezer, rendering)
}

// findings are all findings so far.
func (r *run) findings(services *shard.Services) manifest.Findings {
	return (&Result{Broken: services.Broken, Unread: r.partition.Unread()}).Findings()
}

func (r *run) result(services *shard.Services, freezer *freeze.Freezer, rendering *shard.Rendering) (*Result, error) {
	result := &Result{
		Mesh: rendering.Mesh, Broken: services.Broken, Unread: r.partition.Unread(),
		Frozen: freezer.Frozen, NeverGood: slices.Sorted(maps.Keys(freezer.NeverGood)), Unknown: slices.Sorted(maps.Keys(freezer.Unknown)),
		LastKnownGood: freezer.LastKnownGood(r.session.Snapshot), Work: r.session.Work,
		at: shard.NewLocator(r.session.Snapshot, r.partition),
	}
	if r.options.Cluster == "" {
		return result, nil
	}
	result.Rendered = map[string]json.RawMessage{}
	for _, got := range rendering.Resources {
		for key, resource := range got.Objects {
			if _, twice := result.Rendered[key]; twice {
				return nil, manifest.Findings{{
					Path: cueworker.TemplateField, Message: fmt.Sprintf("resource %s, which several services render", key),
				}}
			}
			result.Rendered[key] = resource
		}
	}
	return result, nil
}

// unsharded evaluates the repository in one piece, in a new child: CUE keeps about 70 bytes of each
// label that it has seen, and a commit must not see data of another.
func (r *run) unsharded(ctx context.Context) (*Result, error) {
	if unread := r.partition.Unread(); len(unread) > 0 {
		return nil, unread
	}
	if len(r.options.Refused) > 0 {
		var all manifest.Findings
		for _, name := range slices.Sorted(maps.Keys(r.options.Refused)) {
			all = append(all, r.options.Refused[name]...)
		}
		return nil, all
	}
	r.session.Work.Unsharded = true
	r.session.Work.Calls++
	response, err := r.callForRepository(ctx)
	if err != nil {
		return nil, shard.ExplainInOnePiece(ctx, err, r.partition.Unshardable)
	}
	result, err := decodeRepository(response, r.options.Cluster)
	if err != nil {
		return nil, err
	}
	result.Work, result.Unshardable = r.session.Work, r.partition.Unshardable
	return result, nil
}

func (r *run) callForRepository(ctx context.Context) (cueworker.RepositoryResponse, error) {
	worker, err := sandbox.Start(ctx, r.session.Limits.Sandbox())
	if err != nil {
		return cueworker.RepositoryResponse{}, err
	}
	defer worker.Close()
	return cueworker.Repository(ctx, worker, r.session.Snapshot, r.options.Cluster)
}

// decodeRepository decodes the response of a child, which is untrusted.
func decodeRepository(response cueworker.RepositoryResponse, cluster string) (*Result, error) {
	result := &Result{Mesh: &manifest.Mesh{}, at: response.At}
	into := map[string]any{
		"settings":  &result.Mesh.Settings,
		"clusters":  &result.Mesh.Clusters,
		"services":  &result.Mesh.Services,
		"externals": &result.Mesh.Externals,
	}
	if cluster != "" {
		into[cueworker.ResourcesField] = &result.Rendered
	}
	var findings manifest.Findings
	for _, field := range cueworker.Fields(cluster) {
		value, ok := response.Values[field]
		if !ok {
			continue
		}
		if err := json.Unmarshal(value, into[field]); err != nil {
			findings = append(findings, manifest.Finding{Path: field, Message: err.Error()})
		}
	}
	if len(findings) > 0 {
		return nil, findings
	}
	return result, nil
}
