package suite

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/promise"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/random"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/trace"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/world"
)

var (
	seed   = flag.Uint64("seed", 0, "run the random mesh of this seed alone, with its manifests kept")
	meshes = flag.Int("meshes", 200, "how many random meshes")
)

// TestRandom: every declared call with a living publisher arrives, and only there, in the order that is promised; every other fails with an error.
// So it is in a mesh that is whole, and with something down.
func TestRandom(t *testing.T) {
	seeds := []uint64{}
	for s := range uint64(*meshes) {
		seeds = append(seeds, s+1)
	}
	if *seed != 0 {
		seeds = []uint64{*seed}
	}
	for _, s := range seeds {
		t.Run(fmt.Sprintf("seed %d", s), func(t *testing.T) {
			t.Parallel()
			mesh, dir := accepted(t, s)
			problems := broken(t, dir, s)
			if len(problems) == 0 {
				return
			}
			mesh, problems = shrink(t, mesh, problems)
			t.Errorf("go test ./suite -run Random -seed %d, with services %v:\n%s", s, mesh.ServiceNames(), strings.Join(problems, "\n"))
			if *seed != 0 {
				keep(t, mesh)
			}
		})
	}
}

// accepted draws from a seed, less and less boldly, until isthmus vet has nothing against it.
func accepted(t *testing.T, s uint64) (random.Mesh, string) {
	t.Helper()
	for _, boldness := range []float64{1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0} {
		mesh := random.Make(s, boldness)
		if dir, ok := write(t, mesh); ok {
			return mesh, dir
		}
	}
	t.Fatal("isthmus vet accepts none, not even the plainest")
	return random.Mesh{}, ""
}

// write puts a mesh into a folder of its own; false if isthmus vet refuses it.
func write(t *testing.T, mesh random.Mesh) (string, bool) {
	t.Helper()
	dir := t.TempDir()
	if err := mesh.Write(dir); err != nil {
		t.Fatal(err)
	}
	if err := isthmus.Copy(dir, filepath.Join(worldsDir, "common")); err != nil {
		t.Fatal(err)
	}
	messages, err := isthmus.Vet(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, len(messages) == 0
}

// broken lists the promises that a mesh does not keep, whole and with something down that the seed chooses.
func broken(t *testing.T, dir string, s uint64) []string {
	t.Helper()
	r, err := repo.Load(isthmus, dir)
	if err != nil {
		t.Fatal(err)
	}
	w := worldOf(r, promise.Deviations{})
	m := start(t, w)
	_, problems := judge(m, declared(t, r.Mesh, w), true)
	_, more := judge(m, promise.Undeclared(r.Mesh, w), false)
	problems = append(problems, more...)
	problems = append(problems, knock(m, promise.Knocks(r.Mesh, w))...)

	d, what := failure(s, r.Mesh)
	w = worldOf(r, d)
	_, more = judge(start(t, w), declared(t, r.Mesh, w), false)
	for _, p := range more {
		problems = append(problems, "with "+what+": "+p)
	}
	return problems
}

// failure is what the seed lets fail.
func failure(s uint64, m repo.Mesh) (promise.Deviations, string) {
	draw := rand.New(rand.NewPCG(s, 1))
	clusters, services := slices.Sorted(maps(m.Clusters)), slices.Sorted(maps(m.Services))
	cluster, service := clusters[draw.IntN(len(clusters))], services[draw.IntN(len(services))]
	switch draw.IntN(4) {
	case 0:
		return promise.Deviations{NotReady: []promise.Pods{{Cluster: cluster}}}, "no pod ready in " + cluster
	case 1:
		return promise.Deviations{NotReady: []promise.Pods{{Service: service}}}, "no pod of " + service + " ready"
	case 2:
		return promise.Deviations{Unreachable: []string{cluster}}, "the gateways of " + cluster + " unreachable"
	}
	return promise.Deviations{NotReady: []promise.Pods{{}}}, "no pod ready anywhere"
}

// shrink takes services away as long as something stays broken.
func shrink(t *testing.T, mesh random.Mesh, problems []string) (random.Mesh, []string) {
	t.Helper()
	for _, name := range mesh.ServiceNames() {
		smaller := mesh.Without(name)
		if len(smaller.Services) == 0 {
			continue
		}
		dir, ok := write(t, smaller)
		if !ok {
			continue
		}
		if left := broken(t, dir, mesh.Seed); len(left) > 0 {
			mesh, problems = smaller, left
		}
	}
	return mesh, problems
}

// keep leaves the manifests for a person to look at.
func keep(t *testing.T, mesh random.Mesh) {
	t.Helper()
	dir, err := os.MkdirTemp("", fmt.Sprintf("isthmus-seed-%d-", mesh.Seed))
	if err != nil {
		t.Fatal(err)
	}
	if err := mesh.Write(dir); err != nil {
		t.Fatal(err)
	}
	if err := isthmus.Copy(dir, filepath.Join(worldsDir, "common")); err != nil {
		t.Fatal(err)
	}
	t.Logf("the mesh repository is in %s", dir)
}

// knock tries the gateways themselves.
func knock(m *trace.Mesh, knocks []promise.Knock) []string {
	problems := []string{}
	for _, k := range knocks {
		for _, problem := range promise.Judge(k.Call, m.TraceGateway(k.Cluster, k.SNI, k.Identity), false) {
			problems = append(problems, fmt.Sprintf("a stranger at the gateway of %s asks for %s %s: %s", k.Cluster, k.SNI, k.Call.Case, problem))
		}
	}
	return problems
}

// undeclared tries what no manifest declares, over the hosts and at the gateways themselves.
func undeclared(t *testing.T, mesh repo.Mesh, w world.World, m *trace.Mesh) {
	t.Helper()
	check(t, m, promise.Undeclared(mesh, w), false)
	for _, problem := range knock(m, promise.Knocks(mesh, w)) {
		t.Error(problem)
	}
}
