package evaluate

import (
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	meshmodule "github.com/isthmus-mesh/isthmus/cue"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// fileInfo is what one file says of itself, whatever stands in the others: enough to tell which files may be evaluated apart.
type fileInfo struct {
	Package string   `json:"package,omitempty"`
	Imports []string `json:"imports,omitempty"`
	// Services are those that the file defines by a plain name, sorted.
	Services []string `json:"services,omitempty"`
	// Apart: the file has nothing but Services.
	Apart bool `json:"apart,omitempty"`
	// Obstacle is why the repository has to be evaluated as a whole, nil if this file is no reason.
	Obstacle *obstacle `json:"obstacle,omitempty"`
	// ReadsCluster: something in it, templates aside, depends on the cluster that is rendered for.
	ReadsCluster bool `json:"readsCluster,omitempty"`
	// Discerns: what it makes of a manifest may depend on more than a manifest's values: on the order of fields, or on which of them are
	// defaults.
	Discerns bool `json:"discerns,omitempty"`
	// Embeds: it may read files that are no CUE.
	Embeds bool `json:"embeds,omitempty"`
	// Hidden are names that services have and data has not, fields like _x and #x; Seen are those that anything else may look at.
	Hidden map[string]int  `json:"hidden,omitempty"`
	Seen   map[string]bool `json:"seen,omitempty"`
	// Findings are why it cannot be parsed.
	Findings manifest.Findings `json:"findings,omitempty"`
}

type obstacle struct {
	Line int    `json:"line"`
	Why  string `json:"why"`
}

// Names of the root that shards treat apart.
const (
	servicesField         = "services"
	clusterField          = "cluster"
	templateField         = "#template"
	externalTemplateField = "#externalTemplate"
)

// classify reads one file. It runs in the child: a parser recurses as deeply as its input nests.
func classify(path string, data []byte) fileInfo {
	f, err := parser.ParseFile(root+"/"+path, data, parser.ParseComments)
	if err != nil {
		return fileInfo{Findings: fromCUE(err, nil)}
	}
	c := &classifier{services: map[string]struct{}{}, module: map[string]bool{}}
	c.info.Package = f.PackageName()
	for spec := range f.ImportSpecs() {
		imported := strings.Trim(spec.Path.Value, `"`)
		c.info.Imports = append(c.info.Imports, imported)
		if imported != meshmodule.Path {
			continue
		}
		name := "mesh"
		if spec.Name != nil {
			name = spec.Name.Name
		}
		c.module[name] = true
	}
	for _, d := range f.Decls {
		c.top(d)
	}
	for name := range c.services {
		c.info.Services = append(c.info.Services, name)
	}
	slices.Sort(c.info.Services)
	c.info.Apart = len(c.services) > 0 && !c.other.IsValid() && !c.info.Embeds
	if len(c.services) > 0 && c.other.IsValid() {
		c.hinder(c.other, "it defines services beside other things; give them a file of their own")
	}
	return c.info
}

// classifier goes through a file's syntax. It is conservative: what it does not know is a reason against.
type classifier struct {
	info     fileInfo
	services map[string]struct{}
	// module are the names by which the file knows the module.
	module map[string]bool
	// other is the first thing that is no service.
	other token.Pos
}

func (c *classifier) hinder(at token.Pos, why string) {
	if c.info.Obstacle == nil {
		c.info.Obstacle = &obstacle{Line: at.Line(), Why: why}
	}
}

func (c *classifier) beside(at token.Pos) {
	if !c.other.IsValid() {
		c.other = at
	}
}

func (c *classifier) top(d ast.Decl) {
	switch d := d.(type) {
	case *ast.Package, *ast.ImportDecl, *ast.CommentGroup:
	case *ast.Attribute:
		c.fileAttribute(d)
	case *ast.LetClause:
		// Of this file alone, so it goes with its services.
		c.refers(d.Expr, false)
	case *ast.Field:
		c.topField(d)
	case *ast.Ellipsis:
		c.beside(d.Pos())
		c.refers(d, false)
	case *ast.EmbedDecl:
		c.beside(d.Pos())
		c.refers(d, false)
		if !c.isMesh(d.Expr) {
			c.hinder(d.Pos(), "it embeds something that may bring services")
		}
	case *ast.Comprehension:
		c.beside(d.Pos())
		c.refers(d, false)
		c.computed(d.Value)
	default:
		c.beside(d.Pos())
		c.hinder(d.Pos(), "it holds something that shards do not know")
	}
}

// isMesh tells whether an expression is #Mesh of the module, which all know.
func (c *classifier) isMesh(e ast.Expr) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	name, _, err := ast.LabelName(s.Sel)
	pkg, isIdent := s.X.(*ast.Ident)
	return err == nil && name == "#Mesh" && isIdent && c.module[pkg.Name]
}

// computed looks for services, resources and templates among fields that are there on a condition.
func (c *classifier) computed(n ast.Node) {
	lit, ok := n.(*ast.StructLit)
	if !ok {
		c.hinder(n.Pos(), "it computes fields of the mesh")
		return
	}
	for _, d := range lit.Elts {
		switch d := d.(type) {
		case *ast.CommentGroup:
		case *ast.Comprehension:
			c.computed(d.Value)
		case *ast.Field:
			name, plain := fieldName(d)
			if !plain || slices.Contains([]string{servicesField, resourcesField, templateField, externalTemplateField, clusterField}, name) {
				c.hinder(d.Pos(), "it computes fields of the mesh")
			}
		default:
			c.hinder(d.Pos(), "it computes fields of the mesh")
		}
	}
}

func (c *classifier) fileAttribute(a *ast.Attribute) {
	switch text := strings.ReplaceAll(a.Text, " ", ""); {
	case text == "@experiment(explicitopen)":
	case text == "@extern(embed)":
		c.info.Embeds = true
		c.beside(a.Pos())
	case strings.HasPrefix(text, "@experiment("):
		c.hinder(a.Pos(), "it asks for an experiment of CUE ("+a.Text+") that shards do not know")
	default:
		c.beside(a.Pos())
	}
}

func (c *classifier) topField(f *ast.Field) {
	name, plain := fieldName(f)
	switch {
	case name == servicesField && plain:
		c.servicesOf(f.Value)
		c.attributes(f, false)
		if len(f.Attrs) > 0 {
			c.hinder(f.Pos(), "its services have an attribute, which may bring others")
		}
		return
	case name == servicesField:
		c.hinder(f.Pos(), "it gives the services another name")
	case name == resourcesField:
		c.hinder(f.Pos(), "it adds to resources outside of the templates")
	}
	c.beside(f.Pos())
	c.attributes(f, name == clusterField)
	c.label(f.Label, false)
	switch {
	case name == templateField, name == externalTemplateField:
		c.template(f.Value)
	default:
		c.refers(f.Value, false)
	}
}

// fieldName is the name of a field that is written out, and whether it is a plain regular field.
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

// servicesOf goes through the value of the field services.
func (c *classifier) servicesOf(value ast.Expr) {
	lit, ok := value.(*ast.StructLit)
	if !ok {
		c.beside(value.Pos())
		if id, isIdent := value.(*ast.Ident); !isIdent || id.Name != "_" {
			c.hinder(value.Pos(), "its services are no plain struct")
		}
		return
	}
	for _, d := range lit.Elts {
		switch d := d.(type) {
		case *ast.CommentGroup:
		case *ast.Ellipsis:
			c.beside(d.Pos())
			c.refers(d, true)
		case *ast.Field:
			name, plain := fieldName(d)
			_, pattern := d.Label.(*ast.ListLit)
			switch {
			case pattern:
				c.beside(d.Pos())
				c.label(d.Label, true)
			case plain && !hiddenName(d.Label):
				c.services[name] = struct{}{}
			default:
				c.hinder(d.Pos(), "it computes the name of a service, or gives it an alias")
				c.label(d.Label, true)
			}
			c.attributes(d, false)
			c.refers(d.Value, true)
		default:
			c.beside(d.Pos())
			c.hinder(d.Pos(), "it computes services")
			c.refers(d, true)
		}
	}
}

// marshal is how the functions begin that make text of any value.
const marshal = "Marshal"

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

// refers looks for what an expression may mean outside of itself.
func (c *classifier) refers(n ast.Node, inService bool) { c.walk(n, inService, false) }

// template is an expression that is only evaluated where something is rendered.
func (c *classifier) template(value ast.Expr) {
	c.walk(value, false, true)
	c.inputs(value)
	c.info.Discerns = c.info.Discerns || c.discerns(value)
}

// discerns tells whether a template may tell apart manifests that are the same as data. It is conservative: a template may take values out of
// a manifest and compare them; what goes through fields one by one, unifies, or takes hold of the manifest as a whole may.
func (c *classifier) discerns(template ast.Expr) bool {
	switch t := template.(type) {
	case *ast.BinaryExpr:
		if t.Op == token.AND {
			return c.discerns(t.X) || c.discerns(t.Y)
		}
	case *ast.ParenExpr:
		return c.discerns(t.X)
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

// isManifest tells whether a name is that of a template's input which is a manifest.
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

// inputs looks for what a template says of a manifest, for which it may have to choose something else than a default.
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
				c.info.Discerns = c.info.Discerns || narrows(f.Value)
			}
		}
	}
}

// narrows tells whether a template's input says anything but names.
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
