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

// message is one kind of problem that the module tells: places in it that say the same of the same path.
type message struct {
	path, text string // regular expressions
}

// A message that no test has seen told is one that may be told twice, at a wrong place, or never.
func TestEveryMessageOfTheModuleIsAmongTheMistakes(t *testing.T) {
	rows := append(mistakes(), mistake{path: unknownCluster.Path, want: unknownCluster.Message})
	for m, places := range messages(t) {
		path, text := regexp.MustCompile("^"+m.path+"$"), regexp.MustCompile("^"+m.text+"$")
		seen := map[string]bool{}
		for _, row := range rows {
			if path.MatchString(row.path) && text.MatchString(row.want) {
				seen[row.path] = true
			}
		}
		// Several places with the same words are told apart by where the mistakes are.
		if len(seen) < len(places) {
			t.Errorf("%s: %q is a message of the module at %d places, and mistakes at %d are tested", strings.Join(places, ", "), m.text, len(places), len(seen))
		}
	}
}

// messages are all calls of error in the module's files, with their places in them.
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
		paths := map[*ast.CallExpr]string{} // of calls that are a field's value; others stand in the value to blame
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

// pattern is a regular expression for what a string, or what is in its place, may become.
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

// quoted matches a literal, or a piece of one between interpolations: `"a \(`, `) b \(` or `) c"`.
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
