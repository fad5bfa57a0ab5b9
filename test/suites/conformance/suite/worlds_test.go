package suite

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/promise"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
)

func TestWorlds(t *testing.T) {
	for _, s := range scenes(t) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			if len(s.Moments) > 0 {
				moves(t, s)
				return
			}
			r := s.load(t)
			w := worldOf(r, s.Deviations)
			calls := declared(t, r.Mesh, w)
			if len(calls) == 0 {
				t.Fatal("no service calls another: the world proves nothing")
			}
			m := start(t, w)
			golden(t, s.recorded, text(s.About, check(t, m, calls, s.whole())))
			undeclared(t, r.Mesh, w, m)
			for _, cluster := range slices.Sorted(maps(r.Mesh.Clusters)) {
				t.Run("without pods in "+cluster, func(t *testing.T) {
					d := s.Deviations
					d.NotReady = append(slices.Clone(d.NotReady), promise.Pods{Cluster: cluster})
					failing(t, r, d)
				})
			}
			t.Run("without any pod", func(t *testing.T) {
				d := s.Deviations
				d.NotReady = []promise.Pods{{}}
				failing(t, r, d)
			})
		})
	}
}

// failing checks a world where something is down.
func failing(t *testing.T, r repo.Repo, d promise.Deviations) {
	t.Helper()
	w := worldOf(r, d)
	check(t, start(t, w), declared(t, r.Mesh, w), false)
}

// whole: nothing of the platform is missing.
func (s scene) whole() bool {
	return len(s.Absent)+len(s.NotReady)+len(s.NoSidecar)+len(s.Unreachable) == 0
}

// moves checks the moments between two commits. Callers are promised what the commit says that their own cluster holds.
func moves(t *testing.T, s scene) {
	t.Helper()
	commits := map[string]repo.Repo{"before": s.load(t), "after": s.load(t, filepath.Join(s.dir, "after"))}
	recorded := strings.Builder{}
	for _, moment := range s.Moments {
		w := worldOf(commits["before"], s.Deviations)
		for _, pod := range worldOf(commits["after"], s.Deviations).Pods {
			if !promise.HasPod(w, pod.Cluster, pod.Name) {
				w.Pods = append(w.Pods, pod)
			}
		}
		promise.NumberPods(&w)
		w.Bundles = map[string]map[string]map[string]any{}
		calls := []promise.Call{}
		for _, cluster := range slices.Sorted(maps(moment.Clusters)) {
			held := commits[moment.Clusters[cluster]]
			w.Bundles[cluster] = held.Bundles[cluster]
			calls = append(calls, declared(t, held.Mesh, w, cluster)...)
		}
		t.Run(moment.Name, func(t *testing.T) {
			recorded.WriteString(text(fmt.Sprintf("Moment: %s.", moment.Name), check(t, start(t, w), calls, false)))
			recorded.WriteString("\n")
		})
	}
	golden(t, s.recorded, s.About+"\n\n"+recorded.String())
}
