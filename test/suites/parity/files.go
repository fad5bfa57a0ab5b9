package parity

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// file is one .cue file.
type file struct {
	path    string
	head    []string          // attributes in front of the package clause
	imports map[string]string // import path → name
	top     []string          // declarations
	parts   []*part
	// oneStruct: the parts are in one struct, where they can refer to each other by name.
	oneStruct bool
	// postfixAliases: aliases are written name~X.
	postfixAliases bool
	// keepEmpty: the file is written even if it is empty.
	keepEmpty bool
	// byteOrderMark: the file begins with a byte order mark.
	byteOrderMark bool
}

// part is the content of one file for one service.
type part struct {
	service     *service
	assignments []assignment
	more        []string // other declarations of the manifest
	alias       string
	base        string // prefix that the manifest is unified with, "_base & "
}

// layout distributes the services over folders.
type layout struct {
	name string
	// fileList: CUE gets all files by name, because no folder contains all of them.
	fileList bool
	// folder: its files and those of its parent folders are the mesh.
	folder string
	// servicesInRoot: a service is in the root folder, which is not a complete mesh then.
	servicesInRoot bool
}

func (g *generator) file(path string) *file {
	f, ok := g.files[path]
	if !ok {
		f = &file{path: path, imports: map[string]string{}}
		g.files[path] = f
	}
	return f
}

func (f *file) add(format string, args ...any) {
	f.top = append(f.top, fmt.Sprintf(format, args...))
}

// importName is the name of an import in the file.
func (g *generator) importName(f *file, path string) string {
	if name, ok := f.imports[path]; ok {
		return name
	}
	name := path[strings.LastIndexAny(path, "/:")+1:]
	if path != "isthmus.dev/mesh" && g.applyTo("import under another name", f.path, path) {
		// Other files use the same name for other packages.
		name = fmt.Sprintf("p%d", len(f.imports))
	}
	f.imports[path] = name
	return name
}

// qualify replaces the name of a package in text by its import name in the file.
func (g *generator) qualify(f *file, path, text string) string {
	return strings.ReplaceAll(text, path[strings.LastIndexAny(path, "/:")+1:]+".", g.importName(f, path)+".")
}

// chooseLayout selects the folders.
func (g *generator) chooseLayout() {
	g.layout = layout{name: "services", folder: "./services"}
	switch {
	case g.apply("layout: nested folders"):
		g.layout = layout{name: "nested", fileList: true}
	case g.apply("layout: all in the root"):
		g.layout = layout{name: "root", folder: "."}
	case g.apply("layout: folder of the platform"):
		g.layout = layout{name: "platform", folder: "./services/platform"}
	}
}

// assignFiles assigns a file to each service.
func (g *generator) assignFiles() {
	for _, s := range g.services {
		f := g.file(g.fileOf(s))
		f.parts = append(f.parts, &part{service: s, assignments: s.assignments})
	}
	for _, name := range slices.Sorted(maps.Keys(g.files)) {
		if f := g.files[name]; len(f.parts) > 1 {
			f.oneStruct = g.applyTo("several services in one struct", name)
		}
		if f := g.files[name]; len(f.parts) > 0 && len(f.top) == 0 && name != "mesh.cue" && g.applyTo("aliases of version 2", name) {
			g.files[name].head = append(g.files[name].head, "@experiment(aliasv2)")
			g.files[name].postfixAliases = true
		}
	}
}

func (g *generator) fileOf(s *service) string {
	team := pick(g.random, []string{"team-a", "team-b"}, s.name, "team")
	name := s.name
	if g.applyTo("file of several services", s.name) {
		name = team
	}
	if g.isChanged("renamed file", slices.Index(g.services, s)) {
		name += "-renamed"
	}
	switch {
	case g.layout.name == "root" && g.applyTo("services in mesh.cue", s.name):
		return "mesh.cue"
	case g.layout.name == "root":
		return name + ".cue"
	case g.layout.name == "nested":
		return "services/" + team + "/" + name + ".cue"
	case g.applyToShare(0.2, "services beside mesh.cue", s.name):
		g.layout.servicesInRoot = true
		return name + ".cue"
	}
	return "services/" + name + ".cue"
}

// platformFolder is the folder of the platform's files.
func (g *generator) platformFolder() string {
	switch g.layout.name {
	case "platform":
		return "services/platform/"
	case "nested":
		return "platform/"
	case "root":
		return ""
	}
	return "services/"
}

// sourceText is the content of the file.
func (g *generator) sourceText(f *file) string {
	var b strings.Builder
	if f.byteOrderMark {
		b.WriteString("\ufeff")
	}
	for _, h := range f.head {
		b.WriteString(h + "\n\n")
	}
	b.WriteString("package config\n\n")
	for _, p := range slices.Sorted(maps.Keys(f.imports)) {
		fmt.Fprintf(&b, "import %s %q\n\n", f.imports[p], p)
	}
	pieces := slices.Clone(f.top)
	var parts []string
	for i, p := range shuffled(g.random, f.parts, f.path, "parts") {
		parts = append(parts, g.manifestText(f, p, i))
	}
	if f.oneStruct {
		pieces = append(pieces, "services: {\n"+strings.Join(parts, "\n")+"\n}")
	} else {
		for i, p := range parts {
			parts[i] = "services: " + p
		}
		pieces = append(pieces, parts...)
	}
	for _, p := range shuffled(g.random, pieces, f.path, "pieces") {
		b.WriteString(p + "\n")
		if g.applyTo("comments", f.path, p) {
			b.WriteString("\n// services: nobody: {owner: 1} is no manifest. @embed(file=none.json) \\(x) \"\"\"\n\n")
		}
	}
	return b.String()
}

// manifestText is the content of a part, including the name of the service.
func (g *generator) manifestText(f *file, p *part, i int) string {
	var lines []string
	for _, a := range p.assignments {
		key := []any{p.service.name, strings.Join(a.path, ".")}
		labels := make([]string, len(a.path))
		for i, name := range a.path {
			if i == 0 {
				labels[i] = g.staticLabel(name, subkey(key, i)) // other fields may refer to it
				continue
			}
			labels[i] = g.anyLabel(name, subkey(key, i))
		}
		line := strings.Join(labels, ": ") + ": " + g.literal(a.value, key...)
		if strings.Contains(line, "@tag(") {
			line = path(a.path...) + ": " + g.literal(a.value, key...) // CUE reads @tag below plain labels only
		}
		if g.applyToShare(0.05, "attributes", key...) {
			line += ` @go(Field) @corp(text="services: x", n=1)`
		}
		if !strings.Contains(line, "@tag(") && !strings.Contains(line, "@embed(") && g.applyToShare(0.05, "condition around a field", key...) {
			// CUE ignores these attributes in a comprehension.
			line = "if len(clusters) > 0 {" + line + "}"
		}
		lines = append(lines, line)
	}
	lines = append(lines, p.more...)
	if g.applyTo("ellipsis", p.service.name, f.path) {
		lines = append(lines, "...")
	}
	if g.applyTo("comments", p.service.name, f.path, "inside") {
		lines = append(lines, "// let unused = services.nobody")
	}
	ellipsis := slices.Index(lines, "...")
	order := shuffled(g.random, lines, f.path, p.service.name, i)
	if ellipsis >= 0 {
		order = append(slices.DeleteFunc(order, func(l string) bool { return l == "..." }), "...")
	}
	name := g.staticLabel(p.service.name, []any{p.service.name, f.path})
	if slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "@tag(") }) {
		name = label(p.service.name)
	}
	value := "{\n\t" + strings.Join(order, "\n\t") + "\n}"
	if p.alias != "" {
		if f.postfixAliases {
			name += "~" + p.alias
		} else {
			return name + ": " + p.alias + "=" + p.base + value
		}
	}
	return name + ": " + p.base + value
}

// serviceFiles are the files with services, sorted by path.
func (g *generator) serviceFiles() []*file {
	var out []*file
	for _, f := range g.files {
		if len(f.parts) > 0 {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b *file) int { return cmp.Compare(a.path, b.path) })
	return out
}

// folderOf is the folder of a file with a trailing slash, "" for the root.
func folderOf(path string) string {
	if d := filepath.ToSlash(filepath.Dir(path)); d != "." {
		return d + "/"
	}
	return ""
}
