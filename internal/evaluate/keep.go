package evaluate

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/cache"
	"github.com/isthmus-mesh/isthmus/internal/version"
)

// format changes whenever what is kept changes its form, or its meaning.
const format = "1"

// key is the key of one kind of thing.
func (r *run) key(kind string, parts ...[]byte) cache.Key {
	return cache.NewKey(slices.Concat([][]byte{[]byte(format), []byte(version.Program()), []byte(kind)}, parts)...)
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

// recall looks in memory, then in the cache.
func recall[V any](store *cache.Store, in *kept[V], key cache.Key) (V, bool) {
	return recall2(store, in, key, func(v V) (V, error) { return v, nil })
}

// recall2 is recall for what is cached in another form.
func recall2[C, V any](store *cache.Store, in *kept[V], key cache.Key, understand func(C) (V, error)) (V, bool) {
	if v, ok := in.get(key); ok {
		return v, true
	}
	var none V
	data, ok := store.Get(key)
	if !ok {
		return none, false
	}
	var cached C
	if err := json.Unmarshal(data, &cached); err != nil {
		return none, false
	}
	v, err := understand(cached)
	if err != nil {
		return none, false
	}
	in.put(key, v)
	return v, true
}

// remember keeps a value in memory and in the cache.
func remember[V any](store *cache.Store, in *kept[V], key cache.Key, v V) {
	in.put(key, v)
	store.Put(key, mustJSON(v))
}

func mustJSON(v any) []byte {
	data, err := encode(v)
	if err != nil {
		panic(err) // only of plain types
	}
	return data
}

func encodeQuestion(q any) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(q)
	return b.Bytes(), err
}
