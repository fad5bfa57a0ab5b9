package cueworker

import (
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/token"
)

// template inspects an expression that is only evaluated when a cluster is rendered.
func (c *classifier) template(value ast.Expr) {
	c.walk(value, false, true)
	c.inputs(value)
	c.info.OrderSensitive = c.info.OrderSensitive || c.orderSensitive(value)
}

// orderSensitive reports whether a template may distinguish manifests with equal data. It is
// conservative: a template may select and compare values of a manifest. A template that iterates
// over fields, unifies the manifest, or uses it as a whole is order sensitive.
func (c *classifier) orderSensitive(template ast.Expr) bool {
	switch t := template.(type) {
	case *ast.BinaryExpr:
		if t.Op == token.AND {
			return c.orderSensitive(t.X) || c.orderSensitive(t.Y)
		}
	case *ast.ParenExpr:
		return c.orderSensitive(t.X)
	}
	found := false
	var inspect func(n ast.Node) bool
	inspect = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ForClause, *ast.IndexExpr, *ast.SliceExpr:
			found = true
		case *ast.BinaryExpr:
			found = found || (n.Op == token.AND || n.Op == token.OR) && (mentionsManifest(n.X) || mentionsManifest(n.Y))
		case *ast.Field:
			if name, plain := fieldName(n); isManifest(name) {
				found = found || !plain
				ast.Walk(n.Value, inspect, nil)
				return false
			}
		case *ast.SelectorExpr:
			id, ok := n.X.(*ast.Ident)
			if ok && c.module[id.Name] {
				return false
			}
			name, _, err := ast.LabelName(n.Sel)
			found = found || err != nil || strings.HasPrefix(name, "_") || strings.HasPrefix(name, "#") || name == "bytes"
			if ok && isManifest(id.Name) {
				return false
			}
			ast.Walk(n.X, inspect, nil)
			return false
		case *ast.Ident:
			found = found || isManifest(n.Name)
		}
		return !found
	}
	ast.Walk(template, inspect, nil)
	return found
}

// isManifest reports whether a name is an input of a template that holds a manifest.
func isManifest(name string) bool { return name == "service" || name == "external" }

func mentionsManifest(n ast.Node) bool {
	found := false
	ast.Walk(n, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		found = found || ok && isManifest(id.Name)
		return !found
	}, nil)
	return found
}

// inputs searches the constraints of a template on a manifest. A constraint may select another
// value than the default.
func (c *classifier) inputs(n ast.Node) {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		c.inputs(n.X)
		c.inputs(n.Y)
	case *ast.ParenExpr:
		c.inputs(n.X)
	case *ast.PostfixExpr:
		c.inputs(n.X)
	case *ast.EmbedDecl:
		c.inputs(n.Expr)
	case *ast.Comprehension:
		c.inputs(n.Value)
	case *ast.StructLit:
		for _, d := range n.Elts {
			f, ok := d.(*ast.Field)
			if !ok {
				c.inputs(d)
				continue
			}
			if name, _ := fieldName(f); isManifest(name) {
				c.info.OrderSensitive = c.info.OrderSensitive || narrows(f.Value)
			}
		}
	}
}

// narrows reports whether an input of a template has constraints.
func narrows(value ast.Expr) bool {
	switch v := value.(type) {
	case *ast.Ident:
		return v.Name != "_"
	case *ast.StructLit:
		return slices.ContainsFunc(v.Elts, func(d ast.Decl) bool {
			switch d := d.(type) {
			case *ast.CommentGroup:
				return false
			case *ast.Ellipsis:
				return d.Type != nil
			case *ast.Field:
				_, plain := fieldName(d)
				return !plain || narrows(d.Value)
			}
			return true
		})
	}
	return true
}
