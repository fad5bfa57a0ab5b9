package parity

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	meshmodule "github.com/isthmus-mesh/isthmus/cue"
	"github.com/isthmus-mesh/isthmus/test/bench"
)

// Repository is a mesh repository, and what has to be known to use it.
type Repository struct {
	// Files by path.
	Files map[string]string
	// Clusters of the inventory, and the services that it was made of; some features add more.
	Clusters, Services []string
	// Vet and Export are what plain CUE is given: a folder, or the list of all files.
	Vet, Export []string
	// Features are what occurs, how often.
	Features map[string]int
	// Change is what was changed, "" for nothing; Mistake is set if plain CUE has to refuse it.
	Change  string
	Mistake bool
}

// Make makes the repository of a spec; equal specs give equal files.
func Make(spec Spec) (*Repository, error) {
	m := newMaker(spec)
	m.inventory()
	m.configure()
	m.cast()
	m.lay()
	m.patterns()
	m.shareFacts()
	m.settle()
	m.express()
	m.relateServices()
	m.overrides()
	m.root()
	m.surroundings()
	m.imports()
	return m.repository()
}

func (m *maker) repository() (*Repository, error) {
	r := &Repository{Files: maps.Clone(m.data), Features: m.used}
	entries, err := meshmodule.Files.ReadDir(".")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		data, err := meshmodule.Files.ReadFile(e.Name())
		if err != nil {
			return nil, err
		}
		r.Files["cue.mod/pkg/"+meshmodule.Path+"/"+e.Name()] = string(data)
	}
	version := ""
	if m.once("module with a major version") {
		version = "@v0"
	}
	r.Files["cue.mod/module.cue"] = "module: \"" + modulePath + version + "\"\nlanguage: version: \"v0.17.0\"\n"
	if m.layout.folder == "./services" {
		m.file("services/doc.cue").kept = true
	} else if m.layout.name == "platform" {
		m.file("services/platform/doc.cue").kept = true
	}
	maps.DeleteFunc(m.files, func(_ string, f *file) bool { return !f.kept && len(f.top) == 0 && len(f.parts) == 0 })
	for name, f := range m.files {
		r.Files[name] = m.source(f)
	}
	if m.once("line ends of Windows") {
		name := pick(m.dice, slices.Sorted(maps.Keys(m.files)), "line ends")
		r.Files[name] = crlf(r.Files[name])
	}
	if m.spec.Changed {
		r.Change = m.change.kind
		r.Mistake = slices.Contains(mistakes, r.Change)
		if !slices.Contains(changes, r.Change) && !m.edit(r.Files) {
			r.Change = "edit: a comment"
			r.Files["mesh.cue"] += "// nothing else to change\n"
		}
	}
	for _, c := range m.clusters {
		r.Clusters = append(r.Clusters, c.name)
	}
	for _, s := range m.services {
		r.Services = append(r.Services, s.name)
	}
	r.Export = []string{m.layout.folder}
	r.Vet = r.Export
	if m.layout.list {
		r.Export = r.own()
		r.Vet = r.Export
	} else if m.layout.name == "services" && !m.layout.rooted {
		r.Vet = []string{"./..."}
	}
	return r, nil
}

// Write puts the files below dir, where nothing else is left.
func (r *Repository) Write(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return bench.WriteFiles(dir, r.Files)
}

// own are the files of the mesh's package.
func (r *Repository) own() []string {
	var out []string
	for name, text := range r.Files {
		hidden := strings.HasPrefix(name, "_") || strings.HasPrefix(name, ".") || strings.Contains(name, "/_") || strings.Contains(name, "/.")
		tool := strings.HasSuffix(name, "_tool.cue") || strings.HasSuffix(name, "_test.cue")
		if strings.HasSuffix(name, ".cue") && !hidden && !tool && packageConfig.MatchString(text) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

var packageConfig = regexp.MustCompile(`(?m)^\x{feff}?package config\r?$`)

func crlf(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }
