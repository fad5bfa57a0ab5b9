package evaluate

import (
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/token"
)

// Position is a place in a file of the repository, counted from 1.
type Position struct {
	File         string
	Line, Column int
}

// locator finds where a path of the mesh was written, "services.checkout.egress" say.
type locator map[string]Position

// locatorDepth bounds the index: below it the nearest enclosing field is named.
const locatorDepth = 5

func newLocator(files []*ast.File) locator {
	at := locator{}
	for _, f := range files {
		at.addDecls("", f.Decls, 1)
	}
	return at
}

// anyName stands in a path for a name that is computed: `for n in names {services: (n): ...}`.
const anyName = "*"

func (at locator) addDecls(prefix string, decls []ast.Decl, depth int) {
	for _, d := range decls {
		switch d := d.(type) {
		case *ast.Field:
			name, _, err := ast.LabelName(d.Label)
			switch d.Label.(type) {
			case *ast.ListLit:
				// A pattern: it says something of all, and is the place of none.
				continue
			case *ast.ParenExpr, *ast.Interpolation:
				name, err = anyName, nil
			}
			if err == nil && name != "" {
				at.addField(prefix+name, d.Pos(), d.Value, depth)
			}
		case *ast.EmbedDecl:
			at.addStruct(prefix, d.Expr, depth)
		case *ast.Comprehension:
			at.addStruct(prefix, d.Value, depth)
		}
	}
}

func (at locator) addStruct(prefix string, value ast.Expr, depth int) {
	switch value := value.(type) {
	case *ast.StructLit:
		at.addDecls(prefix, value.Elts, depth)
	case *ast.Comprehension:
		at.addStruct(prefix, value.Value, depth)
	}
}

func (at locator) addField(path string, pos token.Pos, value ast.Expr, depth int) {
	// A service split over files has several places; the first is as good as any.
	if _, ok := at[path]; !ok {
		at[path] = Position{File: relative(pos.Filename()), Line: pos.Line(), Column: pos.Column()}
	}
	if depth < locatorDepth {
		at.addStruct(path+".", value, depth+1)
	}
}

// find is the position of the path, or of the nearest field around it; the list of all services (clusters, externals)
// is not near enough to anything.
func (at locator) find(path []string) (Position, bool) {
	for n := len(path); n > min(1, len(path)-1); n-- {
		if pos, ok := at[strings.Join(path[:n], ".")]; ok {
			return pos, true
		}
	}
	if len(path) < 2 {
		return Position{}, false
	}
	pos, ok := at[path[0]+"."+anyName]
	return pos, ok
}
