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
	"github.com/isthmus-mesh/isthmus/test/support/long"
)

// Publishers in Go and the resources that the CUE module renders agree, on random meshes of all
// topologies.
func TestPublishersAreThoseThatCUERenders(t *testing.T) {
	module, err := source.FromDir(context.Background(), filepath.Join("..", "..", "examples", "quickstart"), source.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(module.Files, func(name string, _ source.Blob) bool {
		return name == "clusters.cue" || strings.HasPrefix(name, "services/")
	})
	compared, meshes := 0, long.Or(30, 90)
	for seed := range uint64(meshes) {
		snapshot := &source.Snapshot{Files: maps.Clone(module.Files)}
		written := randomMesh(rand.New(rand.NewPCG(seed, 7)))
		snapshot.Files["services/random.cue"] = source.Blob{Data: []byte(written)}
		for _, cluster := range []string{"a", "b", "c"} {
			result, err := evaluate.Evaluate(context.Background(), snapshot, evaluate.Options{Cluster: cluster})
			var findings manifest.Findings
			if errors.As(err, &findings) {
				// The module does not support all combinations.
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			compared++
			if d := gocmp.Diff(rendered(t, result, cluster), publishersByCallee(t, result.Mesh, cluster)); d != "" {
				t.Errorf("seed %d, cluster %s (-CUE +Go):\n%s\n%s", seed, cluster, d, written)
			}
		}
	}
	if compared < meshes {
		t.Errorf("only %d clusters were compared", compared)
	}
}

// publishersByCallee returns the clusters that accept calls from a cluster or its remotes, by
// callee.
func publishersByCallee(t *testing.T, m *manifest.Mesh, cluster string) map[string][]string {
	t.Helper()
	view, err := mesh.NewView(m, cluster)
	if err != nil {
		t.Fatal(err)
	}
	publishers := map[string][]string{}
	for _, call := range view.Calls {
		at := publishers[call.Callee]
		for _, from := range mesh.Configures(m, cluster) {
			if calls(m, call, from) {
				at = slices.Concat(append(slices.Collect(maps.Values(mesh.Publishers(m, from, call.Callee))), at)...)
			}
		}
		slices.Sort(at)
		publishers[call.Callee] = slices.Compact(at)
	}
	return publishers
}

// calls reports whether a call comes from a cluster.
func calls(m *manifest.Mesh, call mesh.Call, from string) bool {
	caller := call.Caller
	if caller == mesh.PublicGateway {
		if m.Clusters[from].PublicGateway == nil {
			return false
		}
		caller = call.Callee // randomMesh exposes services where they run
	}
	_, placed := m.Services[caller].Placement[from]
	return placed
}

// rendered returns the clusters of the endpoints and pods in caller-side ServiceEntries, by callee.
func rendered(t *testing.T, result *evaluate.Result, cluster string) map[string][]string {
	t.Helper()
	publishers := map[string][]string{}
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
		if entry.Kind != "ServiceEntry" || entry.Metadata.Labels["isthmus.dev/side"] == "publish" {
			continue
		}
		at := publishers[service]
		for _, e := range entry.Spec.Endpoints {
			at = append(at, e.Labels["isthmus.dev/cluster"])
		}
		// Without a label for their cluster, pods are the cluster's own.
		if labels := entry.Spec.WorkloadSelector.Labels; labels != nil && labels["isthmus.dev/no-endpoint"] == "" {
			at = append(at, cmp.Or(labels["topology.istio.io/cluster"], cluster))
		}
		slices.Sort(at)
		publishers[service] = slices.Compact(at)
	}
	return publishers
}

// randomMesh returns three clusters and four services in CUE.
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
