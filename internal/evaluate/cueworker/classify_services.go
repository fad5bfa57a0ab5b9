package cueworker

import (
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/token"
)

func (c *classifier) top(d ast.Decl) {
	switch d := d.(type) {
	case *ast.Package, *ast.ImportDecl, *ast.CommentGroup:
	case *ast.Attribute:
		c.fileAttribute(d)
	case *ast.LetClause:
		// Only this file can refer to it.
		c.references(d.Expr, false)
	case *ast.Field:
		c.topField(d)
	case *ast.Ellipsis:
		c.notService(d.Pos())
		c.references(d, false)
	case *ast.EmbedDecl:
		c.notService(d.Pos())
		c.references(d, false)
		if !c.isMesh(d.Expr) {
			c.obstacle(d.Pos(), "it embeds a value that may define services")
		}
	case *ast.Comprehension:
		c.notService(d.Pos())
		c.references(d, false)
		c.computed(d.Value)
	default:
		c.notService(d.Pos())
		c.obstacle(d.Pos(), "it has a declaration that shards do not support")
	}
}

// isMesh reports whether an expression is #Mesh of the CUE module.
func (c *classifier) isMesh(e ast.Expr) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	name, _, err := ast.LabelName(s.Sel)
	pkg, isIdent := s.X.(*ast.Ident)
	return err == nil && name == "#Mesh" && isIdent && c.module[pkg.Name]
}

// computed searches conditional fields for services, resources and templates.
func (c *classifier) computed(n ast.Node) {
	lit, ok := n.(*ast.StructLit)
	if !ok {
		c.obstacle(n.Pos(), "it computes fields of the mesh")
		return
	}
	for _, d := range lit.Elts {
		switch d := d.(type) {
		case *ast.CommentGroup:
		case *ast.Comprehension:
			c.computed(d.Value)
		case *ast.Field:
			name, plain := fieldName(d)
			if !plain || slices.Contains([]string{ServicesField, ResourcesField, TemplateField, externalTemplateField, clusterField}, name) {
				c.obstacle(d.Pos(), "it computes fields of the mesh")
			}
		default:
			c.obstacle(d.Pos(), "it computes fields of the mesh")
		}
	}
}

func (c *classifier) fileAttribute(a *ast.Attribute) {
	switch text := strings.ReplaceAll(a.Text, " ", ""); {
	case text == "@experiment(explicitopen)":
	case text == "@extern(embed)":
		c.info.Embeds = true
		c.notService(a.Pos())
	case strings.HasPrefix(text, "@experiment("):
		c.obstacle(a.Pos(), "it enables an experiment of CUE ("+a.Text+") that shards do not support")
	default:
		c.notService(a.Pos())
	}
}

func (c *classifier) topField(f *ast.Field) {
	name, plain := fieldName(f)
	switch {
	case name == ServicesField && plain:
		c.servicesOf(f.Value)
		c.attributes(f, false)
		if len(f.Attrs) > 0 {
			c.obstacle(f.Pos(), "its field services has an attribute, which may add services")
		}
		return
	case name == ServicesField:
		c.obstacle(f.Pos(), "it defines an alias for services")
	case name == ResourcesField:
		c.obstacle(f.Pos(), "it adds resources outside of the templates")
	}
	c.notService(f.Pos())
	c.attributes(f, name == clusterField)
	c.label(f.Label, false)
	switch {
	case name == TemplateField, name == externalTemplateField:
		c.template(f.Value)
	default:
		c.references(f.Value, false)
	}
}

// fieldName returns the name of a field with a literal label, and whether it is a regular field
// without an alias.
func fieldName(f *ast.Field) (name string, plain bool) {
	label := f.Label
	alias := false
	if a, ok := label.(*ast.Alias); ok {
		alias = true
		if l, ok := a.Expr.(ast.Label); ok {
			label = l
		}
	}
	name, _, err := ast.LabelName(label)
	if err != nil {
		return "", false
	}
	switch l := label.(type) {
	case *ast.Ident:
	case *ast.BasicLit:
		if l.Kind != token.STRING {
			return name, false
		}
	default:
		return "", false
	}
	return name, !alias && f.Alias == nil && f.Constraint == token.ILLEGAL
}

// servicesOf inspects the value of the field services.
func (c *classifier) servicesOf(value ast.Expr) {
	lit, ok := value.(*ast.StructLit)
	if !ok {
		c.notService(value.Pos())
		if id, isIdent := value.(*ast.Ident); !isIdent || id.Name != "_" {
			c.obstacle(value.Pos(), "its field services is not a struct literal")
		}
		return
	}
	for _, d := range lit.Elts {
		switch d := d.(type) {
		case *ast.CommentGroup:
		case *ast.Ellipsis:
			c.notService(d.Pos())
			c.references(d, true)
		case *ast.Field:
			name, plain := fieldName(d)
			_, pattern := d.Label.(*ast.ListLit)
			switch {
			case pattern:
				c.notService(d.Pos())
				c.label(d.Label, true)
			case plain && !hiddenName(d.Label):
				c.services[name] = struct{}{}
			default:
				c.obstacle(d.Pos(), "it computes the name of a service, or defines an alias for it")
				c.label(d.Label, true)
			}
			c.attributes(d, false)
			c.references(d.Value, true)
		default:
			c.notService(d.Pos())
			c.obstacle(d.Pos(), "it computes services")
			c.references(d, true)
		}
	}
}
