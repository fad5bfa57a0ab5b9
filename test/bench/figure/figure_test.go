package figure

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestABarIsMissedByMoreThanAQuarter(t *testing.T) {
	for _, tc := range []struct {
		row    Row
		missed bool
		pass   string
		reason string
	}{
		{Row{Bar: 0.5, Measured: 0.5}, false, "yes", "the bar is the most that is allowed"},
		{Row{Bar: 0.5, Measured: 0.6}, false, "within a quarter", "noise of the machine"},
		{Row{Bar: 0.5, Measured: 0.63}, true, "**no**", "more than noise"},
		{Row{Bar: 0.5, Measured: 0.51, Exact: true}, true, "**no**", "no noise excuses it"},
		{Row{Count: true, Measured: 1}, true, "**no**", "a count has no noise"},
		{Row{Count: true}, false, "yes", "nothing was done"},
		{Row{Measured: 7}, false, "", "shown, not judged"},
	} {
		cells := tc.row.Cells()
		if tc.row.Missed() != tc.missed || cells[len(cells)-1] != tc.pass {
			t.Errorf("%s: missed %t, %q", tc.reason, tc.row.Missed(), cells[len(cells)-1])
		}
	}
}

// programs are those whose tables are kept.
var programs = []string{"test/bench/evaluation", "test/bench/applying"}

func TestATableIsKeptBetweenItsMarks(t *testing.T) {
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
		t.Error("a document without marks was taken")
	}
}

func TestTheDocumentHasAPlaceForEachTable(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "..", Document))
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range programs {
		if _, rest, begins := strings.Cut(string(data), beginsHere(program)); !begins || !strings.Contains(rest, endsHere) {
			t.Errorf("%s has no place for the table of %s", Document, program)
		}
	}
}
