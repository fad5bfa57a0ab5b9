package parity

import (
	"fmt"
	"slices"
	"strings"
)

// rewriting is another notation of an assignment. apply changes the assignment with the literal
// text; id is unique in the service. It is false if the notation does not fit.
type rewriting struct {
	feature string
	apply   func(g *generator, f *file, p *part, a *assignment, text, id string) bool
}

func setExpression(a *assignment, format string, args ...any) bool {
	a.value = expression(fmt.Sprintf(format, args...))
	return true
}

func scalar(v any) bool {
	_, isString := v.(string)
	_, isInt := v.(int)
	return isString || isInt
}

var rewritings = []rewriting{
	{"let in a service", func(_ *generator, _ *file, p *part, a *assignment, text, id string) bool {
		p.more = append(p.more, "let l_"+id+" = "+text)
		return setExpression(a, "l_%s", id)
	}},
	{"let of a file", func(_ *generator, f *file, p *part, a *assignment, text, id string) bool {
		name := "f_" + strings.ReplaceAll(p.service.name, "-", "_") + "_" + id
		f.add("let %s = %s", name, text)
		return setExpression(a, "%s", name)
	}},
	{"hidden field in a service", func(_ *generator, _ *file, p *part, a *assignment, text, id string) bool {
		p.more = append(p.more, "_h_"+id+": "+text)
		return setExpression(a, "_h_%s", id)
	}},
	{"definition in a service", func(_ *generator, _ *file, p *part, a *assignment, text, id string) bool {
		if !scalar(a.value) {
			return false // a definition would be closed
		}
		p.more = append(p.more, "#d_"+id+": "+text)
		return setExpression(a, "#d_%s", id)
	}},
	{"alias of a service", func(_ *generator, _ *file, p *part, a *assignment, text, id string) bool {
		p.alias = "Me_" + strings.ReplaceAll(p.service.name, "-", "_")
		p.more = append(p.more, "_a_"+id+": "+text)
		return setExpression(a, "%s._a_%s", p.alias, id)
	}},
	{"self", func(_ *generator, f *file, p *part, a *assignment, text, id string) bool {
		if !f.postfixAliases || len(a.path) > 1 {
			return false
		}
		p.more = append(p.more, "_s_"+id+": "+text)
		return setExpression(a, "self._s_%s", id)
	}},
	{"value in a shared struct", func(g *generator, _ *file, p *part, a *assignment, text, id string) bool {
		g.file("given.cue").add("_given: %s: %s", path(p.service.name, id), text)
		return setExpression(a, "%s", fieldRef(fieldRef("_given", p.service.name), id))
	}},
	{"value in a package of the module", func(g *generator, f *file, p *part, a *assignment, text, id string) bool {
		g.addToPackage("values", fmt.Sprintf("Values: %s: %s", path(p.service.name, id), text))
		return setExpression(a, "%s.%s", g.importName(f, modulePath+"/lib/values"), fieldRef(fieldRef("Values", p.service.name), id))
	}},
	{"embedded JSON", func(g *generator, f *file, p *part, a *assignment, _, id string) bool {
		return g.embed(f, p, a, id, "json")
	}},
	{"embedded YAML", func(g *generator, f *file, p *part, a *assignment, _, id string) bool {
		return g.embed(f, p, a, id, "yaml")
	}},
	{"embedded files by a glob", func(g *generator, f *file, p *part, a *assignment, _, id string) bool {
		name := g.dataFile(f, p, a, id, "json")
		if name == "" {
			return false
		}
		file := strings.TrimPrefix(name, folderOf(f.path))
		folder := file[:strings.LastIndex(file, "/")+1]
		more := fmt.Sprintf("_g: _ @embed(glob=%s*.json)", folder)
		if !slices.Contains(p.more, more) {
			p.more = append(p.more, more)
		}
		return setExpression(a, "_g[%q]", file)
	}},
	{"first of a list", func(_ *generator, _ *file, _ *part, a *assignment, text, _ string) bool {
		return setExpression(a, "[if len(clusters) > 99 {_|_}, %s][0]", text)
	}},
	{"field of a literal", func(_ *generator, _ *file, _ *part, a *assignment, text, _ string) bool {
		return setExpression(a, "{v: %s}.v", text)
	}},
	{"unified with itself", func(_ *generator, _ *file, _ *part, a *assignment, text, _ string) bool {
		return setExpression(a, "(%s & _ & %s)", text, text)
	}},
	{"default of a disjunction", func(g *generator, _ *file, _ *part, a *assignment, text, _ string) bool {
		if g.defaultOwners && a.path[0] == "owner" {
			return false // two different defaults are an error
		}
		switch a.value.(type) {
		case string:
			return setExpression(a, "*%s | \"other\" | string", text)
		case int:
			return setExpression(a, "*%s | int", text)
		case object:
			return setExpression(a, "*%s | _", text)
		}
		return false
	}},
	{"tag with a default", func(g *generator, _ *file, p *part, a *assignment, text, id string) bool {
		if _, ok := a.value.(string); !ok || len(a.path) > 1 || g.defaultOwners {
			return false
		}
		return setExpression(a, "*%s | string @tag(t_%s)", text, strings.ReplaceAll(p.service.name, "-", "_")+"_"+id)
	}},
	{"standard package", func(g *generator, f *file, _ *part, a *assignment, text, _ string) bool {
		switch a.value.(type) {
		case string:
			return setExpression(a, "%s.Join([%s], \"\")", g.importName(f, "strings"), text)
		case []any:
			return setExpression(a, "%s.Concat([%s, []])", g.importName(f, "list"), text)
		case object:
			return setExpression(a, "%s.Unmarshal(%s.Marshal(%s))", g.importName(f, "encoding/json"), g.importName(f, "encoding/json"), text)
		}
		return false
	}},
	{"function of a literal", func(_ *generator, _ *file, _ *part, a *assignment, text, _ string) bool {
		return setExpression(a, "({in: _, out: {in}} & {in: {v: %s}}).out.v", text)
	}},
	{"comprehension of fields", func(_ *generator, _ *file, _ *part, a *assignment, text, _ string) bool {
		if _, ok := a.value.(object); !ok {
			return false
		}
		return setExpression(a, "{for k, v in %s let w = v {(k): w}}", text)
	}},
	{"try", func(_ *generator, f *file, _ *part, a *assignment, text, _ string) bool {
		if _, ok := a.value.(object); !ok {
			return false
		}
		if !slices.Contains(f.head, "@experiment(try)") {
			f.head = append(f.head, "@experiment(try)")
		}
		return setExpression(a, "{let given = {v: %s}\ntry {given.v?}}", text)
	}},
}

// rewriteField applies at most one rewriting to an assignment.
func (g *generator) rewriteField(f *file, p *part, a *assignment) {
	if _, done := a.value.(expression); done {
		return
	}
	key := []any{p.service.name, strings.Join(a.path, ".")}
	id := strings.NewReplacer("-", "_", ".", "_").Replace(strings.Join(a.path, "_"))
	for _, w := range shuffled(g.random, rewritings, subkey(key, "ways")...) {
		if !g.enabled(w.feature) || !g.chance(0.3, subkey(key, w.feature)...) {
			continue
		}
		if w.apply(g, f, p, a, g.literal(a.value, key...), id) {
			g.countFeature(w.feature)
			return
		}
	}
}

// addToPackage adds a line to a package of the module.
func (g *generator) addToPackage(name, line string) {
	file := "lib/" + name + "/" + name + ".cue"
	if g.data[file] == "" {
		g.data[file] = "package " + name + "\n\n"
	}
	g.data[file] += line + "\n"
}

// dataFile writes the value of an assignment to a JSON or YAML file and returns its name, "" if
// that is not possible.
func (g *generator) dataFile(f *file, p *part, a *assignment, id, kind string) string {
	text, ok := jsonOf(a.value)
	if !ok || g.layout.fileList {
		return "" // CUE does not support @embed in files that it gets by name.
	}
	if head := "@extern(embed)"; !slices.Contains(f.head, head) {
		f.head = append(f.head, head)
	}
	if kind == "yaml" {
		text = "# the same in YAML\n&anchor " + text
	}
	name := folderOf(f.path) + "data/" + p.service.name + "/" + id + "." + kind
	g.data[name] = text + "\n"
	return name
}

func (g *generator) embed(f *file, p *part, a *assignment, id, kind string) bool {
	name := g.dataFile(f, p, a, id, kind)
	if name == "" {
		return false
	}
	return setExpression(a, "_ @embed(file=%q)", strings.TrimPrefix(name, folderOf(f.path)))
}
