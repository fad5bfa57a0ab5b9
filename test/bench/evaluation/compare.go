package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

// compare holds two files against each other, each a JSON object of resources by key, whatever the order and the layout. It reads them
// resource by resource: together they are hundreds of megabytes. It gives the number of resources.
func compare(ours, theirs string) (int, error) {
	a, err := sums(ours)
	if err != nil {
		return 0, err
	}
	b, err := sums(theirs)
	if err != nil {
		return 0, err
	}
	if len(a) == 0 {
		return 0, fmt.Errorf("%s has no resources", ours)
	}
	for _, key := range slices.Sorted(maps.Keys(a)) {
		if other, ok := b[key]; !ok || other != a[key] {
			return 0, fmt.Errorf("resource %s of %s is another one, or none, in %s", key, ours, theirs)
		}
	}
	if len(a) != len(b) {
		return 0, fmt.Errorf("%s has %d resources, %s has %d", ours, len(a), theirs, len(b))
	}
	return len(a), nil
}

// sums are hashes of the values of an object, with their keys sorted and numbers as they are written.
func sums(file string) (map[string][sha256.Size]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := json.NewDecoder(bufio.NewReader(f))
	in.UseNumber()
	fail := func(err error) (map[string][sha256.Size]byte, error) {
		return nil, fmt.Errorf("%s is no JSON object: %w", file, err)
	}
	if t, err := in.Token(); err != nil || t != json.Delim('{') {
		return fail(errors.Join(err, errors.New("it begins otherwise")))
	}
	out := map[string][sha256.Size]byte{}
	for in.More() {
		key, err := in.Token()
		if err != nil {
			return fail(err)
		}
		var value any
		if err := in.Decode(&value); err != nil {
			return fail(err)
		}
		sorted, err := json.Marshal(value)
		if err != nil {
			return fail(err)
		}
		out[fmt.Sprint(key)] = sha256.Sum256(sorted)
	}
	if _, err := in.Token(); err != nil {
		return fail(err)
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return fail(errors.New("something follows it"))
	}
	return out, nil
}
