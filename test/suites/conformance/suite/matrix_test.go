package suite

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/promise"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
)

// piece is a file of the matrix; its first line is its title.
type piece struct {
	file, title string
}

func pieces(t *testing.T, kind string) []piece {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(worldsDir, "matrix", kind, "*.cue"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s (%v)", kind, err)
	}
	all := []piece{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(data), "\n")
		all = append(all, piece{file, strings.TrimPrefix(first, "// ")})
	}
	return all
}

// TestMatrix tries every feature in every topology: isthmus vet refuses the mesh repository, or its promises are kept. The outcome is the
// table in docs/topologies.md.
func TestMatrix(t *testing.T) {
	topologies, features := pieces(t, "topologies"), pieces(t, "features")
	refusals := map[[2]int][]string{}
	lock := sync.Mutex{}
	t.Run("all", func(t *testing.T) {
		for i, topology := range topologies {
			for j, feature := range features {
				t.Run(topology.title+"/"+feature.title, func(t *testing.T) {
					t.Parallel()
					messages := combine(t, topology.file, feature.file)
					lock.Lock()
					defer lock.Unlock()
					refusals[[2]int{i, j}] = messages
				})
			}
		}
	})
	if t.Failed() {
		t.Fatal("the table is not written from a matrix with failures")
	}
	table(t, topologies, features, refusals)
}

// combine is nil for promises that are kept, and what isthmus vet says otherwise.
func combine(t *testing.T, topology, feature string) []string {
	t.Helper()
	dir := t.TempDir()
	if err := isthmus.Compose(dir, filepath.Join(worldsDir, "common", "mesh.cue"), topology, feature); err != nil {
		t.Fatal(err)
	}
	messages, err := isthmus.Vet(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if !strings.HasPrefix(m, "service ") && !strings.HasPrefix(m, "cluster ") && !strings.HasPrefix(m, "host ") {
			t.Errorf("isthmus vet finds a mistake instead of an unsupported combination: %s", m)
		}
	}
	if len(messages) > 0 {
		return messages
	}
	r, err := repo.Load(isthmus, dir)
	if err != nil {
		t.Fatal(err)
	}
	w := worldOf(r, promise.Deviations{})
	calls := declared(t, r.Mesh, w)
	if len(calls) == 0 {
		t.Fatal("nobody calls")
	}
	m := start(t, w)
	check(t, m, calls, true)
	undeclared(t, r.Mesh, w, m)
	return nil
}

const (
	tableBegin = "<!-- combinations:begin -->"
	tableEnd   = "<!-- combinations:end -->"
)

// table holds the part of docs/topologies.md between the markers against the outcome.
func table(t *testing.T, topologies, features []piece, refusals map[[2]int][]string) {
	t.Helper()
	path := filepath.Join(repo.Root(), "docs", "topologies.md")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(data), tableBegin)
	_, after, closed := strings.Cut(rest, tableEnd)
	if !found || !closed {
		t.Fatalf("%s lacks the markers %s and %s", path, tableBegin, tableEnd)
	}
	golden(t, path, before+tableBegin+"\n"+tableText(topologies, features, refusals)+tableEnd+after)
}

func tableText(topologies, features []piece, refusals map[[2]int][]string) string {
	out := strings.Builder{}
	head, rule := "| |", "|---|"
	for _, topology := range topologies {
		head += " " + topology.title + " |"
		rule += ":-:|"
	}
	fmt.Fprintf(&out, "%s\n%s\n", head, rule)
	notes := []string{}
	for j, feature := range features {
		fmt.Fprintf(&out, "| %s |", feature.title)
		for i := range topologies {
			cell := "yes"
			if messages := refusals[[2]int{i, j}]; len(messages) > 0 {
				n := slices.Index(notes, messages[0])
				if n < 0 {
					notes = append(notes, messages[0])
					n = len(notes) - 1
				}
				cell = fmt.Sprintf("no (%d)", n+1)
			}
			fmt.Fprintf(&out, " %s |", cell)
		}
		out.WriteString("\n")
	}
	out.WriteString("\n*yes*: traced through Istio's own translation, every declared call and, where guarded, undeclared ones. *no*: `isthmus vet` refuses it, saying:\n\n")
	for n, note := range notes {
		fmt.Fprintf(&out, "%d. %s\n", n+1, note)
	}
	return out.String()
}
