package execute

import (
	"encoding/json"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/plantest"
)

// says has istiod write a status.
func (c *testCluster) says(object *unstructured.Unstructured, status map[string]any) {
	c.t.Helper()
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		c.t.Fatal(err)
	}
	_, err = c.of(object).Patch(c.t.Context(), object.GetName(), types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "pilot-discovery"}, "status")
	if err != nil {
		c.t.Fatal(err)
	}
}

func TestStatusProblemsOfIstiodAreReported(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	object := istiotest.ServiceEntry("shop", "cart", "192.0.2.1")
	bundle := istiotest.Bundle(object, istiotest.DestinationRule("shop", "cart"))
	k.sync(bundle)
	generation := c.get(object).GetGeneration()
	for _, tc := range []struct {
		reason  string
		status  map[string]any
		refused bool
		says    string
	}{
		{"proxies lag behind", map[string]any{"observedGeneration": generation, "conditions": []any{
			map[string]any{"type": "Reconciled", "status": "False", "message": "1/2 proxies up to date."},
		}}, false, "Reconciled: 1/2 proxies"},
		{"it is in place", map[string]any{"observedGeneration": generation, "conditions": []any{
			map[string]any{"type": "Reconciled", "status": "True", "message": "2/2 proxies up to date."},
		}}, false, ""},
		{"refused", map[string]any{"conditions": []any{
			map[string]any{"type": "PassedValidation", "status": "False", "message": "host is taken"},
		}}, true, "PassedValidation: host is taken"},
		{
			"found by the analyzers",
			map[string]any{"conditions": []any{}, "validationMessages": []any{
				map[string]any{"level": "WARNING", "type": map[string]any{"code": "IST0001", "name": "Mild"}},
				map[string]any{"level": "ERROR", "type": map[string]any{"code": "IST0101", "name": "ReferencedResourceNotFound"}, "documentationUrl": "https://istio.io/"},
			}},
			true, "IST0101 ReferencedResourceNotFound https://istio.io/",
		},
		{"of what was there before", map[string]any{"observedGeneration": generation - 1}, false, ""},
		{"nothing", map[string]any{"observedGeneration": generation, "validationMessages": nil}, false, ""},
	} {
		c.says(object, tc.status)
		plan := k.planUntil(bundle, tc.reason, func(p plans.Plan) bool {
			if tc.says == "" {
				return len(p.StatusProblems) == 0
			}
			return len(p.StatusProblems) == 1 && strings.Contains(p.StatusProblems[0].Message, tc.says)
		})
		if plan.Writes() {
			t.Errorf("%s: a status is nothing to put right: %v", tc.reason, plantest.Verbs(plan))
		}
		if len(plan.StatusProblems) == 1 && (plan.StatusProblems[0].Rejected != tc.refused || plan.StatusProblems[0].Key != render.KeyOf(object) || plan.StatusProblems[0].Service != "cart") {
			t.Errorf("%s: %+v", tc.reason, plan.StatusProblems[0])
		}
	}
}
