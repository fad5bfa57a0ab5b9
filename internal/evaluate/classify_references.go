package evaluate

import (
	"strings"

	"cuelang.org/go/cue/ast"
)

// marshal is how the functions begin that make text of any value.
const marshal = "Marshal"

// refers looks for what an expression may mean outside of itself.
func (c *classifier) refers(n ast.Node, inService bool) { c.walk(n, inService, false) }

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
				// Text shows the order of fields, which has no rule that data could follow.
				c.info.Discerns = c.info.Discerns || strings.HasPrefix(id.Name, marshal)
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
	case id.Name == servicesField, id.Name == resourcesField:
		c.hinder(id.Pos(), "it refers to "+id.Name+", which a shard has only a part of")
	case id.Name == "self", id.Name == "__self":
		c.hinder(id.Pos(), "it refers to itself as a whole")
	case id.Name == clusterField && !inTemplate:
		c.info.ReadsCluster = true
	case hiddenName(id) && !inService:
		c.sees(id.Name)
	}
}

// label is a label's own expressions.
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
		c.refers(l, inService)
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
		c.beside(a.Pos())
	case strings.HasPrefix(text, "@tag(") && !isCluster:
		c.info.ReadsCluster = true
	}
}
