package evaluate

import (
	"slices"
	"strings"

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
