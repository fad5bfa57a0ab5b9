package render

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/mesh"
)

// Render makes the bundle of the view's cluster from what the template rendered for it. Every object that Istio would
// not accept is a finding, under the service to blame; with any finding there is no bundle, since half of one would
// prune the other half.
func Render(view *mesh.View, result *evaluate.Result, validator *istio.Validator, revision string) (*Bundle, error) {
	b := &Bundle{
		Cluster:         view.Cluster,
		UID:             view.UID,
		Revision:        revision,
		NamespaceLabels: view.NamespaceLabels,
		Acknowledged:    view.Acknowledged,
	}
	var findings manifest.Findings
	for _, key := range slices.Sorted(maps.Keys(result.Rendered)) {
		r, problems := newResource(key, result.Rendered[key], validator)
		for _, p := range problems {
			findings = append(findings, blame(result, view.Cluster, key, r.Service, p))
		}
		b.Resources = append(b.Resources, r)
	}
	if len(findings) > 0 {
		return nil, findings
	}
	b.Namespaces = namespaces(b.Resources)
	b.Calls = calls(view, b.Resources)
	b.Services = services(view)
	b.Digest = digest(b.Resources)
	return b, nil
}

// newResource checks one rendered object; the problems are for a person, without position.
func newResource(key string, rendered json.RawMessage, validator *istio.Validator) (Resource, []istio.Violation) {
	obj := &unstructured.Unstructured{}
	r := Resource{Object: obj, Side: SideCall}
	asWritten := json.NewDecoder(bytes.NewReader(rendered))
	asWritten.UseNumber()
	if err := errors.Join(asWritten.Decode(&r.Rendered), utiljson.Unmarshal(rendered, &obj.Object)); err != nil {
		return r, []istio.Violation{{Message: err.Error()}}
	}
	labels, _, err := unstructured.NestedStringMap(obj.Object, "metadata", "labels")
	if err != nil {
		return r, []istio.Violation{{Path: "metadata.labels", Message: err.Error()}}
	}
	r.Service = labels[LabelService]
	if labels[LabelSide] == string(SidePublish) {
		r.Side = SidePublish
	}
	r.GVK = schema.FromAPIVersionAndKind(obj.GetAPIVersion(), obj.GetKind())
	r.Key = Key{Kind: obj.GetKind(), Namespace: obj.GetNamespace(), Name: obj.GetName()}
	if r.Key.String() != key {
		kind, _, _ := strings.Cut(key, "/")
		return r, []istio.Violation{{Message: fmt.Sprintf(
			"stands under the key %q, but is %s: the key of a resource is Kind/namespace/name. A template that adds to one exact key makes half a "+
				"resource where the service lacks it: use a pattern, resources: [=~\"^%s/\"]: ...", key, r.Key, kind)}}
	}
	if problems := validator.Validate(obj); len(problems) > 0 {
		return r, problems
	}
	validator.Default(obj)
	canonical, err := json.Marshal(obj.Object)
	if err != nil {
		return r, []istio.Violation{{Message: err.Error()}}
	}
	sum := sha256.Sum256(canonical)
	r.Hash = hex.EncodeToString(sum[:])
	return r, nil
}

// blame is a problem of a rendered object as a finding, at the place of the service that it stems from.
func blame(result *evaluate.Result, cluster, key, service string, p istio.Violation) manifest.Finding {
	f := manifest.Finding{Service: service, Cluster: cluster, Path: key, Message: p.Message}
	if p.Path != "" {
		f.Path += "." + p.Path
	}
	if service == "" {
		return f
	}
	for _, path := range likelySources(service, p.Path) {
		if pos, ok := result.Locate(path); ok {
			f.File, f.Line, f.Column = pos.File, pos.Line, pos.Column
			break
		}
	}
	return f
}

// likelySources are the fields of a manifest that a field of a resource is made from, the likeliest first.
func likelySources(service, path string) []string {
	base := "services." + service
	field := ""
	switch {
	case strings.HasPrefix(path, "spec.http"):
		field = ".routes"
	case strings.Contains(path, "outlierDetection"):
		field = ".traffic.outlierDetection"
	case strings.Contains(path, "connectionPool"):
		field = ".traffic.connectionPool"
	case strings.Contains(path, "loadBalancer"):
		field = ".traffic.loadBalancer"
	case strings.Contains(path, "ports"):
		field = ".ports"
	case strings.HasPrefix(path, "spec.subsets"):
		field = ".versions"
	}
	return []string{base + field, "externals." + service + field}
}

// calls are the view's calls with the ServiceEntries that give them endpoints here.
func calls(view *mesh.View, resources []Resource) []Call {
	entries := map[string][]Key{}
	for _, r := range resources {
		if r.Key.Kind == "ServiceEntry" && r.Side == SideCall {
			entries[r.Service] = append(entries[r.Service], r.Key)
		}
	}
	out := make([]Call, 0, len(view.Calls))
	for _, c := range view.Calls {
		out = append(out, Call{Caller: c.Caller, Callee: c.Callee, Entries: entries[c.Callee]})
	}
	return out
}

// namespaces are those of services and externals, sorted. The one of the cluster's own resources is the gateway's: it is there, or the
// platform has to make it.
func namespaces(resources []Resource) []string {
	names := map[string]struct{}{}
	for _, r := range resources {
		if r.Service != "" {
			names[r.Key.Namespace] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// services counts those that run here or are called from here.
func services(view *mesh.View) int {
	names := map[string]struct{}{}
	for _, s := range view.Runs {
		names[s] = struct{}{}
	}
	for _, c := range view.Calls {
		names[c.Callee] = struct{}{}
	}
	return len(names)
}

func digest(resources []Resource) string {
	h := sha256.New()
	for _, r := range resources {
		fmt.Fprintf(h, "%s %s\n", r.Key, r.Hash)
	}
	return hex.EncodeToString(h.Sum(nil))
}
