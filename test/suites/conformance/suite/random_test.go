package suite

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/expected"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/random"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/scenario"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/trace"
)

var (
	seed   = flag.Uint64("seed", 0, "run only the random mesh of this seed, and keep its manifests")
	meshes = flag.Int("meshes", 0, "number of random meshes; 0 means 60, and 200 if ISTHMUS_LONG is set")
)

// Every declared call arrives at the expected pods only, in the expected order. It fails with an
// error if no publisher is up. This is checked in a healthy mesh and with one failure.
func TestRandomMeshesMatchTheirManifests(t *testing.T) {
	count := *meshes
	switch {
	case count > 0:
	case os.Getenv("ISTHMUS_LONG") != "":
		count = 200
	default:
		count = 60
	}
	seeds := []uint64{}
	for s := range uint64(count) {
		seeds = append(seeds, s+1)
	}
	if *seed != 0 {
		seeds = []uint64{*seed}
	}
	for _, s := range seeds {
		t.Run(fmt.Sprintf("seed %d", s), func(t *testing.T) {
			t.Parallel()
			mesh, dir := acceptedMesh(t, s)
			mismatches := meshMismatches(t, dir, s)
			if len(mismatches) == 0 {
				return
			}
			mesh, mismatches = shrink(t, mesh, mismatches)
			t.Errorf("repeat with: go test ./suite -run Random -seed %d\nmismatches with only the services %v:\n%s",
				s, mesh.ServiceNames(), strings.Join(mismatches, "\n"))
			if *seed != 0 {
				saveMesh(t, mesh)
			}
		})
	}
}

// acceptedMesh generates meshes with decreasing variety until isthmus vet accepts one.
func acceptedMesh(t *testing.T, s uint64) (random.Mesh, string) {
	t.Helper()
	for _, variety := range []float64{1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0} {
		mesh := random.Make(s, variety)
		if dir, ok := writeMesh(t, mesh); ok {
			return mesh, dir
		}
	}
	t.Fatal("isthmus vet rejects even the mesh with the least variety")
	return random.Mesh{}, ""
}

// writeMesh writes a mesh to a temporary folder. It is false if isthmus vet rejects the mesh.
func writeMesh(t *testing.T, mesh random.Mesh) (string, bool) {
	t.Helper()
	dir := t.TempDir()
	if err := mesh.Write(dir); err != nil {
		t.Fatal(err)
	}
	if err := isthmus.Copy(dir, filepath.Join(scenariosDir, "common")); err != nil {
		t.Fatal(err)
	}
	messages, err := isthmus.Vet(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, len(messages) == 0
}

// meshMismatches lists the mismatches of a healthy mesh, and of the mesh with a failure that the
// seed selects.
func meshMismatches(t *testing.T, dir string, s uint64) []string {
	t.Helper()
	r, err := repo.Load(isthmus, dir)
	if err != nil {
		t.Fatal(err)
	}
	sc := newScenario(r, expected.Deviations{})
	m := start(t, sc)
	_, mismatches := compareCalls(m, declaredCalls(t, r.Mesh, sc), true)
	_, more := compareCalls(m, expected.UndeclaredCalls(r.Mesh, sc), false)
	mismatches = append(mismatches, more...)
	mismatches = append(mismatches, unsolicitedMismatches(m, expected.UnsolicitedConnections(r.Mesh, sc))...)

	d, failure := randomFailure(s, r.Mesh)
	sc = newScenario(r, d)
	_, more = compareCalls(start(t, sc), declaredCalls(t, r.Mesh, sc), false)
	for _, text := range more {
		mismatches = append(mismatches, "with "+failure+": "+text)
	}
	return mismatches
}

// randomFailure selects by the seed the pods or gateways that fail.
func randomFailure(s uint64, m repo.Mesh) (expected.Deviations, string) {
	draw := rand.New(rand.NewPCG(s, 1))
	clusters, services := slices.Sorted(maps.Keys(m.Clusters)), slices.Sorted(maps.Keys(m.Services))
	cluster, service := clusters[draw.IntN(len(clusters))], services[draw.IntN(len(services))]
	switch draw.IntN(4) {
	case 0:
		return expected.Deviations{NotReady: []expected.Pods{{Cluster: cluster}}}, "no ready pod in " + cluster
	case 1:
		return expected.Deviations{NotReady: []expected.Pods{{Service: service}}}, "no ready pod of " + service
	case 2:
		return expected.Deviations{Unreachable: []string{cluster}}, "the gateways of " + cluster + " unreachable"
	}
	return expected.Deviations{NotReady: []expected.Pods{{}}}, "no ready pod in any cluster"
}

// shrink removes services while mismatches remain.
func shrink(t *testing.T, mesh random.Mesh, mismatches []string) (random.Mesh, []string) {
	t.Helper()
	for _, name := range mesh.ServiceNames() {
		smaller := mesh.Without(name)
		if len(smaller.Services) == 0 {
			continue
		}
		dir, ok := writeMesh(t, smaller)
		if !ok {
			continue
		}
		if left := meshMismatches(t, dir, mesh.Seed); len(left) > 0 {
			mesh, mismatches = smaller, left
		}
	}
	return mesh, mismatches
}

// saveMesh writes the repository to a folder that is not deleted after the test.
func saveMesh(t *testing.T, mesh random.Mesh) {
	t.Helper()
	dir, err := os.MkdirTemp("", fmt.Sprintf("isthmus-seed-%d-", mesh.Seed))
	if err != nil {
		t.Fatal(err)
	}
	if err := mesh.Write(dir); err != nil {
		t.Fatal(err)
	}
	if err := isthmus.Copy(dir, filepath.Join(scenariosDir, "common")); err != nil {
		t.Fatal(err)
	}
	t.Logf("the mesh repository is in %s", dir)
}

// unsolicitedMismatches traces unsolicited connections to port 15443 of the gateways.
func unsolicitedMismatches(m *trace.Mesh, connections []expected.UnsolicitedConnection) []string {
	mismatches := []string{}
	for _, c := range connections {
		for _, text := range expected.Compare(c.Call, m.TraceGateway(c.Cluster, c.SNI, c.Identity), false) {
			mismatches = append(mismatches, fmt.Sprintf("unsolicited connection to the gateway of %s for %s %s: %s", c.Cluster, c.SNI, c.Call.Case, text))
		}
	}
	return mismatches
}

// checkUndeclared checks calls and connections to gateways that no manifest declares.
func checkUndeclared(t *testing.T, mesh repo.Mesh, sc scenario.Scenario, m *trace.Mesh) {
	t.Helper()
	checkCalls(t, m, expected.UndeclaredCalls(mesh, sc), false)
	for _, text := range unsolicitedMismatches(m, expected.UnsolicitedConnections(mesh, sc)) {
		t.Error(text)
	}
}
