package shard

import (
	"context"
	"errors"

	"github.com/isthmus-mesh/isthmus/internal/evaluate/cueworker"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// renderMeshwide renders the objects that the cluster has once.
func (p *pass) renderMeshwide(ctx context.Context) error {
	if p.Cluster == "" {
		return nil
	}
	exporting := false
	for _, got := range p.out.Resources {
		exporting = exporting || got.Exports
	}
	q := p.requests.meshwideRequest(p.out.Mesh.Externals, exporting)
	at := single(p.keys.meshwide(q))
	if got, ok := p.cached(at); ok {
		p.out.Resources[""] = &got.Resources
		return nil
	}
	p.Work.Calls++
	response, err := cueworker.Shard(ctx, p.pool, q)
	var findings manifest.Findings
	switch {
	case errors.As(err, &findings):
		return p.blame.located(findings)
	case err != nil:
		return Explain(ctx, err)
	case len(response.Findings) > 0:
		p.blameCandidates(p.blame.located(cueworker.PlainFindings(response.Findings)), q.ConflictCandidates)
		return nil
	case response.Services[""] == nil:
		return errors.New("the evaluation returned no result for the cluster itself")
	}
	p.out.Resources[""] = response.Services[""]
	p.Memory.rendered.put(at, &renderOutcome{Resources: *response.Services[""]})
	return nil
}

// blameCandidates assigns findings of the shared values to the changed services that claim the same
// addresses, or, without such services, to the mesh.
func (p *pass) blameCandidates(findings manifest.Findings, candidates map[string][]byte) {
	blamed := false
	for name := range candidates {
		if p.Previous.Changed(name, p.services.Good[name]) {
			blamed = true
			for _, f := range findings {
				f.Service = name
				p.services.AddFinding(name, f)
			}
		}
	}
	if !blamed {
		p.out.MeshFindings = append(p.out.MeshFindings, findings...)
	}
}
