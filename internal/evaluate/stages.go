package evaluate

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/errors"

	meshmodule "github.com/isthmus-mesh/isthmus/cue"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/sandbox"
)

// What stands in this file, and all that it calls, runs in the child: the steps in which a repository is evaluated in shards.
const (
	classifyHandler  = "classify"
	manifestsHandler = "manifests"
	sharedHandler    = "shared"
	shardHandler     = "shard"
)

func init() {
	handle(classifyHandler, func(files map[string][]byte) (map[string]fileInfo, error) {
		infos := make(map[string]fileInfo, len(files))
		for p, data := range files {
			infos[p] = classify(p, data)
		}
		return infos, nil
	})
	handle(manifestsHandler, manifests)
	handle(sharedHandler, sharedValues)
	handle(shardHandler, shard)
}

// handle registers what answers one kind of question: gob in, which is ours and fast with bytes, JSON out, whose decoder withstands
// what a child may say.
func handle[Q, A any](name string, answer func(Q) (A, error)) {
	sandbox.Handle(name, func(_ context.Context, request []byte) (response []byte, err error) {
		defer func() {
			if p := recover(); p != nil {
				response, err = encode(reply[A]{Findings: manifest.Findings{{Message: fmt.Sprintf("the CUE evaluator gave up: %v\n%s", p, debug.Stack())}}})
			}
		}()
		var q Q
		if err := gob.NewDecoder(bytes.NewReader(request)).Decode(&q); err != nil {
			return nil, fmt.Errorf("reading the question: %w", err)
		}
		a, err := answer(q)
		if err != nil {
			found, ok := err.(manifest.Findings) //nolint:errorlint // never wrapped here
			if !ok {
				return nil, err
			}
			return encode(reply[A]{Findings: found})
		}
		return encode(reply[A]{Answer: &a})
	})
}

// reply is an answer, or why there is none.
type reply[A any] struct {
	Findings manifest.Findings `json:"findings,omitempty"`
	Answer   *A                `json:"answer,omitempty"`
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false) // what CUE wrote stays as it is
	err := out.Encode(v)
	return b.Bytes(), err
}

// meshQuestion is a part of a mesh: all files, those among them that are the mesh's own, and its package.
type meshQuestion struct {
	Files   map[string][]byte
	Mesh    []string
	Package string
	// Cluster is the tag's value, "" for none.
	Cluster string
}

// Files of the module: what makes it evaluate a mesh as a whole, and what takes its place in a shard.
const (
	wholeFile = vendored + meshmodule.Path + "/shard_all.cue"
	shardFile = vendored + meshmodule.Path + "/shard.cue"
)

// acrossServices are the files of the module that say nothing of a service by itself, and define nothing that a repository could use.
var acrossServices = []string{"cluster_relation.cue", "cluster_view.cue", "checks.cue", "checks_access.cue", "checks_clusters.cue", "checks_routes.cue"}

// build evaluates with another file in the place of wholeFile, and without some of the module.
func (q meshQuestion) build(shard string, without ...string) (cue.Value, locator, error) {
	delete(q.Files, wholeFile)
	for _, name := range without {
		delete(q.Files, vendored+meshmodule.Path+"/"+name)
	}
	q.Files[shardFile] = []byte("@experiment(explicitopen)\n\npackage mesh\n\n" + shard)
	slices.Sort(q.Mesh)
	return build(question{Cluster: q.Cluster, Files: q.Files}, q.Mesh, q.Package)
}

// nothing is a shard without services.
const nothing = `#Mesh: {
	_own: {}
	_all: {}
	_rivals: {}
	_meshwide: %t
	_exporting: false
	_exports: {...}
	_rendered: {...}
	resources: {...}
}
`

// sharedValues evaluates what is not of one service: settings, inventory and externals, as plain data.
func sharedValues(q meshQuestion) (map[string]json.RawMessage, error) {
	value, at, err := q.build(fmt.Sprintf(nothing, true))
	if err != nil {
		return nil, err
	}
	if err := check(value); err != nil {
		return nil, fromCUE(err, at)
	}
	values := map[string]json.RawMessage{}
	for _, name := range []string{"settings", "clusters", "externals"} {
		data, err := value.LookupPath(cue.ParsePath(name)).MarshalJSON()
		if err != nil {
			return nil, fromCUE(err, at)
		}
		values[name] = data
	}
	return values, nil
}

type manifestsQuestion struct {
	On       meshQuestion
	Services []string
}

// evaluated is one service: its manifest as plain data, or what is wrong with it.
type evaluated struct {
	Manifest json.RawMessage   `json:"manifest,omitempty"`
	Findings manifest.Findings `json:"findings,omitempty"`
}

// manifests evaluates some services. What is wrong with one is no business of the others; what nothing can be made of, as an
// unresolved reference, is an error for all that were asked for together.
func manifests(q manifestsQuestion) (map[string]evaluated, error) {
	value, at, err := q.On.build(fmt.Sprintf(nothing, false), acrossServices...)
	if err != nil {
		return nil, err
	}
	services := value.LookupPath(cue.ParsePath(servicesField))
	if !services.Exists() {
		if err := check(value); err != nil {
			return nil, fromCUE(err, at)
		}
		return nil, manifest.Findings{{Message: "there are no services"}}
	}
	out := make(map[string]evaluated, len(q.Services))
	for _, name := range q.Services {
		service := services.LookupPath(cue.MakePath(cue.Str(name)))
		err := check(service)
		var data []byte
		if err == nil {
			data, err = service.MarshalJSON()
		}
		if err != nil {
			out[name] = evaluated{Findings: fromCUE(err, at)}
			continue
		}
		out[name] = evaluated{Manifest: data}
	}
	return out, nil
}

type shardQuestion struct {
	On meshQuestion
	// Own are the services to check and to render, Others what these have to know of others, Rivals those that may claim the same; all
	// as JSON by name.
	Own, Others, Rivals map[string][]byte
	// Written are services to check and to render as the files say them, which are among On's: data has lost which values were defaults,
	// and in which order fields stood.
	Written []string
	// Meshwide: the inventory, the externals and what a cluster has once are rendered, too; Exporting: some service is called by
	// a name that only gateways know.
	Meshwide, Exporting bool
}

// rendering is what a shard makes of one service.
type rendering struct {
	// Resources by key.
	Resources map[string]json.RawMessage `json:"resources,omitempty"`
	// Exports: other clusters call it by a name that only our gateways know.
	Exports bool `json:"exports,omitempty"`
	// TooMuch is which limit it went over, "" for none.
	TooMuch string `json:"tooMuch,omitempty"`
	// Undecided: it cannot be rendered from data.
	Undecided bool `json:"undecided,omitempty"`
}

// shardAnswer has everything that could be rendered, by service; "" is what a cluster has once.
type shardAnswer struct {
	Services map[string]*rendering `json:"services"`
	Findings manifest.Findings     `json:"findings,omitempty"`
}

// shard checks and renders some services.
func shard(q shardQuestion) (shardAnswer, error) {
	value, at, err := q.On.build(q.text())
	if err != nil {
		return shardAnswer{}, err
	}
	a := shardAnswer{Services: map[string]*rendering{}}
	if err := q.check(value); err != nil {
		a.Findings = fromCUE(err, at)
	}
	for name := range q.Own {
		a.Services[name] = &rendering{}
	}
	for _, name := range q.Written {
		a.Services[name] = &rendering{}
	}
	if q.Meshwide {
		a.Services[""] = &rendering{}
	}
	if q.On.Cluster == "" {
		return a, nil
	}
	exports, err := value.LookupPath(cue.MakePath(cue.Hid("_exports", meshmodule.Path))).Fields()
	if err != nil {
		return a, a.failed(err, at)
	}
	for exports.Next() {
		if r := a.Services[exports.Selector().Unquoted()]; r != nil {
			r.Exports = true
		}
	}
	rendered, err := value.LookupPath(cue.MakePath(cue.Hid(renderedField, meshmodule.Path))).Fields()
	if err != nil {
		return a, a.failed(err, at)
	}
	for rendered.Next() {
		service := renderedFor(rendered.Selector().Unquoted())
		r := a.Services[service]
		if r == nil {
			return a, fmt.Errorf("the shard rendered %s, which is not its own", rendered.Selector().Unquoted())
		}
		var resources map[string]json.RawMessage
		data, err := rendered.Value().MarshalJSON()
		if err == nil {
			err = json.Unmarshal(data, &resources)
		}
		if err != nil {
			// It was found by check, which knows more of it.
			if len(a.Findings) == 0 {
				return a, a.failed(err, at)
			}
			delete(a.Services, service)
			continue
		}
		if r.Resources == nil {
			r.Resources = resources
			continue
		}
		maps.Copy(r.Resources, resources)
	}
	return a, nil
}

// check finds what is wrong with the shard. Beside services as they are written others may stand, which are none of its business.
func (q shardQuestion) check(value cue.Value) error {
	if len(q.Written) == 0 {
		return check(value)
	}
	paths := []cue.Path{cue.MakePath(cue.Hid(checksField, meshmodule.Path)), cue.MakePath(cue.Hid(renderedField, meshmodule.Path)), cue.ParsePath(resourcesField)}
	for _, name := range q.Written {
		paths = append(paths, cue.MakePath(cue.Str(servicesField), cue.Str(name)))
	}
	var all errors.Error
	for _, p := range paths {
		if err := check(value.LookupPath(p)); err != nil && value.LookupPath(p).Exists() {
			all = errors.Append(all, errors.Promote(err, ""))
		}
	}
	if all == nil {
		return nil
	}
	return all
}

func (a shardAnswer) failed(err error, at locator) error {
	if len(a.Findings) > 0 {
		return a.Findings
	}
	return fromCUE(err, at)
}

// renderedFor is the service that a key of renderedField is for, "" for what is none's.
func renderedFor(key string) string {
	if path := renderedFrom(key); path[0] == servicesField {
		return path[1]
	}
	return ""
}

// text is the shard as CUE. The data stands outside of #Mesh, which would close it. What comes from
// comprehensions alone would be no struct at all if these gave nothing.
func (q shardQuestion) text() string {
	var b strings.Builder
	object := func(name string, values map[string][]byte) {
		fmt.Fprintf(&b, "%s: {\n", name)
		for _, n := range slices.Sorted(maps.Keys(values)) {
			label, _ := json.Marshal(n) // a string always can be
			fmt.Fprintf(&b, "%s: %s\n", label, values[n])
		}
		b.WriteString("}\n")
	}
	object("_ownData", q.Own)
	object("_otherData", q.Others)
	object("_rivalData", q.Rivals)
	written, _ := json.Marshal(append([]string{}, q.Written...))
	fmt.Fprintf(&b, `#Mesh: {
	_own: {...}
	_all: {...}
	_rivals: {...}
	services: _
	_own: {for n, s in _ownData {(n): s}, for n in %[3]s {(n): services[n]}}
	_rivals: {for n, s in _ownData {(n): s}, for n in %[3]s {(n): services[n]}, for n, s in _rivalData {(n): s}}
	_all: {for n, s in _rivals {(n): s}, for n, s in _otherData {(n): s}}
	_meshwide: %[1]t
	_exporting: %[2]t
	_exports: {...}
	_rendered: {...}
	resources: {...}
}
`, q.Meshwide, q.Exporting, written)
	return b.String()
}
