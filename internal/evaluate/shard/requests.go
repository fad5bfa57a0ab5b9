package shard

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/evaluate/cueworker"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// placeholder replaces a service that is broken and never was good. Its callers are correct, and
// their calls have no effect.
var placeholder = []byte(`{"placement":{},"backend":{"namespace":"none"},"hosts":[],"ports":{},"egress":{}}`)

// meshRequest has the shared files and some service files.
func meshRequest(s *Session, p *Partition, files []string, cluster string) cueworker.MeshRequest {
	q := cueworker.MeshRequest{
		Files: make(map[string][]byte, len(p.Shared)+len(p.supporting)+len(files)), Package: p.Package, Cluster: cluster,
		Mesh: slices.Concat(p.Shared, files),
	}
	for _, paths := range [][]string{q.Mesh, p.supporting} {
		for _, path := range paths {
			q.Files[path] = s.Snapshot.Files[path].Data
		}
	}
	return q
}

// requestBuilder builds the requests of one rendering.
type requestBuilder struct {
	*Session
	partition *Partition
	services  *Services
	graph     *Graph
}

// shardRequest is a shard of services as data, with the data of other services that they depend on.
func (b *requestBuilder) shardRequest(names []string) cueworker.ShardRequest {
	q := cueworker.ShardRequest{
		On:  meshRequest(b.Session, b.partition, nil, b.Cluster),
		Own: map[string][]byte{}, Others: map[string][]byte{}, ConflictCandidates: map[string][]byte{},
	}
	for _, name := range names {
		q.Own[name] = b.services.Good[name].raw
	}
	isOwn := func(name string) bool { return q.Own[name] != nil }
	ports := map[string]bool{}
	others := map[string]struct{}{}
	for _, name := range names {
		for _, caller := range b.graph.callers[name] {
			others[caller] = struct{}{}
		}
		for callee := range b.services.Good[name].Egress {
			if b.services.Good[callee] != nil {
				others[callee] = struct{}{}
				ports[callee] = ports[callee] || b.services.Good[name].needs[callee] != nil
			}
		}
		for _, allowed := range b.services.Good[name].Authorization.Callers {
			if b.services.Good[allowed] != nil {
				others[allowed] = struct{}{}
			}
		}
		for _, candidate := range b.graph.conflictCandidates[name] {
			if !isOwn(candidate) {
				q.ConflictCandidates[candidate] = b.services.Good[candidate].raw
			}
		}
	}
	for name := range b.services.Broken {
		if b.isPlaceholder(name) {
			q.Others[name] = placeholder
		}
	}
	for name := range others {
		if isOwn(name) || q.ConflictCandidates[name] != nil {
			continue
		}
		summary := b.services.Good[name].summary
		if ports[name] {
			summary = b.services.Good[name].summaryWithPorts
		}
		q.Others[name] = withEgress(summary, b.calls(name, isOwn))
	}
	return q
}

// sourceRequest is shardRequest with the files of the services in the place of their data.
func (b *requestBuilder) sourceRequest(names []string) cueworker.ShardRequest {
	q := b.shardRequest(names)
	q.Own, q.FromSource = map[string][]byte{}, names
	files := map[string]source.Blob{}
	for _, name := range names {
		maps.Copy(files, b.sourceFiles(name))
	}
	q.On = meshRequest(b.Session, b.partition, nil, b.Cluster)
	for p, blob := range files {
		q.On.Mesh = append(q.On.Mesh, p)
		q.On.Files[p] = blob.Data
	}
	return q
}

// meshwideRequest is the shard of the objects that a cluster has once: its gateways and externals.
func (b *requestBuilder) meshwideRequest(externals map[string]manifest.External, exporting bool) cueworker.ShardRequest {
	q := b.shardRequest(nil)
	q.Meshwide, q.Exporting = true, exporting
	for name := range externals {
		for _, caller := range b.graph.callers[name] {
			q.Others[caller] = withEgress(b.services.Good[caller].summary, b.calls(caller, func(callee string) bool {
				_, external := externals[callee]
				return external
			}))
		}
		for _, address := range externals[name].Addresses {
			for _, service := range b.graph.byAddress[strings.TrimSuffix(address, "/32")] {
				q.ConflictCandidates[service] = b.services.Good[service].raw
				delete(q.Others, service)
			}
		}
	}
	return q
}

// isPlaceholder reports whether shards contain a placeholder for a service.
func (b *requestBuilder) isPlaceholder(name string) bool {
	return b.services.Good[name] == nil && (b.services.Broken[name] != nil || b.mayBeUnread(name))
}

// mayBeUnread reports whether a file that cannot be parsed may define a service.
func (b *requestBuilder) mayBeUnread(name string) bool {
	for p := range b.partition.Broken {
		if bytes.Contains(b.Snapshot.Files[p].Data, []byte(name)) {
			return true
		}
	}
	return false
}

// calls are the calls of a service to some others, with the values of egress.
func (b *requestBuilder) calls(name string, to func(string) bool) map[string]json.RawMessage {
	var out map[string]json.RawMessage
	for callee := range b.services.Good[name].Egress {
		if to(callee) {
			if out == nil {
				out = map[string]json.RawMessage{}
			}
			out[callee] = b.services.Good[name].need(callee)
		}
	}
	return out
}

// hasSource reports whether the files of a service are known.
func (b *requestBuilder) hasSource(name string) bool {
	return b.services.Good[name] != nil && len(b.sourceFiles(name)) > 0
}

// sourceFiles are the files that define a service. Those of a frozen service are from the commit of
// its manifest.
func (b *requestBuilder) sourceFiles(name string) map[string]source.Blob {
	if files, frozen := b.services.FrozenFiles[name]; frozen {
		return files
	}
	files := map[string]source.Blob{}
	for _, p := range b.partition.ComponentOf(name).Files {
		files[p] = b.Snapshot.Files[p]
	}
	return files
}
