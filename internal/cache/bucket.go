package cache

import (
	"bytes"
	"encoding/gob"
	"hash/fnv"
)

// packs is into how many the values of a kind are divided: so many that a changed value makes few others be written, so few that all are
// read in no time.
const packs = 256

// Buckets divides values among entries, where an entry for each would cost more than making the small values again. A pack has a name of its
// own and is written anew when one of its values is; each value is found in it by its own key, which says all that it depends on.
type Buckets [packs]Key

// NewBuckets names the packs of a kind. What all values of the kind depend on belongs into the base: so two branches, or clusters, do not
// displace each other's.
func NewBuckets(base Key) *Buckets {
	p := &Buckets{}
	for i := range p {
		p[i] = base
		p[i][0] += byte(i) // which spreads them over the parts of the cache
	}
	return p
}

// Of is the pack that the value of a name belongs to.
func (p *Buckets) Of(name string) Key {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	return p[h.Sum32()%packs]
}

// GetBucket reads a pack, nil if there is none of this form.
func GetBucket[V any](s *Store, pack Key) map[Key]V {
	data, ok := s.Get(pack)
	if !ok {
		return nil
	}
	var values map[Key]V
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&values); err != nil {
		return nil
	}
	return values
}

// PutBucket writes a pack in place of the one that is there.
func PutBucket[V any](s *Store, pack Key, values map[Key]V) {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(values); err == nil {
		s.Put(pack, b.Bytes())
	}
}
