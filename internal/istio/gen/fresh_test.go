package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The committed files are those that the generator makes from the version of istio.io/api in
// go.mod.
func TestCRDsAreFresh(t *testing.T) {
	// The go command reads go.mod. go test caches the result by the files that the test itself
	// opens.
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
	// As strings, so that the diff is by line.
	if diff := cmp.Diff(want, got, cmp.Transformer("text", func(b []byte) string { return string(b) })); diff != "" {
		t.Errorf("internal/istio/crds is stale; run go generate ./internal/istio (-generated +committed):\n%s", diff)
	}
}

func TestReduceRejects(t *testing.T) {
	for _, tc := range []struct{ reason, origin, want string }{
		{
			reason: "no CRD of a managed kind",
			origin: "kind: CustomResourceDefinition\nmetadata: {name: x}\n",
			want:   "CRD gateways.networking.istio.io of istio.Kinds is missing",
		},
		{
			reason: "no version that Isthmus writes",
			origin: "kind: CustomResourceDefinition\nmetadata: {name: gateways.networking.istio.io}\nspec: {names: {kind: Gateway}, versions: [{name: v2}]}\n",
			want:   "CRD gateways.networking.istio.io: it has no version v1",
		},
		{
			reason: "the version that Isthmus writes is not served",
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
