package parity

import (
	"fmt"
	"hash/fnv"
)

// dice gives numbers by what they are for, not by when they are asked for: a repository without one feature or one
// service is the same in all else, so that a failing one can be made smaller.
type dice struct{ seed uint64 }

func (d dice) roll(key []any) uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, d.seed)
	for _, k := range key {
		fmt.Fprintf(h, "\x00%v", k)
	}
	// FNV leaves keys that differ in their last letter close together; this is the end of SplitMix64.
	x := h.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// below is a number from 0 up to limit, without it.
func (d dice) below(limit int, key ...any) int { return int(d.roll(key) % uint64(limit)) }

// chance is true with the given probability.
func (d dice) chance(p float64, key ...any) bool { return float64(d.roll(key)>>11)/(1<<53) < p }

// pick is one of several.
func pick[T any](d dice, from []T, key ...any) T { return from[d.below(len(from), key...)] }

// shuffled is a copy in another order.
func shuffled[T any](d dice, list []T, key ...any) []T {
	out := append([]T(nil), list...)
	for i := len(out) - 1; i > 0; i-- {
		j := d.below(i+1, append(append([]any(nil), key...), i)...)
		out[i], out[j] = out[j], out[i]
	}
	return out
}

// some are those of a list that a chance of p takes, in order.
func some[T any](d dice, list []T, p float64, key ...any) []T {
	var out []T
	for i, v := range list {
		if d.chance(p, append(append([]any(nil), key...), i)...) {
			out = append(out, v)
		}
	}
	return out
}
