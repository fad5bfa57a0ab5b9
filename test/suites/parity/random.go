package parity

import (
	"fmt"
	"hash/fnv"
)

// random derives numbers from a key and not from the order of calls. A repository without one
// feature or one service is otherwise the same, so a failing repository can be minimized.
type random struct{ seed uint64 }

func (d random) hash(key []any) uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, d.seed)
	for _, k := range key {
		fmt.Fprintf(h, "\x00%v", k)
	}
	// FNV gives close values for keys that differ in the last letter. This is the finalizer of
	// SplitMix64.
	x := h.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// intN is a number in [0, limit).
func (d random) intN(limit int, key ...any) int { return int(d.hash(key) % uint64(limit)) }

// chance is true with the given probability.
func (d random) chance(p float64, key ...any) bool { return float64(d.hash(key)>>11)/(1<<53) < p }

// pick is one element of a list.
func pick[T any](d random, from []T, key ...any) T { return from[d.intN(len(from), key...)] }

// shuffled is a copy in random order.
func shuffled[T any](d random, list []T, key ...any) []T {
	out := append([]T(nil), list...)
	for i := len(out) - 1; i > 0; i-- {
		j := d.intN(i+1, append(append([]any(nil), key...), i)...)
		out[i], out[j] = out[j], out[i]
	}
	return out
}

// sample takes each element of a list with probability p, in order.
func sample[T any](d random, list []T, p float64, key ...any) []T {
	var out []T
	for i, v := range list {
		if d.chance(p, append(append([]any(nil), key...), i)...) {
			out = append(out, v)
		}
	}
	return out
}
