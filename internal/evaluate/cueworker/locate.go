package cueworker

import (
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"
)

// Position is a position in a file of the repository. Line and Column count from 1.
type Position struct {
	File         string
	Line, Column int
}

// Locator maps paths of the mesh, such as "services.checkout.egress", to positions.
type Locator map[string]Position

// locatorDepth bounds the index. A deeper path gets the position of the nearest enclosing field.
const locatorDepth = 5

// NewLocator parses files,. The files must have been parsed in a child before: a parser recurses as
// deeply as its input nests. Files that cannot be parsed are ignored.
func NewLocator(paths []string, data func(path string) []byte) Locator {
	var files []*ast.File
	for _, p := range paths {
		if f, err := parser.ParseFile(root+"/"+p, data(p)); err == nil {
			files = append(files, f)
		}
	}
	return newLocator(files)
}

func newLocator(files []*ast.File) Locator {
	at := Locator{}
	for _, f := range files {
		at.addDecls("", f.Decls, 1)
	}
	return at
}

// anyName replaces a computed name in a path: `for n in names {services: (n): ...}`.
const anyName = "*"

func (at Locator) addDecls(prefix string, decls []ast.Decl, depth int) {
	for _, d := range decls {
		switch d := d.(type) {
		case *ast.Field:
			name, _, err := ast.LabelName(d.Label)
			switch d.Label.(type) {
			case *ast.ListLit:
				// A pattern is not the position of any name.
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

func (at Locator) addStruct(prefix string, value ast.Expr, depth int) {
	switch value := value.(type) {
	case *ast.StructLit:
		at.addDecls(prefix, value.Elts, depth)
	case *ast.Comprehension:
		at.addStruct(prefix, value.Value, depth)
	}
}

func (at Locator) addField(path string, pos token.Pos, value ast.Expr, depth int) {
	// A service in several files has several positions; the first is used.
	if _, ok := at[path]; !ok {
		at[path] = Position{File: relative(pos.Filename()), Line: pos.Line(), Column: pos.Column()}
	}
	if depth < locatorDepth {
		at.addStruct(path+".", value, depth+1)
	}
}

// Find returns the position of the path, or of the nearest enclosing field. The field of all
// services, clusters or externals is too far from a path below it.
func (at Locator) Find(path []string) (Position, bool) {
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
