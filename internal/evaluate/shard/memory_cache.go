package shard

import (
	"encoding/json"
	"fmt"

	"github.com/isthmus-mesh/isthmus/internal/cache"
	"github.com/isthmus-mesh/isthmus/internal/evaluate/cueworker"
	"github.com/isthmus-mesh/isthmus/internal/evaluate/limits"
	"github.com/isthmus-mesh/isthmus/internal/version"
)

// format changes with the form or the meaning of a cached value.
const format = "3"

// Memory has the results of earlier evaluations, in this process and in a cache on disk. The key of
// a result contains everything that it was computed from. Results that an evaluation does not use
// are dropped from the process after it.
type Memory struct {
	store *cache.Store
	// program is a part of all keys: the version of the program and the limits. A larger limit may
	// allow what a smaller one did not.
	program []byte

	files     generations[cueworker.FileInfo, cueworker.FileInfo]
	shared    generations[map[string]json.RawMessage, *SharedValues]
	manifests generations[map[string]cueworker.Manifest, []componentService]
	rendered  generations[*renderOutcome, *renderOutcome]
	keys      serviceKeys
}

// NewMemory makes an empty memory. The store may be nil.
func NewMemory(l limits.Limits, store *cache.Store) *Memory {
	return &Memory{
		store:   store,
		program: fmt.Append(nil, format, " ", version.BuildID(), " ", l.Memory, " ", l.CPU),

		files: newGenerations(identity[cueworker.FileInfo], func(i cueworker.FileInfo) cueworker.FileInfo { return i }),
		shared: newGenerations(newSharedValues, func(v *SharedValues) map[string]json.RawMessage {
			return v.raw
		}),
		manifests: newGenerations(decodeServices, encodeServices),
		rendered:  newGenerations(identity[*renderOutcome], func(o *renderOutcome) *renderOutcome { return o }),
	}
}

func identity[V any](v V) (V, error) { return v, nil }

// key is the key of a result of some kind.
func (m *Memory) key(kind string, parts ...[]byte) cache.Key {
	var few [16][]byte // avoids an allocation; each commit needs tens of thousands of keys
	return cache.NewKey(append(append(few[:0], m.program, []byte(kind)), parts...)...)
}

// buckets returns the buckets of a kind of results. The parts are common to all their keys.
func (m *Memory) buckets(kind string, parts ...[]byte) buckets {
	return buckets{cache.NewBuckets(m.key("packs of "+kind, parts...))}
}

// NextGeneration drops results that were not used since the last call.
func (m *Memory) NextGeneration() {
	m.files.next()
	m.shared.next()
	m.manifests.next()
	m.rendered.next()
}

// Save writes new results to the store.
func (m *Memory) Save() {
	if m.store == nil {
		return
	}
	m.files.save(m.store)
	m.shared.save(m.store)
	m.manifests.save(m.store)
	m.rendered.save(m.store)
}

// slot is the address of a result: its key, and the bucket of the store.
type slot struct{ bucket, key cache.Key }

type buckets struct{ *cache.Buckets }

func (b buckets) slot(name string, key cache.Key) slot { return slot{bucket: b.Of(name), key: key} }

// generations has the results of the current and of the last evaluation. C is the form in the
// store.
type generations[C, V any] struct {
	decode func(C) (V, error)
	encode func(V) C

	last, current map[cache.Key]stored[V]
	// read are the buckets that were read, changed those to write.
	read    map[cache.Key]map[cache.Key]C
	changed map[cache.Key]bool
}

type stored[V any] struct {
	bucket cache.Key
	value  V
}

func newGenerations[C, V any](decode func(C) (V, error), encode func(V) C) generations[C, V] {
	return generations[C, V]{decode: decode, encode: encode}
}

// get looks a result up in the process, then in the store.
func (g *generations[C, V]) get(store *cache.Store, at slot) (V, bool) {
	if v, ok := g.current[at.key]; ok {
		return v.value, true
	}
	if v, ok := g.last[at.key]; ok {
		g.use(at, v.value)
		return v.value, true
	}
	var none V
	if store == nil {
		return none, false
	}
	bucket, read := g.read[at.bucket]
	if !read {
		bucket = cache.GetBucket[C](store, at.bucket)
		if g.read == nil {
			g.read = map[cache.Key]map[cache.Key]C{}
		}
		g.read[at.bucket] = bucket
	}
	cached, ok := bucket[at.key]
	if !ok {
		return none, false
	}
	v, err := g.decode(cached)
	if err != nil {
		return none, false
	}
	g.use(at, v)
	return v, true
}

func (g *generations[C, V]) use(at slot, v V) {
	if g.current == nil {
		g.current = make(map[cache.Key]stored[V], len(g.last))
	}
	g.current[at.key] = stored[V]{at.bucket, v}
}

// put adds a result.
func (g *generations[C, V]) put(at slot, v V) {
	g.use(at, v)
	if g.changed == nil {
		g.changed = map[cache.Key]bool{}
	}
	g.changed[at.bucket] = true
}

// save writes the buckets that changed. A bucket gets only results of the current evaluation.
func (g *generations[C, V]) save(store *cache.Store) {
	if len(g.changed) > 0 {
		contents := make(map[cache.Key]map[cache.Key]C, len(g.changed))
		for key, v := range g.current {
			if !g.changed[v.bucket] {
				continue
			}
			if contents[v.bucket] == nil {
				contents[v.bucket] = map[cache.Key]C{}
			}
			contents[v.bucket][key] = g.encode(v.value)
		}
		for bucket, values := range contents {
			cache.PutBucket(store, bucket, values)
		}
	}
	g.changed = nil
	g.read = nil
}

func (g *generations[C, V]) next() { g.last, g.current = g.current, nil }
