package evaluate

import (
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

func (at locator) addDecls(prefix string, decls []ast.Decl, depth int) {
	for _, d := range decls {
		field, ok := d.(*ast.Field)
		if !ok {
			continue
		}
		name, _, err := ast.LabelName(field.Label)
		if err != nil || name == "" {
			continue
		}
		at.addField(prefix+name, field.Pos(), field.Value, depth)
	}
}

func (at locator) addField(path string, pos token.Pos, value ast.Expr, depth int) {
	// A service split over files has several places; the first is as good as any.
	if _, ok := at[path]; !ok {
		at[path] = Position{File: relative(pos.Filename()), Line: pos.Line(), Column: pos.Column()}
	}
	if depth == locatorDepth {
		return
	}
	if s, ok := value.(*ast.StructLit); ok {
		at.addDecls(path+".", s.Elts, depth+1)
	}
}

// find is the position of the path, or of the nearest field around it; the list of all services (clusters, externals)
// is not near enough to anything.
func (at locator) find(path []string) (Position, bool) {
	for n := len(path); n > min(1, len(path)-1); n-- {
		key := ""
		for i, p := range path[:n] {
			if i > 0 {
				key += "."
			}
			key += p
		}
		if pos, ok := at[key]; ok {
			return pos, true
		}
	}
	return Position{}, false
}
