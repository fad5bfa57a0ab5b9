package cueworker

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/errors"

	meshmodule "github.com/isthmus-mesh/isthmus/cue"
)

// ShardRequest is a shard: services to check and to render, and the parts of other services that
// these depend on.
type ShardRequest struct {
	On MeshRequest
	// Own are the services to check and to render, Others the parts of services that these depend
	// on, ConflictCandidates those that may claim the same host, address or pods; all as JSON by
	// name.
	Own, Others, ConflictCandidates map[string][]byte
	// FromSource are services to check and to render from their files, which are in On. Data does
	// not contain the order of fields, and which values are defaults.
	FromSource []string
	// Meshwide: render also the clusters, the externals and what a cluster has once.
	Meshwide bool
	// Exporting: other clusters call a service by a name that only gateways know.
	Exporting bool
}

// ServiceResources are the objects of one service.
type ServiceResources struct {
	// Objects by key.
	Objects map[string]json.RawMessage `json:"objects,omitempty"`
	// Exports: other clusters call the service by a name that only gateways know.
	Exports bool `json:"exports,omitempty"`
}

// ShardResponse contains everything that could be rendered.
type ShardResponse struct {
	// Services by name; "" has the objects that a cluster has once.
	Services map[string]*ServiceResources `json:"services"`
	Findings []ShardFinding               `json:"findings,omitempty"`
}

// shard checks and renders some services.
func shard(q ShardRequest) (ShardResponse, error) {
	value, at, err := q.On.build(q.text())
	if err != nil {
		return ShardResponse{}, err
	}
	a := ShardResponse{Services: map[string]*ServiceResources{}}
	if err := q.check(value); err != nil {
		a.Findings = shardFindings(err, at)
	}
	for name := range q.Own {
		a.Services[name] = &ServiceResources{}
	}
	for _, name := range q.FromSource {
		a.Services[name] = &ServiceResources{}
	}
	if q.Meshwide {
		a.Services[""] = &ServiceResources{}
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
			// check reported the error with more detail.
			if len(a.Findings) == 0 {
				return a, a.failed(err, at)
			}
			delete(a.Services, service)
			continue
		}
		if r.Objects == nil {
			r.Objects = resources
			continue
		}
		maps.Copy(r.Objects, resources)
	}
	return a, nil
}

// check returns the errors of the shard. Files of FromSource may define other services as well,
// whose errors are not part of the shard.
func (q ShardRequest) check(value cue.Value) error {
	if len(q.FromSource) == 0 {
		return check(value)
	}
	paths := []cue.Path{cue.MakePath(cue.Hid(checksField, meshmodule.Path)), cue.MakePath(cue.Hid(renderedField, meshmodule.Path)), cue.ParsePath(ResourcesField)}
	for _, name := range q.FromSource {
		paths = append(paths, cue.MakePath(cue.Str(ServicesField), cue.Str(name)))
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

func (a ShardResponse) failed(err error, at Locator) error {
	if len(a.Findings) > 0 {
		return PlainFindings(a.Findings)
	}
	return fromCUE(err, at)
}

// renderedFor is the service of a key of renderedField, "" for objects of no service.
func renderedFor(key string) string {
	if path := renderedFrom(key); path[0] == ServicesField {
		return path[1]
	}
	return ""
}

// text is the shard in CUE. The data is outside of #Mesh, which would close it. The ellipses keep
// fields structs whose comprehensions yield nothing.
func (q ShardRequest) text() string {
	var b strings.Builder
	object := func(name string, values map[string][]byte) {
		fmt.Fprintf(&b, "%s: {\n", name)
		for _, n := range slices.Sorted(maps.Keys(values)) {
			label, _ := json.Marshal(n) // a string never fails
			fmt.Fprintf(&b, "%s: %s\n", label, values[n])
		}
		b.WriteString("}\n")
	}
	object("_ownData", q.Own)
	object("_otherData", q.Others)
	object("_rivalData", q.ConflictCandidates)
	written, _ := json.Marshal(append([]string{}, q.FromSource...))
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
