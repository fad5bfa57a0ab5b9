package cueworker

import (
	"strings"

	"cuelang.org/go/cue/ast"
)

// MarshalPrefix begins the names of the CUE functions that convert any value to text.
const MarshalPrefix = "Marshal"

// references inspects the identifiers and attributes of an expression.
func (c *classifier) references(n ast.Node, inService bool) { c.walk(n, inService, false) }

func (c *classifier) walk(n ast.Node, inService, inTemplate bool) {
	ast.Walk(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			c.label(n.Label, inService)
			c.attributes(n, false)
			c.walk(n.Value, inService, inTemplate)
			return false
		case *ast.SelectorExpr:
			if id, ok := n.Sel.(*ast.Ident); ok {
				if hiddenName(id) {
					c.sees(id.Name)
				}
				// The text depends on the order of fields, which data does not preserve.
				c.info.OrderSensitive = c.info.OrderSensitive || strings.HasPrefix(id.Name, MarshalPrefix)
			}
			c.walk(n.X, inService, inTemplate)
			return false
		case *ast.ForClause:
			c.walk(n.Source, inService, inTemplate)
			return false
		case *ast.LetClause:
			c.walk(n.Expr, inService, inTemplate)
			return false
		case *ast.Alias:
			c.walk(n.Expr, inService, inTemplate)
			return false
		case *ast.Attribute:
			c.attribute(n, false)
		case *ast.Ident:
			c.reference(n, inService, inTemplate)
		}
		return true
	}, nil)
}

func (c *classifier) reference(id *ast.Ident, inService, inTemplate bool) {
	switch {
	case id.Name == ServicesField, id.Name == ResourcesField:
		c.obstacle(id.Pos(), "it refers to "+id.Name+", of which a shard has only a part")
	case id.Name == "self", id.Name == "__self":
		c.obstacle(id.Pos(), "it refers to the mesh as a whole (self)")
	case id.Name == clusterField && !inTemplate:
		c.info.ReadsCluster = true
	case hiddenName(id) && !inService:
		c.sees(id.Name)
	}
}

// label inspects the expressions in a label.
func (c *classifier) label(l ast.Label, inService bool) {
	switch l := l.(type) {
	case *ast.Ident:
		if hiddenName(l) {
			c.hiddenLabel(l, inService)
		}
	case *ast.BasicLit:
	case *ast.Alias:
		if inner, ok := l.Expr.(ast.Label); ok {
			c.label(inner, inService)
		}
	default:
		c.references(l, inService)
	}
}

func (c *classifier) hiddenLabel(id *ast.Ident, inService bool) {
	if !inService {
		c.sees(id.Name)
		return
	}
	if c.info.Hidden == nil {
		c.info.Hidden = map[string]int{}
	}
	if _, ok := c.info.Hidden[id.Name]; !ok {
		c.info.Hidden[id.Name] = id.Pos().Line()
	}
}

func (c *classifier) sees(name string) {
	if c.info.Seen == nil {
		c.info.Seen = map[string]bool{}
	}
	c.info.Seen[name] = true
}

func hiddenName(l ast.Label) bool {
	id, ok := l.(*ast.Ident)
	return ok && (strings.HasPrefix(id.Name, "_") || strings.HasPrefix(id.Name, "#"))
}

func (c *classifier) attributes(f *ast.Field, isCluster bool) {
	for _, a := range f.Attrs {
		c.attribute(a, isCluster)
	}
}

func (c *classifier) attribute(a *ast.Attribute, isCluster bool) {
	text := strings.ReplaceAll(a.Text, " ", "")
	switch {
	case strings.HasPrefix(text, "@embed("):
		c.info.Embeds = true
		c.notService(a.Pos())
	case strings.HasPrefix(text, "@tag(") && !isCluster:
		c.info.ReadsCluster = true
	}
}
