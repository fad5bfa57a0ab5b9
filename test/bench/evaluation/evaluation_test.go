package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/sandbox"
	"github.com/isthmus-mesh/isthmus/test/bench"
	"github.com/isthmus-mesh/isthmus/test/bench/figure"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	if len(os.Args) == 2 {
		switch arg := os.Args[1]; arg {
		case controllerCommand:
			main()
			return
		case touchOnce, touchTwice:
			if touch(arg == touchTwice) != nil {
				os.Exit(1)
			}
			return
		}
	}
	os.Exit(m.Run())
}

func tinyPlan() plan {
	r := bench.Repository{Services: 40, Clusters: 3, Seed: seed}
	return plan{
		cold:    []coldFigure{{repo: r, time: 1000, memory: 0.2}}, // a missed limit would repeat the measurement
		changed: []changedFigure{{repo: r, commits: 3, limit: 400 * figure.Megabyte, judged: true}},
		changes: len(kinds), warm: 1,
		small: bench.Repository{Services: 5, Clusters: 2, Seed: seed}, large: r, smallTimes: 1,
		verify: true,
	}
}

// The sizes are too small to judge. The test checks that both sides have the same output and that
// changes give the same bundle as an evaluation from scratch.
func TestTinyRunMeasuresEveryFigure(t *testing.T) {
	if testing.Short() {
		t.Skip("runs real processes: left out with -short")
	}
	var log bytes.Buffer
	b, err := newBenchmark(t.Context(), tinyPlan(), filepath.Join("..", "..", ".."), t.TempDir(), &log)
	if err != nil {
		t.Fatal(err)
	}
	report, err := b.run(t.Context())
	t.Log(log.String())
	if err != nil {
		t.Fatal(err)
	}
	text := report.String()
	t.Log(text)
	for _, figure := range []string{
		"cold, 40 services", "the same: memory", "restart on the warm cache", "one service changed", "the evaluation alone", "nothing changed here",
		"controller's memory after 3 commits", "growth since the first 1", "growth from 5 to 40 services, 3 clusters: time", "memory of each",
	} {
		if !strings.Contains(text, figure) {
			t.Errorf("the table lacks %q", figure)
		}
	}
	for _, r := range report.Rows {
		if r.Measured <= 0 && !r.Count {
			t.Errorf("%s: measured %v", r.Figure, r.Measured)
		}
		if r.Count && r.Missed() {
			t.Errorf("%s: %v", r.Figure, r.Measured)
		}
	}
}

func TestCompareIgnoresOrderAndLayout(t *testing.T) {
	write := func(text string) string {
		file := filepath.Join(t.TempDir(), "f.json")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	a := write(`{"A/b/c": {"x": 1, "y": [1, 2]}, "D/e/f": {}}`)
	for _, tc := range []struct {
		text   string
		same   bool
		reason string
	}{
		{"{\n \"D/e/f\": {}, \"A/b/c\": {\"y\": [1,2], \"x\": 1}}\n", true, "another order, another layout"},
		{`{"A/b/c": {"x": 1, "y": [2, 1]}, "D/e/f": {}}`, false, "the order of a list matters"},
		{`{"A/b/c": {"x": 1.0, "y": [1, 2]}, "D/e/f": {}}`, false, "numbers are compared as they are written"},
		{`{"A/b/c": {"x": 1, "y": [1, 2]}}`, false, "a missing resource"},
		{`{"A/b/c": {"x": 1, "y": [1, 2]}, "D/e/f": {}, "G/h/i": {}}`, false, "an additional resource"},
		{`{"A/b/c": {"x": 1, "y": [1, 2]}, "D/e/f": {}`, false, "truncated"},
		{`{"A/b/c": {"x": 1, "y": [1, 2]}, "D/e/f": {}} {}`, false, "trailing data"},
	} {
		n, err := compare(a, write(tc.text))
		if (err == nil) != tc.same || tc.same && n != 2 {
			t.Errorf("%s: %d resources, %v", tc.reason, n, err)
		}
	}
}

func TestMemoryOfDescendantsIsMeasured(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	u, err := measure(t.Context(), t.TempDir(), os.DevNull, program, touchTwice)
	if err != nil {
		t.Fatal(err)
	}
	if u.own < touched || u.children < touched || u.memory < 2*touched || u.memory > 4*touched || u.wall < touchTime {
		t.Errorf("two processes use %s each: %s", figure.Bytes(touched), u)
	}
}

// With these arguments the test binary allocates memory for a while, in one or two processes.
const (
	touchOnce, touchTwice = "touch", "touch-twice"
	touched               = 128 << 20
	touchTime             = 300 * time.Millisecond
)

func touch(again bool) error {
	memory := bytes.Repeat([]byte{1}, touched)
	defer runtime.KeepAlive(memory)
	if !again {
		time.Sleep(touchTime)
		return nil
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	return exec.Command(program, touchOnce).Run()
}
