package evaluate

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"

	"github.com/isthmus-mesh/isthmus/internal/cache"
	"github.com/isthmus-mesh/isthmus/internal/version"
)

// format changes whenever what is kept changes its form, or its meaning.
const format = "2"

// key is the key of one kind of thing. What was too much within these limits may not be within others.
func (r *run) key(kind string, parts ...[]byte) cache.Key {
	var few [16][]byte // there are tens of thousands of keys in each commit
	return cache.NewKey(append(append(few[:0], r.program, []byte(kind)), parts...)...)
}

// program is what all that is kept depends on.
func program(limits Limits) []byte {
	return fmt.Append(nil, format, " ", version.BuildID(), " ", limits.Memory, " ", limits.CPU)
}

// baseKey says all that every shard is evaluated with.
func (r *run) baseKey() cache.Key {
	parts := [][]byte{[]byte(r.split.pkg)}
	for _, paths := range [][]string{r.split.shared, r.split.beside} {
		for _, p := range paths {
			parts = append(parts, []byte(p), []byte(r.snap.Files[p].Hash))
		}
		parts = append(parts, nil)
	}
	return r.key("base", parts...)
}

// memory is what the last evaluations found out, by keys that say all it depends on. What an evaluation does not use is forgotten
// after it.
type memory struct {
	files     kept[fileInfo, fileInfo]
	shared    kept[map[string]json.RawMessage, *sharedPart]
	manifests kept[map[string]evaluated, []unitService]
	rendered  kept[*rendering, *rendering]
	keys      serviceKeys
}

// serviceKeys remembers the key of each service with what it was made of, since making it anew for thousands takes longer than most
// changes. Values of a service that did not change are the same, not only equal.
type serviceKeys struct {
	base    cache.Key
	cluster string
	of      map[string]serviceKey
}

type serviceKey struct {
	from []*known
	key  cache.Key
}

func newMemory() memory {
	itself := func(r *rendering) (*rendering, error) { return r, nil }
	return memory{
		files: kept[fileInfo, fileInfo]{
			understand: func(info fileInfo) (fileInfo, error) { return info, nil }, write: func(info fileInfo) fileInfo { return info },
		},
		shared:    kept[map[string]json.RawMessage, *sharedPart]{understand: newSharedPart, write: func(s *sharedPart) map[string]json.RawMessage { return s.raw }},
		manifests: kept[map[string]evaluated, []unitService]{understand: newUnitServices, write: writeUnitServices},
		rendered:  kept[*rendering, *rendering]{understand: itself, write: func(r *rendering) *rendering { return r }},
	}
}

func (m *memory) turn() {
	m.files.turn()
	m.shared.turn()
	m.manifests.turn()
	m.rendered.turn()
}

// save writes what is new to the cache.
func (m *memory) save(store *cache.Store) {
	if store == nil {
		return
	}
	m.files.save(store)
	m.shared.save(store)
	m.manifests.save(store)
	m.rendered.save(store)
}

// kept holds values for the next evaluation, and in the cache, in packs. C is the form that is cached.
type kept[C, V any] struct {
	understand func(C) (V, error)
	write      func(V) C

	old, used map[cache.Key]packed[V]
	// packs are those that were read, changed those to be written.
	packs   map[cache.Key]map[cache.Key]C
	changed map[cache.Key]bool
}

type packed[V any] struct {
	pack  cache.Key
	value V
}

// place is where a value is kept.
type place struct{ pack, key cache.Key }

// packs of one kind of values.
type packs struct{ *cache.Buckets }

// packs of a kind, and of what all its values depend on.
func (r *run) packs(kind string, parts ...[]byte) packs {
	return packs{cache.NewBuckets(r.key("packs of "+kind, parts...))}
}

func (p packs) place(name string, key cache.Key) place { return place{pack: p.Of(name), key: key} }

// get looks in memory, then in the cache.
func (k *kept[C, V]) get(store *cache.Store, at place) (V, bool) {
	if v, ok := k.used[at.key]; ok {
		return v.value, true
	}
	if v, ok := k.old[at.key]; ok {
		k.use(at, v.value)
		return v.value, true
	}
	var none V
	if store == nil {
		return none, false
	}
	pack, read := k.packs[at.pack]
	if !read {
		pack = cache.GetBucket[C](store, at.pack)
		if k.packs == nil {
			k.packs = map[cache.Key]map[cache.Key]C{}
		}
		k.packs[at.pack] = pack
	}
	cached, ok := pack[at.key]
	if !ok {
		return none, false
	}
	v, err := k.understand(cached)
	if err != nil {
		return none, false
	}
	k.use(at, v)
	return v, true
}

func (k *kept[C, V]) use(at place, v V) {
	if k.used == nil {
		k.used = make(map[cache.Key]packed[V], len(k.old))
	}
	k.used[at.key] = packed[V]{at.pack, v}
}

// put keeps a value.
func (k *kept[C, V]) put(at place, v V) {
	k.use(at, v)
	if k.changed == nil {
		k.changed = map[cache.Key]bool{}
	}
	k.changed[at.pack] = true
}

// save writes packs that changed. What was read is not needed any more: a value that was not asked for is not this commit's.
func (k *kept[C, V]) save(store *cache.Store) {
	if len(k.changed) > 0 {
		contents := make(map[cache.Key]map[cache.Key]C, len(k.changed))
		for key, v := range k.used {
			if !k.changed[v.pack] {
				continue
			}
			if contents[v.pack] == nil {
				contents[v.pack] = map[cache.Key]C{}
			}
			contents[v.pack][key] = k.write(v.value)
		}
		for pack, values := range contents {
			cache.PutBucket(store, pack, values)
		}
	}
	k.changed = nil
	k.packs = nil
}

// turn forgets what was not used since the last turn.
func (k *kept[C, V]) turn() { k.old, k.used = k.used, nil }

func encodeQuestion(q any) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(q)
	return b.Bytes(), err
}
