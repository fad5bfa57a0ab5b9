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

// Render makes the bundle of the view's cluster from what the template rendered for it; that of a remote cluster is empty, since its
// primary's has all. Every object that Istio would
// not accept is a finding, under the service to blame; with any finding there is no bundle, since half of one would
// prune the other half.
func Render(view *mesh.View, result *evaluate.Result, validator *istio.Validator, revision string) (*Bundle, error) {
	b := &Bundle{
		Cluster:         view.Cluster,
		ControlPlane:    view.ControlPlane,
		UID:             view.UID,
		Revision:        revision,
		NamespaceLabels: view.NamespaceLabels,
		Acknowledged:    view.Acknowledged,
	}
	var findings manifest.Findings
	for _, key := range slices.Sorted(maps.Keys(result.Rendered)) {
		r, problems := newResource(key, result.Rendered[key], validator)
		for _, p := range problems {
			findings = append(findings, blame(result, view.Cluster, key, r, p))
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

// namespaces are those of services and externals, sorted. Those of gateways, the cluster's own and public ones, are there with the
// workload, or the platform has to make them.
func namespaces(resources []Resource) []string {
	names := map[string]struct{}{}
	for _, r := range resources {
		if r.Service != "" && r.Key.Kind != "Gateway" {
			names[r.Key.Namespace] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func digest(resources []Resource) string {
	h := sha256.New()
	for _, r := range resources {
		fmt.Fprintf(h, "%s %s\n", r.Key, r.Hash)
	}
	return hex.EncodeToString(h.Sum(nil))
}
