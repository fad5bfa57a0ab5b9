package plans_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/plantest"
)

func TestNamespacesToCreateAndUnusedNamespaces(t *testing.T) {
	created := clustercache.Namespace{CreatedByUs: true}
	rule := istiotest.DestinationRule("shop", "cart")
	foreign := clustercache.State{Objects: []*unstructured.Unstructured{rule}}
	tests := map[string]struct {
		reason  string
		needs   []string
		bundle  []*unstructured.Unstructured
		view    clustercache.State
		exists  map[string]clustercache.Namespace
		missing []string
		unused  []string
	}{
		"absent":                {"the service has no namespace yet; sorted, once", []string{"web", "shop", "web"}, nil, clustercache.State{}, nil, []string{"shop", "web"}, nil},
		"exists":                {"there is nothing to create", []string{"shop"}, nil, clustercache.State{}, map[string]clustercache.Namespace{"shop": {}}, nil, nil},
		"no longer needed":      {"the bundle no longer has it", nil, nil, clustercache.State{}, map[string]clustercache.Namespace{"shop": created}, nil, []string{"shop"}},
		"created by a user":     {"it does not belong to Isthmus", nil, nil, clustercache.State{}, map[string]clustercache.Namespace{"shop": {}}, nil, nil},
		"already terminating":   {"a user deleted it already", nil, nil, clustercache.State{}, map[string]clustercache.Namespace{"shop": {CreatedByUs: true, Terminating: true}}, nil, nil},
		"still needed":          {"the bundle has it", []string{"shop"}, nil, clustercache.State{}, map[string]clustercache.Namespace{"shop": created}, nil, nil},
		"with an object":        {"other clusters may still call the object", nil, nil, plantest.LiveState(rule), map[string]clustercache.Namespace{"shop": created}, nil, nil},
		"with a foreign object": {"the object is not ours; the user sees the note and decides", nil, nil, foreign, map[string]clustercache.Namespace{"shop": created}, nil, []string{"shop"}},
		"of a gateway":          {"a resource without a service is in it", nil, []*unstructured.Unstructured{rule}, clustercache.State{}, map[string]clustercache.Namespace{"shop": created}, nil, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bundle := istiotest.Bundle(test.bundle...)
			bundle.Namespaces = test.needs
			test.view.Namespaces = test.exists
			plan := plans.Make(bundle, test.view, plans.Options{Owner: plantest.Owner, Prune: true})
			if diff := cmp.Diff(test.missing, plan.Namespaces, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: to create (-want +got):\n%s", test.reason, diff)
			}
			if diff := cmp.Diff(test.unused, plan.UnusedNamespaces, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: unused (-want +got):\n%s", test.reason, diff)
			}
		})
	}
}
