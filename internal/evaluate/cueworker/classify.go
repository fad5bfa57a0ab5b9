package cueworker

import (
	"slices"
	"strings"

	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	meshmodule "github.com/isthmus-mesh/isthmus/cue"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// FileInfo is the result of parsing one file, independent of other files. It decides which files
// can be evaluated apart from each other.
type FileInfo struct {
	Package string   `json:"package,omitempty"`
	Imports []string `json:"imports,omitempty"`
	// Services are the services that the file defines by a plain name, sorted.
	Services []string `json:"services,omitempty"`
	// Isolatable: the file defines nothing but Services.
	Isolatable bool `json:"isolatable,omitempty"`
	// Obstacle is the reason why the repository must be evaluated in one piece, nil if there is
	// none.
	Obstacle *Obstacle `json:"obstacle,omitempty"`
	// ReadsCluster: a value other than a template depends on the cluster.
	ReadsCluster bool `json:"readsCluster,omitempty"`
	// OrderSensitive: a template may depend on more than the values of a manifest: on the order of
	// fields, or on which values are defaults.
	OrderSensitive bool `json:"orderSensitive,omitempty"`
	// Embeds: the file may read files that are not CUE.
	Embeds bool `json:"embeds,omitempty"`
	// Hidden are hidden fields and definitions of services (_x, #x), with their lines. Data does
	// not contain them. Seen are those that code outside of services may refer to.
	Hidden map[string]int  `json:"hidden,omitempty"`
	Seen   map[string]bool `json:"seen,omitempty"`
	// Findings are the syntax errors.
	Findings manifest.Findings `json:"findings,omitempty"`
}

// Obstacle is a place in a file that prevents sharding.
type Obstacle struct {
	Line int    `json:"line"`
	Why  string `json:"why"`
}

// Fields of the root with a special role in shards.
const (
	ServicesField         = "services"
	clusterField          = "cluster"
	TemplateField         = "#template"
	externalTemplateField = "#externalTemplate"
)

// classify parses one file.
func classify(path string, data []byte) FileInfo {
	f, err := parser.ParseFile(root+"/"+path, data, parser.ParseComments)
	if err != nil {
		return FileInfo{Findings: fromCUE(err, nil)}
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
	c.info.Isolatable = len(c.services) > 0 && !c.other.IsValid() && !c.info.Embeds
	if len(c.services) > 0 && c.other.IsValid() {
		c.obstacle(c.other, "it defines services and other fields; move the services to a file of their own")
	}
	return c.info
}

// classifier inspects the syntax of a file. It is conservative: unknown syntax is an obstacle.
type classifier struct {
	info     FileInfo
	services map[string]struct{}
	// module are the names under which the file imports the CUE module.
	module map[string]bool
	// other is the first declaration that is not a service.
	other token.Pos
}

func (c *classifier) obstacle(at token.Pos, why string) {
	if c.info.Obstacle == nil {
		c.info.Obstacle = &Obstacle{Line: at.Line(), Why: why}
	}
}

func (c *classifier) notService(at token.Pos) {
	if !c.other.IsValid() {
		c.other = at
	}
}
