package evaluate

import (
	"encoding/json"
	"fmt"
	"runtime/debug"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/load"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// What stands in this file, and all that it calls, runs in the child.

// root is the folder under which CUE sees the snapshot. It exists on no machine: load.Config.FS would say that more
// plainly, but cannot load packages of cue.mod/pkg (v0.17.1: "cannot get absolute path for FS"), so the snapshot is an overlay,
// and what the overlay lacks is looked for on disk, where it must not be.
const root = "/.isthmus-snapshot-in-memory"

// recovered is evaluate, where a panic of CUE's is a finding as well: it stems from what the repository says.
func recovered(q question) (a answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = manifest.Findings{{Message: fmt.Sprintf("the CUE evaluator gave up: %v\n%s", p, debug.Stack())}}
		}
	}()
	return evaluate(q)
}

func evaluate(q question) (answer, error) {
	files, pkg, err := meshFiles(q.Files)
	if err != nil {
		return answer{}, err
	}
	value, at, err := build(q, files, pkg)
	if err != nil {
		return answer{}, err
	}
	if err := check(value); err != nil {
		return answer{}, withUnknownCluster(fromCUE(err, at), value, q.Cluster)
	}
	a := answer{Values: map[string]json.RawMessage{}, At: at}
	for _, name := range fields(q.Cluster) {
		field := value.LookupPath(cue.ParsePath(name))
		if !field.Exists() {
			continue
		}
		if a.Values[name], err = field.MarshalJSON(); err != nil {
			return answer{}, fromCUE(err, at)
		}
	}
	return a, nil
}

// build loads the files as one instance and evaluates it.
func build(q question, files []string, pkg string) (cue.Value, locator, error) {
	overlay := make(map[string]load.Source, len(q.Files))
	for p, data := range q.Files {
		overlay[root+"/"+p] = load.FromBytes(data)
	}
	config := &load.Config{
		Overlay:    overlay,
		Dir:        root,
		ModuleRoot: root,
		Package:    pkg,
		// Neither registries nor, without TagVars, the host's facts: a repository means the same everywhere.
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
	// Files that are listed one by one belong to no module for CUE, and could then embed nothing; as a folder they do.
	instances[0].Module, instances[0].Root = modulePath(q.Files[moduleFile]), root
	value := cuecontext.New().BuildInstance(instances[0])
	return value, at, nil
}

// check finds what `cue vet` and then `cue export` would complain about.
func check(value cue.Value) error {
	if err := value.Validate(cue.Attributes(true), cue.Optional(true), cue.Definitions(true), cue.Hidden(true)); err != nil {
		return err
	}
	return value.Validate(cue.Concrete(true))
}

// explainLoad adds what to do to what CUE says of files that it cannot load.
func explainLoad(findings manifest.Findings) manifest.Findings {
	for i, f := range findings {
		if f.File == "" && strings.Contains(f.Message, "module.cue") {
			findings[i].File = moduleFile
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
