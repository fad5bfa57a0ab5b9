package suite

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/expected"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
)

// matrixFile is a topology or a feature. The first line of the file is its title.
type matrixFile struct {
	file, title string
}

func matrixFiles(t *testing.T, kind string) []matrixFile {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(scenariosDir, "matrix", kind, "*.cue"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files of %s (%v)", kind, err)
	}
	all := []matrixFile{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(data), "\n")
		all = append(all, matrixFile{file, strings.TrimPrefix(first, "// ")})
	}
	return all
}

// The table in docs/topologies.md is generated from the result.
func TestEveryCombinationWorksOrIsRejected(t *testing.T) {
	topologies, features := matrixFiles(t, "topologies"), matrixFiles(t, "features")
	rejections := map[[2]int][]string{}
	lock := sync.Mutex{}
	t.Run("all", func(t *testing.T) {
		for i, topology := range topologies {
			for j, feature := range features {
				t.Run(topology.title+"/"+feature.title, func(t *testing.T) {
					t.Parallel()
					messages := checkCombination(t, topology.file, feature.file)
					lock.Lock()
					defer lock.Unlock()
					rejections[[2]int{i, j}] = messages
				})
			}
		}
	})
	if t.Failed() {
		t.Fatal("the table is not written, because combinations failed")
	}
	checkTable(t, topologies, features, rejections)
}

// checkCombination returns the messages of isthmus vet if it rejects the combination. Otherwise it
// checks the calls and returns nil.
func checkCombination(t *testing.T, topology, feature string) []string {
	t.Helper()
	dir := t.TempDir()
	if err := isthmus.Compose(dir, filepath.Join(scenariosDir, "common", "mesh.cue"), topology, feature); err != nil {
		t.Fatal(err)
	}
	messages, err := isthmus.Vet(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if !strings.HasPrefix(m, "service ") && !strings.HasPrefix(m, "cluster ") && !strings.HasPrefix(m, "host ") {
			t.Errorf("isthmus vet reports an error that is not about an unsupported combination: %s", m)
		}
	}
	if len(messages) > 0 {
		return messages
	}
	r, err := repo.Load(isthmus, dir)
	if err != nil {
		t.Fatal(err)
	}
	sc := newScenario(r, expected.Deviations{})
	calls := declaredCalls(t, r.Mesh, sc)
	if len(calls) == 0 {
		t.Fatal("no service calls another one")
	}
	m := start(t, sc)
	checkCalls(t, m, calls, true)
	checkUndeclared(t, r.Mesh, sc, m)
	return nil
}

const (
	tableBegin = "<!-- combinations:begin -->"
	tableEnd   = "<!-- combinations:end -->"
)

// checkTable compares the part of docs/topologies.md between the markers with the results.
func checkTable(t *testing.T, topologies, features []matrixFile, rejections map[[2]int][]string) {
	t.Helper()
	path := filepath.Join(root, "docs", "topologies.md")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(data), tableBegin)
	_, after, closed := strings.Cut(rest, tableEnd)
	if !found || !closed {
		t.Fatalf("%s does not contain the markers %s and %s", path, tableBegin, tableEnd)
	}
	golden(t, path, before+tableBegin+"\n"+formatTable(topologies, features, rejections)+tableEnd+after)
}

func formatTable(topologies, features []matrixFile, rejections map[[2]int][]string) string {
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
			if messages := rejections[[2]int{i, j}]; len(messages) > 0 {
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
	out.WriteString("\n*yes*: every declared call, and undeclared calls to services with authorization, were traced through\n" +
		"the configuration that Istio generates. *no*: `isthmus vet` rejects the combination with this message:\n\n")
	for n, note := range notes {
		fmt.Fprintf(&out, "%d. %s\n", n+1, note)
	}
	return out.String()
}
