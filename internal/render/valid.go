package render

import (
	"crypto/sha256"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/cache"
	"github.com/isthmus-mesh/isthmus/internal/version"
)

// verdicts says which resources were found valid by this or another process. They are kept in groups, by the first byte of their
// hashes: a cluster has thousands of resources, and a commit changes few of them.
type verdicts struct {
	keys    [256]cache.Key
	members [256][]int
	// asked: some of the group has to be made; has: all of it is valid.
	asked, has [256]bool
}

// knownValid looks up the groups of the resources that have to be made.
func (r *Renderer) knownValid(sums [][sha256.Size]byte, fresh []int) *verdicts {
	v := &verdicts{}
	if r.cache == nil {
		return v
	}
	var parts [256][][]byte
	for i, sum := range sums {
		n := sum[0]
		v.members[n] = append(v.members[n], i)
		parts[n] = append(parts[n], sums[i][:])
	}
	for _, i := range fresh {
		v.asked[sums[i][0]] = true
	}
	for n := range v.keys {
		if v.asked[n] {
			v.keys[n] = cache.NewKey(slices.Concat([][]byte{[]byte("valid"), []byte(version.Program())}, parts[n])...)
			_, v.has[n] = r.cache.Get(v.keys[n])
		}
	}
	return v
}

// keep notes the groups of which all turned out to be valid.
func (v *verdicts) keep(store *cache.Store, valid func(i int) bool) {
	for n, members := range v.members {
		if v.asked[n] && !v.has[n] && !slices.ContainsFunc(members, func(i int) bool { return !valid(i) }) {
			store.Put(v.keys[n], nil)
		}
	}
}
