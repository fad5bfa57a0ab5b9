package shard

import (
	"fmt"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/evaluate/cueworker"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// deferToSource returns the services without those that data is not sufficient for;
// renderFromSource renders these. A template may select another value than the default of a
// manifest, which is only in the files. Findings of deferred services are removed from the
// response.
func (p *pass) deferToSource(names []string, response *cueworker.ShardResponse, slots map[string]slot) (rest []string) {
	deferred := map[string]bool{}
	for _, f := range response.Findings {
		deferred[f.Service] = deferred[f.Service] || f.Code == manifest.RenderingFailed
	}
	if len(names) == 1 && slices.ContainsFunc(response.Findings, cueworker.ShardFinding.HasNoUserPath) {
		deferred[names[0]] = true
	}
	for _, name := range names {
		if !deferred[name] || !p.requests.hasSource(name) {
			rest = append(rest, name)
			continue
		}
		p.needSource = append(p.needSource, name)
		p.Memory.rendered.put(slots[name], &renderOutcome{NeedsSource: true})
		response.Findings = slices.DeleteFunc(response.Findings, func(f cueworker.ShardFinding) bool {
			return f.Service == name && f.Code == manifest.RenderingFailed || len(names) == 1 && f.HasNoUserPath()
		})
	}
	return rest
}

// accept records the response for a shard. The outcome of a service is cached only if no finding
// may be about it. Findings that may be about any of several services are returned as error, so
// that the batch is bisected.
func (p *pass) accept(names []string, response cueworker.ShardResponse, slots map[string]slot) error {
	findings := response.Findings
	noUserPath, meshScoped := cueworker.ShardFinding.HasNoUserPath, cueworker.ShardFinding.IsMeshScoped
	if len(names) > 1 && (slices.ContainsFunc(findings, noUserPath) || p.Previous.Exists() && slices.ContainsFunc(findings, meshScoped)) {
		return cueworker.PlainFindings(findings)
	}
	if slices.ContainsFunc(findings, func(f cueworker.ShardFinding) bool { return !f.HasNoUserPath() }) {
		// Errors of internal fields are consequences of the other findings.
		findings = slices.DeleteFunc(findings, noUserPath)
	}
	blamed := map[string]bool{}
	at := NewLocator(p.Snapshot, p.Partition)
	for _, f := range findings {
		if p.isConsequence(f) {
			continue
		}
		found := locate(at, f.Finding)
		name := found.Service
		switch {
		case f.HasNoUserPath():
			name = names[0]
		case f.IsMeshScoped() && !p.Previous.Changed(names[0], p.services.Good[names[0]]):
			p.out.MeshFindings = addFinding(p.out.MeshFindings, found)
			continue
		case f.IsMeshScoped():
			// The changed service does not match the shared values.
			name, found.Service = names[0], names[0]
		}
		p.services.AddFinding(name, found)
		p.blameNeighbours(blamed, name)
	}
	for _, name := range names {
		p.Work.Rendered++
		got := response.Services[name]
		if got == nil {
			if !blamed[name] {
				return fmt.Errorf("the evaluation returned no result for service %s", name)
			}
			p.out.Failed = append(p.out.Failed, name)
			continue
		}
		p.out.Resources[name] = got
		if !blamed[name] && len(p.out.MeshFindings) == 0 {
			p.Memory.rendered.put(slots[name], &renderOutcome{Resources: *got})
		}
	}
	return nil
}

// blameNeighbours adds a service and all services that its finding may be about.
func (p *pass) blameNeighbours(blamed map[string]bool, name string) {
	blamed[name] = true
	for _, others := range [][]string{p.out.Graph.callers[name], p.out.Graph.conflictCandidates[name]} {
		for _, other := range others {
			blamed[other] = true
		}
	}
	if s := p.services.Good[name]; s != nil {
		for callee := range s.Egress {
			blamed[callee] = true
		}
	}
}

// isConsequence reports whether a finding is about a call to a placeholder.
func (p *pass) isConsequence(f cueworker.ShardFinding) bool {
	return f.Callee != "" && p.requests.isPlaceholder(f.Callee)
}
