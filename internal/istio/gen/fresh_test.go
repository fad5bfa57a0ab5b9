package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is committed must be what the generator makes of the istio.io/api that go.mod names.
func TestCRDsAreFresh(t *testing.T) {
	// The go command reads go.mod; looking at it here as well tells go test that the result depends on it.
	if _, err := os.Stat(filepath.Join("..", "..", "..", "go.mod")); err != nil {
		t.Fatal(err)
	}
	origin, err := originFile()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(origin)
	if err != nil {
		t.Fatal(err)
	}
	want, err := reduce(raw)
	if err != nil {
		t.Fatal(err)
	}

	paths, err := filepath.Glob(filepath.Join("..", "crds", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]byte{}
	for _, path := range paths {
		if got[filepath.Base(path)], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	// Compared by line, or the diff of a file of 80 kB would be one line.
	if diff := cmp.Diff(want, got, cmp.Transformer("text", func(b []byte) string { return string(b) })); diff != "" {
		t.Errorf("internal/istio/crds is stale; run go generate ./internal/istio (-generated +committed):\n%s", diff)
	}
}

func TestReduceRefuses(t *testing.T) {
	for _, tc := range []struct{ reason, origin, want string }{
		{
			reason: "a managed kind is gone",
			origin: "kind: CustomResourceDefinition\nmetadata: {name: x}\n",
			want:   "it has no CRD gateways.networking.istio.io, which istio.Kinds names",
		},
		{
			reason: "the version that we write is gone",
			origin: "kind: CustomResourceDefinition\nmetadata: {name: gateways.networking.istio.io}\nspec: {names: {kind: Gateway}, versions: [{name: v2}]}\n",
			want:   "CRD gateways.networking.istio.io: it has no version v1",
		},
		{
			reason: "the version that we write is no longer served",
			origin: "kind: CustomResourceDefinition\nmetadata: {name: gateways.networking.istio.io}\nspec: {names: {kind: Gateway}, versions: [{name: v1}]}\n",
			want:   "CRD gateways.networking.istio.io: version v1 is not served",
		},
	} {
		_, err := reduce([]byte(tc.origin))
		if err == nil || err.Error() != tc.want {
			t.Errorf("%s: got error %v, want %s", tc.reason, err, tc.want)
		}
	}
}
