package suite

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/expected"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
)

func TestScenarioCallsMatchTheirManifests(t *testing.T) {
	for _, s := range scenarioFolders(t) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			if len(s.Moments) > 0 {
				checkMoments(t, s)
				return
			}
			r := s.load(t)
			sc := newScenario(r, s.Deviations)
			calls := declaredCalls(t, r.Mesh, sc)
			if len(calls) == 0 {
				t.Fatal("no service calls another one, so the scenario tests nothing")
			}
			m := start(t, sc)
			golden(t, s.recorded, formatTraces(s.About, checkCalls(t, m, calls, s.healthy())))
			checkUndeclared(t, r.Mesh, sc, m)
			for _, cluster := range slices.Sorted(maps.Keys(r.Mesh.Clusters)) {
				t.Run("without pods in "+cluster, func(t *testing.T) {
					d := s.Deviations
					d.NotReady = append(slices.Clone(d.NotReady), expected.Pods{Cluster: cluster})
					checkFailure(t, r, d)
				})
			}
			t.Run("without any pod", func(t *testing.T) {
				d := s.Deviations
				d.NotReady = []expected.Pods{{}}
				checkFailure(t, r, d)
			})
		})
	}
}

// checkFailure checks the declared calls with pods that are down.
func checkFailure(t *testing.T, r repo.Repo, d expected.Deviations) {
	t.Helper()
	sc := newScenario(r, d)
	checkCalls(t, start(t, sc), declaredCalls(t, r.Mesh, sc), false)
}

// healthy reports whether the platform has no failure.
func (s scenarioFolder) healthy() bool {
	return len(s.Absent)+len(s.NotReady)+len(s.NoSidecar)+len(s.Unreachable) == 0
}

// checkMoments checks the states between two commits. The expected result of a call follows from
// the commit that the caller's own cluster has applied.
func checkMoments(t *testing.T, s scenarioFolder) {
	t.Helper()
	commits := map[string]repo.Repo{"before": s.load(t), "after": s.load(t, filepath.Join(s.dir, "after"))}
	recorded := strings.Builder{}
	for _, moment := range s.Moments {
		sc := newScenario(commits["before"], s.Deviations)
		for _, pod := range newScenario(commits["after"], s.Deviations).Pods {
			if !expected.HasPod(sc, pod.Cluster, pod.Name) {
				sc.Pods = append(sc.Pods, pod)
			}
		}
		expected.AssignPodIPs(&sc)
		sc.Bundles = map[string]map[string]map[string]any{}
		calls := []expected.Call{}
		for _, cluster := range slices.Sorted(maps.Keys(moment.Clusters)) {
			applied := commits[moment.Clusters[cluster]]
			sc.Bundles[cluster] = applied.Bundles[cluster]
			calls = append(calls, declaredCalls(t, applied.Mesh, sc, cluster)...)
		}
		t.Run(moment.Name, func(t *testing.T) {
			recorded.WriteString(formatTraces(fmt.Sprintf("Moment: %s.", moment.Name), checkCalls(t, start(t, sc), calls, false)))
			recorded.WriteString("\n")
		})
	}
	golden(t, s.recorded, s.About+"\n\n"+recorded.String())
}
