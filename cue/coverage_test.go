package meshmodule_test

import (
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/parser"

	meshmodule "github.com/isthmus-mesh/isthmus/cue"
)

// message is an error of the module. Several places may have the same path and text.
type message struct {
	path, text string // regular expressions
}

// A message without a test case may be reported twice, at a wrong position, or never.
func TestEveryMessageHasATestCase(t *testing.T) {
	rows := append(mistakes(), mistake{path: unknownCluster.Path, want: unknownCluster.Message})
	for m, places := range messages(t) {
		path, text := regexp.MustCompile("^"+m.path+"$"), regexp.MustCompile("^"+m.text+"$")
		seen := map[string]bool{}
		for _, row := range rows {
			if path.MatchString(row.path) && text.MatchString(row.want) {
				seen[row.path] = true
			}
		}
		// Several places with the same text need mistakes at as many paths.
		if len(seen) < len(places) {
			t.Errorf("%s: message %q has %d places in the module, and mistakes at %d paths are tested", strings.Join(places, ", "), m.text, len(places), len(seen))
		}
	}
}

// messages returns all calls of error in the module, with their files and lines.
func messages(t *testing.T) map[message][]string {
	t.Helper()
	files, err := fs.Glob(meshmodule.Files, "*.cue")
	if err != nil {
		t.Fatal(err)
	}
	found := map[message][]string{}
	for _, name := range files {
		data, err := fs.ReadFile(meshmodule.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(name, data)
		if err != nil {
			t.Fatal(err)
		}
		paths := map[*ast.CallExpr]string{} // of calls that are the value of a field; the others are in the invalid value
		ast.Walk(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Field:
				if call, ok := n.Value.(*ast.CallExpr); ok {
					paths[call] = pattern(t, n.Label)
				}
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "error" {
					m := message{path: ".*", text: pattern(t, n.Args[0])}
					if p, ok := paths[n]; ok {
						m.path = p
					}
					found[m] = append(found[m], fmt.Sprintf("%s:%d", name, n.Pos().Line()))
				}
			}
			return true
		}, nil)
	}
	if len(found) == 0 {
		t.Fatal("the module has no messages")
	}
	return found
}

// pattern returns a regular expression for the possible values of a string expression.
func pattern(t *testing.T, n ast.Node) string {
	t.Helper()
	switch n := n.(type) {
	case *ast.BasicLit:
		return quoted(t, n.Value)
	case *ast.Interpolation:
		var b strings.Builder
		for _, e := range n.Elts {
			b.WriteString(pattern(t, e))
		}
		return b.String()
	default:
		return ".*"
	}
}

// quoted returns the pattern of a literal, or of a part between interpolations: `"a \(`, `) b \(`
// or `) c"`.
func quoted(t *testing.T, literal string) string {
	t.Helper()
	s := strings.TrimSuffix(strings.TrimSuffix(literal, `"`), `\(`)
	s = strings.TrimPrefix(strings.TrimPrefix(s, `"`), `)`)
	s, err := strconv.Unquote(`"` + s + `"`)
	if err != nil {
		t.Fatalf("%s: %v", literal, err)
	}
	return regexp.QuoteMeta(s)
}
