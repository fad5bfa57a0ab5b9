package shard

import (
	"fmt"
	"maps"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/cache"
	"github.com/isthmus-mesh/isthmus/internal/evaluate/cueworker"
)

// baseKey is the key of all files that are a part of every shard.
func baseKey(s *Session, p *Partition) cache.Key {
	parts := [][]byte{[]byte(p.Package)}
	for _, paths := range [][]string{p.Shared, p.supporting} {
		for _, path := range paths {
			parts = append(parts, []byte(path), s.hash(path))
		}
		parts = append(parts, nil)
	}
	return s.key("base", parts...)
}

// serviceKeys has the key of each service. Computing thousands of keys takes longer than most
// changes, so a key is kept while the services that it depends on have the same summaries (the same
// pointers, not only equal values).
type serviceKeys struct {
	base    cache.Key
	cluster string
	of      map[string]serviceKey
}

type serviceKey struct {
	from []*Summary
	key  cache.Key
}

// keyBuilder computes the keys of rendered services. A key must contain everything of a request
// (requests.go) that the objects of the service depend on.
type keyBuilder struct {
	*requestBuilder
	base cache.Key
	// from is reused by service.
	from []*Summary
}

// service returns the key of a rendered service.
func (b *keyBuilder) service(name string) cache.Key {
	keys := &b.Memory.keys
	if keys.base != b.base || keys.cluster != b.Cluster || keys.of == nil {
		*keys = serviceKeys{base: b.base, cluster: b.Cluster, of: map[string]serviceKey{}}
	}
	b.from = b.dependencies(b.from[:0], name)
	last, ok := keys.of[name]
	if !ok || !slices.Equal(last.from, b.from) {
		last = serviceKey{from: slices.Clone(b.from), key: b.newServiceKey(name)}
		keys.of[name] = last
	}
	return last.key
}

// forgetRemoved drops the keys of services that do not exist any more.
func (b *keyBuilder) forgetRemoved() {
	maps.DeleteFunc(b.Memory.keys.of, func(name string, _ serviceKey) bool { return b.services.Good[name] == nil })
}

// placeholderSummary represents a placeholder in serviceKey.from.
var placeholderSummary = &Summary{}

// dependencies appends the summaries that newServiceKey reads, each list ended by nil.
func (b *keyBuilder) dependencies(to []*Summary, name string) []*Summary {
	s := b.services.Good[name]
	add := func(names []string) {
		for _, n := range names {
			other := b.services.Good[n]
			if other == nil && b.isPlaceholder(n) {
				other = placeholderSummary
			}
			to = append(to, other)
		}
		to = append(to, nil)
	}
	to = append(to, s)
	add(b.graph.callers[name])
	add(s.callees)
	add(s.Authorization.Callers)
	add(b.graph.conflictCandidates[name])
	return to
}

func (b *keyBuilder) newServiceKey(name string) cache.Key {
	s := b.services.Good[name]
	parts := [][]byte{b.base[:], []byte(b.Cluster), []byte(name), s.Key[:]}
	for _, caller := range b.graph.callers[name] {
		other := b.services.Good[caller]
		parts = append(parts, []byte(caller), other.summary, other.need(name))
	}
	parts = append(parts, nil)
	for _, callee := range s.callees {
		switch other := b.services.Good[callee]; {
		case other != nil:
			parts = append(parts, []byte(callee), other.summaryWithPorts)
		case b.isPlaceholder(callee):
			parts = append(parts, []byte(callee), placeholder)
		}
	}
	parts = append(parts, nil)
	for _, allowed := range s.Authorization.Callers {
		parts = append(parts, fmt.Append(nil, b.services.Good[allowed] != nil, b.isPlaceholder(allowed)))
	}
	for _, candidate := range b.graph.conflictCandidates[name] {
		parts = append(parts, []byte(candidate), b.services.Good[candidate].Key[:])
	}
	return b.key("service", parts...)
}

// source returns the key of a service that is rendered from its files.
func (b *keyBuilder) source(name string) cache.Key {
	key := b.service(name)
	parts := [][]byte{key[:]}
	files := b.sourceFiles(name)
	for _, p := range slices.Sorted(maps.Keys(files)) {
		parts = append(parts, []byte(p), []byte(files[p].Hash))
	}
	return b.key("written", parts...)
}

// meshwide returns the key of a meshwide request.
func (b *keyBuilder) meshwide(q cueworker.ShardRequest) cache.Key {
	parts := [][]byte{b.base[:], []byte(b.Cluster), fmt.Append(nil, q.Exporting)}
	for _, of := range []map[string][]byte{q.Others, q.ConflictCandidates} {
		for _, name := range slices.Sorted(maps.Keys(of)) {
			parts = append(parts, []byte(name), of[name])
		}
		parts = append(parts, nil)
	}
	return b.key("mesh", parts...)
}
