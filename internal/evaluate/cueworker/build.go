package cueworker

import (
	"fmt"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/load"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// root is the folder of the snapshot for CUE. It must not exist on disk: CUE looks there for files
// that the overlay does not have. load.Config.FS would be simpler than an overlay, but cannot load
// packages of cue.mod/pkg (CUE v0.17.1: "cannot get absolute path for FS").
const root = "/.isthmus-snapshot-in-memory"

// build loads the files as one instance and evaluates it.
func build(q repositoryRequest, files []string, pkg string) (cue.Value, Locator, error) {
	overlay := make(map[string]load.Source, len(q.Files))
	for p, data := range q.Files {
		overlay[root+"/"+p] = load.FromBytes(data)
	}
	config := &load.Config{
		Overlay:    overlay,
		Dir:        root,
		ModuleRoot: root,
		Package:    pkg,
		// No registries and, without TagVars, no properties of the host.
		Env: []string{"CUE_REGISTRY=none"},
	}
	if q.Cluster != "" {
		config.Tags = []string{"cluster=" + q.Cluster}
	}
	args := make([]string, len(files))
	for i, f := range files {
		args[i] = root + "/" + f
	}
	instances := load.Instances(args, config)
	if len(instances) != 1 {
		return cue.Value{}, nil, manifest.Findings{{Message: fmt.Sprintf("the files make %d packages instead of one", len(instances))}}
	}
	at := newLocator(instances[0].Files)
	if err := instances[0].Err; err != nil {
		return cue.Value{}, nil, explainLoad(fromCUE(err, at))
	}
	// For CUE, files that are listed one by one belong to no module, and could not embed anything.
	instances[0].Module, instances[0].Root = modulePath(q.Files[ModuleFile]), root
	value := cuecontext.New().BuildInstance(instances[0])
	return value, at, nil
}

// check returns the errors of `cue vet` and then of `cue export`.
func check(value cue.Value) error {
	if err := value.Validate(cue.Attributes(true), cue.Optional(true), cue.Definitions(true), cue.Hidden(true)); err != nil {
		return err
	}
	return value.Validate(cue.Concrete(true))
}

// explainLoad adds the remedy to CUE's errors about files that it cannot load.
func explainLoad(findings manifest.Findings) manifest.Findings {
	for i, f := range findings {
		if f.File == "" && strings.Contains(f.Message, "module.cue") {
			findings[i].File = ModuleFile
		}
		if strings.Contains(f.Message, "isthmus.dev/mesh") {
			findings[i].Message += "; `isthmus vendor` puts the module isthmus.dev/mesh into cue.mod/pkg"
		}
		if strings.Contains(f.Message, "is too new for current language version") {
			findings[i].Message += "; write an older one, or upgrade Isthmus first, its controllers and its command"
		}
	}
	return findings
}
