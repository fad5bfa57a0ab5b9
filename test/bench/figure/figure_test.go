package figure

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLimitIsMissedByMoreThanAQuarter(t *testing.T) {
	for _, tc := range []struct {
		row    Row
		missed bool
		pass   string
		reason string
	}{
		{Row{Limit: 0.5, Measured: 0.5}, false, "yes", "the limit is allowed"},
		{Row{Limit: 0.5, Measured: 0.6}, false, "within a quarter", "within the tolerance"},
		{Row{Limit: 0.5, Measured: 0.63}, true, "**no**", "above the tolerance"},
		{Row{Limit: 0.5, Measured: 0.51, Exact: true}, true, "**no**", "exact limits have no tolerance"},
		{Row{Count: true, Measured: 1}, true, "**no**", "counts have no tolerance"},
		{Row{Count: true}, false, "yes", "a count of 0"},
		{Row{Measured: 7}, false, "", "no limit"},
	} {
		cells := tc.row.Cells()
		if tc.row.Missed() != tc.missed || cells[len(cells)-1] != tc.pass {
			t.Errorf("%s: missed %t, %q", tc.reason, tc.row.Missed(), cells[len(cells)-1])
		}
	}
}

// programs are the commands with a table in the document.
var programs = []string{"test/bench/evaluation", "test/bench/applying", "test/bench/latency"}

func TestKeepReplacesOnlyTheOwnTable(t *testing.T) {
	const ours, others = "test/bench/ours", "test/bench/others"
	section := func(program, table string) string {
		return beginsHere(program) + "\n" + table + "\n" + endsHere + "\nby hand\n"
	}
	file := filepath.Join(t.TempDir(), "benchmarks.md")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("# By hand\n" + section(others, "theirs") + section(ours, "old") + section("test/bench/more", "more"))
	if err := Keep(file, ours, "| new |"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	want := "# By hand\n" + section(others, "theirs") + section(ours, "| new |") + section("test/bench/more", "more")
	if err != nil || string(got) != want {
		t.Errorf("got %q, %v", got, err)
	}
	write("# No marks\n" + section(others, "theirs"))
	if Keep(file, ours, "| new |") == nil {
		t.Error("a document without marks was accepted")
	}
}

func TestDocumentHasThePlaceOfEachTable(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "..", Document))
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range programs {
		if _, rest, begins := strings.Cut(string(data), beginsHere(program)); !begins || !strings.Contains(rest, endsHere) {
			t.Errorf("%s lacks the marks for the table of %s", Document, program)
		}
	}
}
