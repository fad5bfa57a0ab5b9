package render

import (
	"crypto/sha256"
	"encoding/json"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/isthmus-mesh/isthmus/internal/cache"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/version"
)

// validationCache remembers valid resources by the hash of their rendered form, in memory and on
// disk: a cluster has thousands of resources, and a commit changes few of them.
type validationCache struct {
	buckets *cache.Buckets
	loaded  map[cache.Key]map[cache.Key]validated
}

// validated is a valid Resource without its rendered form.
type validated struct {
	Key        Key
	GVK        schema.GroupVersionKind
	Service    string
	Side       Side
	Hash       string
	NoEndpoint bool
}

func (v validated) resource(rendered json.RawMessage, validator *istio.Validator) Resource {
	return Resource{
		Key: v.Key, GVK: v.GVK, Service: v.Service, Side: v.Side, Hash: v.Hash,
		rendered: rendered, noEndpoint: v.NoEndpoint, validator: validator,
	}
}

// prepare selects the buckets of a cluster.
func (c *validationCache) prepare(cluster string) {
	c.buckets = cache.NewBuckets(cache.NewKey([]byte("valid resources"), []byte(version.BuildID()), []byte(cluster)))
	if c.loaded == nil {
		c.loaded = map[cache.Key]map[cache.Key]validated{}
	}
}

func (c *validationCache) get(store *cache.Store, key string, sum [sha256.Size]byte) (validated, bool) {
	if store == nil {
		return validated{}, false
	}
	at := c.buckets.Of(key)
	bucket, read := c.loaded[at]
	if !read {
		bucket = cache.GetBucket[validated](store, at)
		c.loaded[at] = bucket
	}
	v, ok := bucket[sum]
	return v, ok
}

// save writes the buckets of the resources with the indices unknown, complete with all other valid
// resources of these buckets. It also drops the buckets in memory, because Renderer.last has the
// resources now.
func (c *validationCache) save(
	store *cache.Store, keys []string, all []Resource, sums [][sha256.Size]byte, valid func(int) bool, unknown []int,
) {
	for at := range c.loaded {
		c.loaded[at] = nil
	}
	if store == nil || len(unknown) == 0 {
		return
	}
	changed := map[cache.Key]map[cache.Key]validated{}
	for _, i := range unknown {
		changed[c.buckets.Of(keys[i])] = map[cache.Key]validated{}
	}
	for i, r := range all {
		if bucket := changed[c.buckets.Of(keys[i])]; bucket != nil && valid(i) {
			bucket[sums[i]] = validated{Key: r.Key, GVK: r.GVK, Service: r.Service, Side: r.Side, Hash: r.Hash, NoEndpoint: r.noEndpoint}
		}
	}
	for at, bucket := range changed {
		cache.PutBucket(store, at, bucket)
	}
}
