package cache

import (
	"bytes"
	"encoding/gob"
	"hash/fnv"
)

// bucketCount is the number of buckets per kind of values: enough that a changed value rewrites few
// others, and few enough that all of them are read quickly.
const bucketCount = 256

// Buckets distributes small values over entries, because an entry for each of them would cost more
// than computing them again. A bucket is rewritten when one of its values changes. Within a bucket
// each value has its own key, which covers everything that it depends on.
type Buckets [bucketCount]Key

// NewBuckets returns the buckets of one kind of values. The base key covers what all values of the
// kind depend on, so that two branches or clusters do not replace each other's values.
func NewBuckets(base Key) *Buckets {
	b := &Buckets{}
	for i := range b {
		b[i] = base
		b[i][0] += byte(i) // spreads the buckets over the segments
	}
	return b
}

// Of returns the key of the bucket for the value of this name.
func (b *Buckets) Of(name string) Key {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	return b[h.Sum32()%bucketCount]
}

// GetBucket returns the values of a bucket, nil if it is missing or has another format.
func GetBucket[V any](s *Store, bucket Key) map[Key]V {
	data, ok := s.Get(bucket)
	if !ok {
		return nil
	}
	var values map[Key]V
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&values); err != nil {
		return nil
	}
	return values
}

// PutBucket replaces the values of a bucket.
func PutBucket[V any](s *Store, bucket Key, values map[Key]V) {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(values); err == nil {
		s.Put(bucket, b.Bytes())
	}
}
