package meshmodule_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/isthmus-mesh/isthmus/test/bench"
	"github.com/isthmus-mesh/isthmus/test/support/cuecmd"
	"github.com/isthmus-mesh/isthmus/test/support/long"
)

// cost of an evaluation: CUE's counters, allocated bytes, CPU seconds.
type cost struct {
	Unifications, Conjuncts, Bytes, CPU float64
}

// Twice the services cost about twice as much. Quadratic CUE is easy to write and hard to see.
// Counters and bytes do not depend on the machine. CPU time also covers work that they do not
// count; the test takes the least of several runs, because other processes add to it.
func TestExportCostIsLinear(t *testing.T) {
	services := long.Or(500, 1000)
	cue := cuecmd.Path(t)
	small, large := repository(t, services), repository(t, 2*services)
	const most = 2.5
	var ratio cost
	for range 3 {
		a, b := export(t, cue, small), export(t, cue, large)
		now := cost{b.Unifications / a.Unifications, b.Conjuncts / a.Conjuncts, b.Bytes / a.Bytes, b.CPU / a.CPU}
		if ratio.CPU == 0 || now.CPU < ratio.CPU {
			ratio = now
		}
		if ratio.CPU <= most {
			break
		}
	}
	t.Logf("%d services against %d: %+v times", 2*services, services, ratio)
	if max(ratio.Unifications, ratio.Conjuncts, ratio.Bytes, ratio.CPU) > most {
		t.Errorf("%d services cost %+v times as much as %d, at most %.1f is linear", 2*services, ratio, services, most)
	}
}

func repository(t *testing.T, services int) string {
	t.Helper()
	dir := t.TempDir()
	if err := (bench.Repository{Services: services, Clusters: 10, Seed: 1}).Write(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func export(t *testing.T, cue, dir string) cost {
	t.Helper()
	stats := filepath.Join(t.TempDir(), "stats.json")
	cmd := exec.Command(cue, "export", "-t", "cluster=c0", "-e", "resources", "./services")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CUE_STATS_FILE="+stats, "GOGC=400")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("cue export: %v\n%.2000s", err, out)
	}
	data, err := os.ReadFile(stats)
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		CUE struct{ Unifications, Conjuncts float64 }
		Go  struct{ AllocBytes float64 }
	}
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	c := cost{s.CUE.Unifications, s.CUE.Conjuncts, s.Go.AllocBytes, cmd.ProcessState.UserTime().Seconds()}
	if min(c.Unifications, c.Conjuncts, c.Bytes, c.CPU) == 0 {
		t.Fatalf("cue reported no cost: %s", data)
	}
	return c
}
