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

// compare compares two files with a JSON object of resources by key. Order and layout do not
// matter. It decodes one resource at a time, because the files have hundreds of megabytes. It
// returns the number of resources.
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
			return 0, fmt.Errorf("resource %s of %s differs or is missing in %s", key, ours, theirs)
		}
	}
	if len(a) != len(b) {
		return 0, fmt.Errorf("%s has %d resources, %s has %d", ours, len(a), theirs, len(b))
	}
	return len(a), nil
}

// sums returns the hashes of the values of a JSON object, with sorted keys and unchanged numbers.
func sums(file string) (map[string][sha256.Size]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := json.NewDecoder(bufio.NewReader(f))
	in.UseNumber()
	fail := func(err error) (map[string][sha256.Size]byte, error) {
		return nil, fmt.Errorf("%s is not a JSON object: %w", file, err)
	}
	if t, err := in.Token(); err != nil || t != json.Delim('{') {
		return fail(errors.Join(err, errors.New("it does not start with {")))
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
		return fail(errors.New("trailing data"))
	}
	return out, nil
}
