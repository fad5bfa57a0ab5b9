package meshsync_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/runtime/conditions"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/preflight"
)

// crossNetwork is a Gateway of another owner that serves these hosts on the same workload as ours.
func crossNetwork(hosts ...any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "Gateway",
		"metadata": map[string]any{"name": "cross-network-gateway", "namespace": "istio-system"},
		"spec": map[string]any{
			"selector": map[string]any{"istio": "eastwestgateway"},
			"servers": []any{map[string]any{
				"port": map[string]any{"number": int64(15443), "name": "tls", "protocol": "TLS"}, "tls": map[string]any{"mode": "AUTO_PASSTHROUGH"}, "hosts": hosts,
			}},
		},
	}}
}

// publishing commits a service of this cluster that another cluster calls, so that a Gateway
// exists.
func (w *world) publishing() string {
	return w.Git.Commit(map[string]string{
		"services/ledger.cue": manifest("ledger", "placement: east: {}"), "services/till.cue": manifest("till", "placement: west: {}\n\tegress: ledger: {}"),
	})
}

// preflightIs waits for the condition.
func (w *world) preflightIs(status metav1.ConditionStatus, reason string, words ...string) *v1alpha1.MeshSync {
	w.T.Helper()
	var ms *v1alpha1.MeshSync
	w.Until("Preflight is "+string(status)+" for the reason "+reason, func() (bool, string) {
		ms = w.Get("mesh")
		c := conditions.Get(ms, v1alpha1.PreflightCondition)
		return c != nil && c.Status == status && c.Reason == reason, describe(ms)
	})
	for _, word := range words {
		if message := conditions.GetMessage(ms, v1alpha1.PreflightCondition); !strings.Contains(message, word) {
			w.T.Errorf("the condition lacks %q: %s", word, message)
		}
	}
	return ms
}

func TestOverlappingGatewayBlocksTheWholePlan(t *testing.T) {
	w := newWorld(t, withIstio)
	published := w.publishing()
	must(t, w.Admin.Create(t.Context(), crossNetwork("*.internal")))
	w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Interval.Duration = time.Hour })
	ms := w.NotReady("mesh", preflight.GatewayOverlaps)
	w.preflightIs(metav1.ConditionFalse, preflight.GatewayOverlaps, "Gateway/istio-system/cross-network-gateway", "*.internal", "delete it")
	if !conditions.IsStalled(ms) || len(ms.Status.Pending) == 0 {
		t.Errorf("want a stalled MeshSync with pending writes: %s", describe(ms))
	}
	if all := w.Objects(); len(all) != 1 {
		t.Errorf("partly applied: %v", keysOf(all))
	}
	// Its deletion triggers a run before the interval ends.
	must(t, w.Admin.Delete(t.Context(), crossNetwork()))
	w.Applied("mesh", published)
	w.preflightIs(metav1.ConditionTrue, "Succeeded")

	// A later overlap is reported and does not block.
	must(t, w.Admin.Create(t.Context(), crossNetwork("*.isthmus.internal")))
	w.preflightIs(metav1.ConditionFalse, preflight.GatewayOverlaps, "Gateway/istio-system/cross-network-gateway")
	commit := w.Git.Commit(map[string]string{"services/fresh.cue": service("fresh", "new"), "services/new.cue": service("new")})
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Interval.Duration = 200 * time.Millisecond })
	w.Applied("mesh", commit)
	must(t, w.Admin.Delete(t.Context(), crossNetwork()))
	w.preflightIs(metav1.ConditionTrue, "Succeeded")
}

func TestGatewayAddressThatDiffersFromTheInventoryIsReported(t *testing.T) {
	w := newWorld(t, withIstio)
	gateway := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "istio-eastwestgateway", Namespace: "istio-system"},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, Selector: map[string]string{"istio": "eastwestgateway", "app": "istio-eastwestgateway"},
			Ports: []corev1.ServicePort{{Name: "tls", Port: 15443}},
		},
	}
	must(t, w.Admin.Create(t.Context(), gateway))
	has := func(ip string) {
		t.Helper()
		before := gateway.DeepCopy()
		gateway.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: ip}}
		must(t, w.Admin.Status().Patch(t.Context(), gateway, client.MergeFrom(before)))
	}
	has("192.0.2.77")
	published := w.publishing()
	w.Create("mesh")
	w.Applied("mesh", published)
	w.preflightIs(metav1.ConditionFalse, preflight.GatewayAddress, "192.0.2.77", "192.0.2.10", "clusters.east.gateways")
	has("192.0.2.10")
	w.preflightIs(metav1.ConditionTrue, "Succeeded")
}

func TestMissingPermissionIsReportedBeforeAnyWrite(t *testing.T) {
	w := newWorld(t, withIstio)
	w.stop()
	config := w.user()
	role := &rbacv1.ClusterRole{}
	must(t, w.Admin.Get(t.Context(), types.NamespacedName{Name: fmt.Sprintf("controller-%d", users.Load())}, role))
	whole := role.DeepCopy()
	for i, rule := range role.Rules {
		if slices.Contains(rule.Resources, "destinationrules") {
			role.Rules[i].Verbs = slices.DeleteFunc(slices.Clone(rule.Verbs), func(verb string) bool { return verb == "create" })
		}
	}
	must(t, w.Admin.Update(t.Context(), role))
	w.startAs(config)
	w.Create("mesh")
	// The authorizer sees new roles after a delay, so the first write may be forbidden.
	w.NotReady("mesh", v1alpha1.ReasonPermissionDenied)
	w.preflightIs(metav1.ConditionFalse, v1alpha1.ReasonPermissionDenied, "create destinationrules.networking.istio.io", "role")
	if all := w.Objects(); len(all) > 0 {
		t.Errorf("partly applied: %v", keysOf(all))
	}
	whole.ResourceVersion = ""
	must(t, w.Admin.Update(t.Context(), whole))
	w.Applied("mesh", w.Git.First)
	w.preflightIs(metav1.ConditionTrue, "Succeeded")
	sent := len(w.requests.list())
	w.Polled(3)
	if extra := w.requests.list()[sent:]; len(extra) > 0 {
		t.Errorf("granted permissions are checked again: %q", extra)
	}
}
