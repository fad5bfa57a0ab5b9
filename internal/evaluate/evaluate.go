package evaluate

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/load"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// root is the folder under which CUE sees the snapshot. It exists on no machine: load.Config.FS would say that more
// plainly, but cannot load packages of cue.mod/pkg (v0.17.1: "cannot get absolute path for FS"), so the snapshot is an overlay,
// and what the overlay lacks is looked for on disk, where it must not be.
const root = "/.isthmus-snapshot-in-memory"

// Options say what to evaluate for.
type Options struct {
	// Cluster is the cluster to render for; "" checks the repository and renders nothing.
	Cluster string
}

// Result is what a commit says.
type Result struct {
	Mesh *manifest.Mesh
	// Rendered are the objects that the template made for Options.Cluster, by "Kind/namespace/name", in JSON with numbers
	// as CUE writes them. Nil if no cluster was asked for.
	Rendered map[string]json.RawMessage

	at locator
}

// Locate is where a path of the mesh ("services.checkout.routes") was written, or the nearest field around it.
func (r *Result) Locate(path string) (Position, bool) { return r.at.find(strings.Split(path, ".")) }

// running lets one evaluation run at a time: it takes all the memory that a repository makes it take, and
// one that was given up on is still running.
var running = make(chan struct{}, 1)

// abandoned is when the running evaluation lost its listener; zero while it has one, or none runs.
var abandoned struct {
	sync.Mutex
	since time.Time
}

// Abandoned is for how long an evaluation has been running that nobody waits for any more, 0 if none is. Until it ends
// nothing else can be evaluated, and nothing but the end of the process can end it.
func Abandoned() time.Duration {
	abandoned.Lock()
	defer abandoned.Unlock()
	if abandoned.since.IsZero() {
		return 0
	}
	return time.Since(abandoned.since)
}

// Evaluate is plain CUE's answer for a snapshot. Problems of the repository are manifest.Findings, all of them;
// any other error is of this process: the context ended, or an earlier evaluation is still running.
func Evaluate(ctx context.Context, snap *source.Snapshot, opts Options) (*Result, error) {
	select {
	case running <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for an earlier evaluation, which is still running: %w", context.Cause(ctx))
	}
	type answer struct {
		result *Result
		err    error
	}
	done := make(chan answer, 1)
	ended := false // guarded by abandoned
	go func() {
		defer func() {
			abandoned.Lock()
			ended, abandoned.since = true, time.Time{}
			abandoned.Unlock()
			<-running
		}()
		var a answer
		defer func() { done <- a }()
		defer func() {
			if p := recover(); p != nil {
				a = answer{err: manifest.Findings{{Message: fmt.Sprintf("the CUE evaluator gave up: %v\n%s", p, debug.Stack())}}}
			}
		}()
		a.result, a.err = evaluate(snap, opts)
	}()
	select {
	case a := <-done:
		return a.result, a.err
	case <-ctx.Done():
		abandoned.Lock()
		if !ended {
			abandoned.since = time.Now()
		}
		abandoned.Unlock()
		return nil, fmt.Errorf("evaluating the repository took too long; it goes on without a listener: %w", context.Cause(ctx))
	}
}

func evaluate(snap *source.Snapshot, opts Options) (*Result, error) {
	files, pkg, err := meshFiles(snap)
	if err != nil {
		return nil, err
	}
	// A fresh context each time: a context keeps everything it ever evaluated.
	value, at, err := build(snap, files, pkg, opts.Cluster)
	if err != nil {
		return nil, err
	}
	if err := check(value); err != nil {
		return nil, fromCUE(err, at)
	}
	result := &Result{Mesh: &manifest.Mesh{}, at: at}
	for path, into := range map[string]any{
		"settings":  &result.Mesh.Settings,
		"clusters":  &result.Mesh.Clusters,
		"services":  &result.Mesh.Services,
		"externals": &result.Mesh.Externals,
	} {
		if err := decode(value, path, into); err != nil {
			return nil, fromCUE(err, at)
		}
	}
	if opts.Cluster == "" {
		return result, nil
	}
	if err := decode(value, "resources", &result.Rendered); err != nil {
		return nil, fromCUE(err, at)
	}
	return result, nil
}

// build loads the files as one instance and evaluates it.
func build(snap *source.Snapshot, files []string, pkg, cluster string) (cue.Value, locator, error) {
	overlay := make(map[string]load.Source, len(snap.Files))
	for p, blob := range snap.Files {
		overlay[root+"/"+p] = load.FromBytes(blob.Data)
	}
	config := &load.Config{
		Overlay:    overlay,
		Dir:        root,
		ModuleRoot: root,
		Package:    pkg,
		// Neither registries nor the host's facts: a repository means the same everywhere.
		Env:     []string{"CUE_REGISTRY=none"},
		TagVars: map[string]load.TagVar{},
	}
	if cluster != "" {
		config.Tags = []string{"cluster=" + cluster}
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
	instances[0].Module, instances[0].Root = modulePath(snap.Files[moduleFile].Data), root
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

// decode takes one field out of the value as plain data; a field that is absent leaves into as it is.
func decode(value cue.Value, path string, into any) error {
	field := value.LookupPath(cue.ParsePath(path))
	if !field.Exists() {
		return nil
	}
	data, err := field.MarshalJSON()
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
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
