package render

import (
	"crypto/sha256"
	"encoding/json"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/isthmus-mesh/isthmus/internal/cache"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/version"
)

// known has what this or another process found out about valid resources, by the hash of what they are made of. A cluster has thousands, and a
// commit changes few of them.
type known struct {
	packer *cache.Packer
	packs  map[cache.Key]map[cache.Key]made
}

// made is a Resource without what it is made of.
type made struct {
	Key        Key
	GVK        schema.GroupVersionKind
	Service    string
	Side       Side
	Hash       string
	NoEndpoint bool
}

func (m made) resource(rendered json.RawMessage, validator *istio.Validator) Resource {
	return Resource{
		Key: m.Key, GVK: m.GVK, Service: m.Service, Side: m.Side, Hash: m.Hash,
		rendered: rendered, noEndpoint: m.NoEndpoint, validator: validator,
	}
}

// of prepares for a bundle of a cluster.
func (k *known) of(cluster string) {
	k.packer = cache.NewPacker(cache.NewKey([]byte("valid resources"), []byte(version.Program()), []byte(cluster)))
	if k.packs == nil {
		k.packs = map[cache.Key]map[cache.Key]made{}
	}
}

func (k *known) get(store *cache.Store, key string, sum [sha256.Size]byte) (made, bool) {
	if store == nil {
		return made{}, false
	}
	at := k.packer.Of(key)
	pack, read := k.packs[at]
	if !read {
		pack = cache.GetPack[made](store, at)
		k.packs[at] = pack
	}
	m, ok := pack[sum]
	return m, ok
}

// save writes the packs of resources that were not known, with the others that belong there. What was read is not needed any more: it
// is in the resources.
func (k *known) save(store *cache.Store, keys []string, all []Resource, sums [][sha256.Size]byte, valid func(int) bool, unknown []int) {
	for at := range k.packs {
		k.packs[at] = nil
	}
	if store == nil || len(unknown) == 0 {
		return
	}
	changed := map[cache.Key]map[cache.Key]made{}
	for _, i := range unknown {
		changed[k.packer.Of(keys[i])] = map[cache.Key]made{}
	}
	for i, r := range all {
		if pack := changed[k.packer.Of(keys[i])]; pack != nil && valid(i) {
			pack[sums[i]] = made{Key: r.Key, GVK: r.GVK, Service: r.Service, Side: r.Side, Hash: r.Hash, NoEndpoint: r.noEndpoint}
		}
	}
	for at, pack := range changed {
		cache.PutPack(store, at, pack)
	}
}
