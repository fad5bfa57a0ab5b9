package execute

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
)

func TestQuotaIsReportedAsQuotaAndNotAsPermission(t *testing.T) {
	c := newCluster(t)
	namespace := fmt.Sprintf("full-%d", time.Now().UnixNano())
	c.namespace(namespace, nil)
	const counted = "count/destinationrules.networking.istio.io"
	quotas := c.admin.Resource(schema.GroupVersionResource{Version: "v1", Resource: "resourcequotas"}).Namespace(namespace)
	quota, err := quotas.Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ResourceQuota", "metadata": map[string]any{"name": "none"}, "spec": map[string]any{"hard": map[string]any{counted: "0"}},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// What the controller of quotas would say, which these clusters do not have.
	quota.Object["status"] = map[string]any{"hard": map[string]any{counted: "0"}, "used": map[string]any{counted: "0"}}
	if _, err := quotas.UpdateStatus(t.Context(), quota, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	k := c.start()
	k.until("the quota is in force", func() bool {
		_, err := c.of(istiotest.DestinationRule(namespace, "cart")).Create(t.Context(), istiotest.DestinationRule(namespace, "cart"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil && strings.Contains(err.Error(), "exceeded quota")
	})
	result, err := k.apply(k.plan(istiotest.Bundle(istiotest.DestinationRule(namespace, "cart"))))
	if diff := cmp.Diff(map[string]Class{"DestinationRule/" + namespace + "/cart": OverQuota}, failures(result)); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
	if err == nil || !strings.Contains(err.Error(), "raise the ResourceQuota") || strings.Contains(err.Error(), "role") {
		t.Errorf("it says: %v", err)
	}
}

// A policy of the platform that rewrites our object would otherwise be fought in every run, unseen.
func TestObjectChangedOnWriteIsReported(t *testing.T) {
	c := newCluster(t)
	install := func(resource string, object map[string]any) {
		t.Helper()
		policies := c.admin.Resource(schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: resource})
		policy := &unstructured.Unstructured{Object: object}
		if _, err := policies.Create(t.Context(), policy, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	install("mutatingadmissionpolicies", map[string]any{
		"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy",
		"metadata": map[string]any{"name": "alter"},
		"spec": map[string]any{
			"reinvocationPolicy": "Never", "failurePolicy": "Fail",
			"matchConstraints": map[string]any{"resourceRules": []any{map[string]any{
				"apiGroups": []any{"networking.istio.io"}, "apiVersions": []any{"v1"},
				"operations": []any{"CREATE", "UPDATE"}, "resources": []any{"destinationrules"},
			}}},
			// By name, so that no other test meets it.
			"matchConditions": []any{map[string]any{"name": "named", "expression": "object.metadata.name == 'altered'"}},
			"mutations": []any{map[string]any{"patchType": "JSONPatch", "jsonPatch": map[string]any{
				"expression": `[JSONPatch{op: "add", path: "/spec/exportTo", value: ["."]}]`,
			}}},
		},
	})
	install("mutatingadmissionpolicybindings", map[string]any{
		"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding",
		"metadata": map[string]any{"name": "alter"}, "spec": map[string]any{"policyName": "alter"},
	})

	k := c.start()
	k.until("the policy is in force", func() bool {
		made, err := c.of(istiotest.DestinationRule("pay", "altered")).Create(t.Context(), istiotest.DestinationRule("pay", "altered"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			t.Fatal(err)
		}
		_, altered, _ := unstructured.NestedSlice(made.Object, "spec", "exportTo")
		return altered
	})
	bundle := istiotest.Bundle(istiotest.DestinationRule("shop", "altered"), istiotest.DestinationRule("shop", "plain"))
	for _, run := range []string{"created", "updated"} {
		result, err := k.apply(k.plan(bundle))
		if diff := cmp.Diff(map[string]Class{"DestinationRule/shop/altered": Altered}, failures(result)); diff != "" {
			t.Errorf("%s: failures (-want +got):\n%s", run, diff)
		}
		if err == nil || !strings.Contains(err.Error(), "spec.exportTo") {
			t.Errorf("%s: the error does not name the field: %v", run, err)
		}
	}
}
