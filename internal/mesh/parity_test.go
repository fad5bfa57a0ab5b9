package mesh_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/mesh"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// The CUE module decides who publishes what to whom, and so does this package. On meshes of every topology, made at random, they
// have to agree.
func TestTheViewIsTheOneThatCUERenders(t *testing.T) {
	module, err := source.FromDir(context.Background(), filepath.Join("..", "..", "examples", "quickstart"), source.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(module.Files, func(name string, _ source.Blob) bool {
		return name == "clusters.cue" || strings.HasPrefix(name, "services/")
	})
	compared := 0
	for seed := range uint64(90) {
		snapshot := &source.Snapshot{Files: maps.Clone(module.Files)}
		written := randomMesh(rand.New(rand.NewPCG(seed, 7)))
		snapshot.Files["services/random.cue"] = source.Blob{Data: []byte(written)}
		for _, cluster := range []string{"a", "b", "c"} {
			result, err := evaluate.Evaluate(context.Background(), snapshot, evaluate.Options{Cluster: cluster})
			var findings manifest.Findings
			if errors.As(err, &findings) {
				// Not every combination is one that the module allows.
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			view, err := mesh.NewView(result.Mesh, cluster)
			if err != nil {
				t.Fatal(err)
			}
			compared++
			if d := gocmp.Diff(rendered(t, result, cluster), viewed(view)); d != "" {
				t.Errorf("seed %d, cluster %s: CUE (-) and Go (+):\n%s\n%s", seed, cluster, d, written)
			}
		}
	}
	if compared < 90 {
		t.Errorf("only %d views could be compared", compared)
	}
}

// sides is what both have to agree on: the published services, and for each called one the clusters whose pods or gateways take calls.
type sides struct {
	Published []string
	Takes     map[string][]string
}

func viewed(v *mesh.View) sides {
	s := sides{Published: v.Publishes, Takes: map[string][]string{}}
	for _, c := range v.Calls {
		at := slices.Concat(append(slices.Collect(maps.Values(c.Publishers)), s.Takes[c.Callee])...)
		slices.Sort(at)
		s.Takes[c.Callee] = slices.Compact(at)
	}
	return s
}

func rendered(t *testing.T, result *evaluate.Result, cluster string) sides {
	t.Helper()
	s := sides{Takes: map[string][]string{}}
	for _, raw := range result.Rendered {
		var entry struct {
			Kind     string
			Metadata struct{ Labels map[string]string }
			Spec     struct {
				WorkloadSelector struct{ Labels map[string]string }
				Endpoints        []struct{ Labels map[string]string }
			}
		}
		if err := json.Unmarshal(raw, &entry); err != nil {
			t.Fatal(err)
		}
		service := entry.Metadata.Labels["isthmus.dev/service"]
		switch {
		case entry.Kind != "ServiceEntry":
			continue
		case entry.Metadata.Labels["isthmus.dev/side"] == "publish":
			s.Published = append(s.Published, service)
			continue
		}
		at := s.Takes[service]
		for _, e := range entry.Spec.Endpoints {
			at = append(at, e.Labels["isthmus.dev/cluster"])
		}
		// Pods say their cluster where several could be meant, and else are the cluster's own.
		if labels := entry.Spec.WorkloadSelector.Labels; labels != nil && labels["isthmus.dev/no-endpoint"] == "" {
			at = append(at, cmp.Or(labels["topology.istio.io/cluster"], cluster))
		}
		slices.Sort(at)
		s.Takes[service] = slices.Compact(at)
	}
	slices.Sort(s.Published)
	s.Published = slices.Compact(s.Published)
	return s
}

// randomMesh is three clusters and four services in CUE.
func randomMesh(r *rand.Rand) string {
	var b strings.Builder
	maybe := func(in int, format string, args ...any) {
		if r.IntN(in) == 0 {
			fmt.Fprintf(&b, format, args...)
		}
	}
	b.WriteString("package config\n\n")
	for i, c := range []string{"a", "b", "c"} {
		fmt.Fprintf(&b, "clusters: %s: {region: \"r\", gateways: [{address: \"192.0.2.%d\"}]\n", c, i+1)
		fmt.Fprintf(&b, "\tstate: %q\n", []string{"active", "active", "draining", "down"}[r.IntN(4)])
		maybe(2, "\tnetwork: \"shared\"\n")
		maybe(3, "\tpublicGateway: {}\n")
		switch {
		case c != "a" && r.IntN(4) == 0:
			b.WriteString("\tcontrolPlane: {kind: \"remote\", primary: \"a\"}\n")
		case r.IntN(2) == 0:
			b.WriteString("\tdiscovery: \"g\"\n")
		}
		b.WriteString("}\n")
	}
	for s := range 4 {
		fmt.Fprintf(&b, "services: s%d: {owner: \"o\", ports: http: {port: 80, protocol: \"HTTP\"}\n", s)
		fmt.Fprintf(&b, "\tbackend: {namespace: \"s%d\", selector: app: \"s%d\", serviceAccounts: [\"s\"]}\n", s, s)
		for i, c := range []string{"a", "b", "c"} {
			if r.IntN(2) == 0 {
				fmt.Fprintf(&b, "\tplacement: %s: {}\n", c)
				maybe(3, "\tplacement: %s: address: \"10.0.%d.%d\"\n", c, i, s)
			}
		}
		for e := range 4 {
			if e != s {
				maybe(3, "\tegress: s%d: {}\n", e)
			}
		}
		maybe(6, "\tspread: \"local-only\"\n")
		maybe(4, "\texpose: credentialName: \"x\"\n")
		b.WriteString("}\n")
	}
	return b.String()
}
