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

// Repository is a generated mesh repository.
type Repository struct {
	// Files maps paths to contents.
	Files map[string]string
	// Clusters and Services are the generated ones. Some features add more.
	Clusters, Services []string
	// Vet and Export are the arguments of plain CUE: a folder, or the list of all files.
	Vet, Export []string
	// Features counts the occurrences of features.
	Features map[string]int
	// Change is the applied change, "" for none. Mistake: plain CUE must reject the change.
	Change  string
	Mistake bool
}

// Make generates the repository of a spec. Equal specs give equal files.
func Make(spec Spec) (*Repository, error) {
	g := newGenerator(spec)
	g.generateClusters()
	g.generateSettings()
	g.generateServices()
	g.chooseLayout()
	g.writePatterns()
	g.shareValues()
	g.assignFiles()
	g.varyManifests()
	g.relateServices()
	g.writeTemplates()
	g.writeRoot()
	g.addUnrelatedFiles()
	g.completeImports()
	return g.repository()
}

func (g *generator) repository() (*Repository, error) {
	r := &Repository{Files: maps.Clone(g.data), Features: g.used}
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
	if g.apply("module with a major version") {
		version = "@v0"
	}
	r.Files["cue.mod/module.cue"] = "module: \"" + modulePath + version + "\"\nlanguage: version: \"v0.17.0\"\n"
	if g.layout.folder == "./services" {
		g.file("services/doc.cue").keepEmpty = true
	} else if g.layout.name == "platform" {
		g.file("services/platform/doc.cue").keepEmpty = true
	}
	maps.DeleteFunc(g.files, func(_ string, f *file) bool { return !f.keepEmpty && len(f.top) == 0 && len(f.parts) == 0 })
	for name, f := range g.files {
		r.Files[name] = g.sourceText(f)
	}
	if g.apply("line ends of Windows") {
		name := pick(g.random, slices.Sorted(maps.Keys(g.files)), "line ends")
		r.Files[name] = crlf(r.Files[name])
	}
	if g.spec.Changed {
		r.Change = g.change.kind
		r.Mistake = slices.Contains(mistakes, r.Change)
		if !slices.Contains(changes, r.Change) && !g.applyEdit(r.Files) {
			r.Change = "edit: a comment"
			r.Files["mesh.cue"] += "// nothing else to change\n"
		}
	}
	for _, c := range g.clusters {
		r.Clusters = append(r.Clusters, c.name)
	}
	for _, s := range g.services {
		r.Services = append(r.Services, s.name)
	}
	r.Export = []string{g.layout.folder}
	r.Vet = r.Export
	if g.layout.fileList {
		r.Export = r.packageFiles()
		r.Vet = r.Export
	} else if g.layout.name == "services" && !g.layout.servicesInRoot {
		r.Vet = []string{"./..."}
	}
	return r, nil
}

// Write replaces the content of dir with the files.
func (r *Repository) Write(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return bench.WriteFiles(dir, r.Files)
}

// packageFiles are the files of the package config.
func (r *Repository) packageFiles() []string {
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
