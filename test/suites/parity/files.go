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
	// together: the parts stand in one struct, where they can refer to each other by name.
	together bool
	// postfix: aliases are written name~X.
	postfix bool
	// kept: it stays even if nothing stands in it.
	kept bool
	// marked: it begins with a byte order mark.
	marked bool
}

// part is what one file says of one service.
type part struct {
	service *service
	facts   []fact
	more    []string // other declarations of the manifest
	alias   string
	opening string // what the manifest is unified with, "_base & "
}

// layout is how services are spread over folders.
type layout struct {
	name string
	// list: CUE is given all files by name, since no folder has them all.
	list bool
	// folder is the one whose files and those of the folders above are the mesh.
	folder string
	// rooted: some service stands in the root folder, which is then no mesh without those below.
	rooted bool
}

func (m *maker) file(path string) *file {
	f, ok := m.files[path]
	if !ok {
		f = &file{path: path, imports: map[string]string{}}
		m.files[path] = f
	}
	return f
}

func (f *file) add(format string, args ...any) {
	f.top = append(f.top, fmt.Sprintf(format, args...))
}

// importing is the name of an import.
func (m *maker) importing(f *file, path string) string {
	if name, ok := f.imports[path]; ok {
		return name
	}
	name := path[strings.LastIndexAny(path, "/:")+1:]
	if path != "isthmus.dev/mesh" && m.on("import under another name", f.path, path) {
		// Other files call other packages so.
		name = fmt.Sprintf("p%d", len(f.imports))
	}
	f.imports[path] = name
	return name
}

// with is text that calls a package by its own name, as the file calls it.
func (m *maker) with(f *file, path, text string) string {
	return strings.ReplaceAll(text, path[strings.LastIndexAny(path, "/:")+1:]+".", m.importing(f, path)+".")
}

// lay decides where services are.
func (m *maker) lay() {
	m.layout = layout{name: "services", folder: "./services"}
	switch {
	case m.once("layout: nested folders"):
		m.layout = layout{name: "nested", list: true}
	case m.once("layout: all in the root"):
		m.layout = layout{name: "root", folder: "."}
	case m.once("layout: folder of the platform"):
		m.layout = layout{name: "platform", folder: "./services/platform"}
	}
}

// settle gives each service its part.
func (m *maker) settle() {
	for _, s := range m.services {
		f := m.file(m.home(s))
		f.parts = append(f.parts, &part{service: s, facts: s.facts})
	}
	for _, name := range slices.Sorted(maps.Keys(m.files)) {
		if f := m.files[name]; len(f.parts) > 1 {
			f.together = m.on("several services in one struct", name)
		}
		if f := m.files[name]; len(f.parts) > 0 && len(f.top) == 0 && name != "mesh.cue" && m.on("aliases of version 2", name) {
			m.files[name].head = append(m.files[name].head, "@experiment(aliasv2)")
			m.files[name].postfix = true
		}
	}
}

func (m *maker) home(s *service) string {
	team := pick(m.dice, []string{"team-a", "team-b"}, s.name, "team")
	name := s.name
	if m.on("file of several services", s.name) {
		name = team
	}
	if m.turned("file of another name", slices.Index(m.services, s)) {
		name += "-renamed"
	}
	switch {
	case m.layout.name == "root" && m.on("services in mesh.cue", s.name):
		return "mesh.cue"
	case m.layout.name == "root":
		return name + ".cue"
	case m.layout.name == "nested":
		return "services/" + team + "/" + name + ".cue"
	case m.onFor(0.2, "services beside mesh.cue", s.name):
		m.layout.rooted = true
		return name + ".cue"
	}
	return "services/" + name + ".cue"
}

// platform is the folder of files that the platform owns.
func (m *maker) platform() string {
	switch m.layout.name {
	case "platform":
		return "services/platform/"
	case "nested":
		return "platform/"
	case "root":
		return ""
	}
	return "services/"
}

// text is the file in CUE.
func (m *maker) source(f *file) string {
	var b strings.Builder
	if f.marked {
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
	for i, p := range shuffled(m.dice, f.parts, f.path, "parts") {
		parts = append(parts, m.manifest(f, p, i))
	}
	if f.together {
		pieces = append(pieces, "services: {\n"+strings.Join(parts, "\n")+"\n}")
	} else {
		for i, p := range parts {
			parts[i] = "services: " + p
		}
		pieces = append(pieces, parts...)
	}
	for _, p := range shuffled(m.dice, pieces, f.path, "pieces") {
		b.WriteString(p + "\n")
		if m.on("comments", f.path, p) {
			b.WriteString("\n// services: nobody: {owner: 1} is no manifest. @embed(file=none.json) \\(x) \"\"\"\n\n")
		}
	}
	return b.String()
}

// manifest is what a file says of a service, with its name.
func (m *maker) manifest(f *file, p *part, i int) string {
	var lines []string
	for _, fa := range p.facts {
		key := []any{p.service.name, strings.Join(fa.path, ".")}
		labels := make([]string, len(fa.path))
		for i, name := range fa.path {
			if i == 0 {
				labels[i] = m.staticLabel(name, at(key, i)) // others may refer to it
				continue
			}
			labels[i] = m.anyLabel(name, at(key, i))
		}
		line := strings.Join(labels, ": ") + ": " + m.write(fa.value, key...)
		if strings.Contains(line, "@tag(") {
			line = path(fa.path...) + ": " + m.write(fa.value, key...) // CUE reads it below plain names only
		}
		if m.onFor(0.05, "attributes", key...) {
			line += ` @go(Field) @corp(text="services: x", n=1)`
		}
		if !strings.Contains(line, "@tag(") && !strings.Contains(line, "@embed(") && m.onFor(0.05, "condition around a field", key...) {
			// CUE reads no such attribute in a comprehension.
			line = "if len(clusters) > 0 {" + line + "}"
		}
		lines = append(lines, line)
	}
	lines = append(lines, p.more...)
	if m.on("ellipsis", p.service.name, f.path) {
		lines = append(lines, "...")
	}
	if m.on("comments", p.service.name, f.path, "inside") {
		lines = append(lines, "// let unused = services.nobody")
	}
	ellipsis := slices.Index(lines, "...")
	order := shuffled(m.dice, lines, f.path, p.service.name, i)
	if ellipsis >= 0 {
		order = append(slices.DeleteFunc(order, func(l string) bool { return l == "..." }), "...")
	}
	name := m.staticLabel(p.service.name, []any{p.service.name, f.path})
	if slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "@tag(") }) {
		name = label(p.service.name)
	}
	value := "{\n\t" + strings.Join(order, "\n\t") + "\n}"
	if p.alias != "" {
		if f.postfix {
			name += "~" + p.alias
		} else {
			return name + ": " + p.alias + "=" + p.opening + value
		}
	}
	return name + ": " + p.opening + value
}

// withParts are the files of services, sorted by path.
func (m *maker) withParts() []*file {
	var out []*file
	for _, f := range m.files {
		if len(f.parts) > 0 {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b *file) int { return cmp.Compare(a.path, b.path) })
	return out
}

// folderOf is the folder of a file, with a slash, "" for the root.
func folderOf(path string) string {
	if d := filepath.ToSlash(filepath.Dir(path)); d != "." {
		return d + "/"
	}
	return ""
}
