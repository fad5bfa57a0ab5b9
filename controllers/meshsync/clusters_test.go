package meshsync_test

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
)

// published returns the objects that other clusters may depend on.
func (w *world) published() []string {
	var out []string
	for key, object := range w.Objects() {
		if object.GetLabels()["isthmus.dev/side"] == "publish" && object.GetKind() != "AuthorizationPolicy" {
			out = append(out, key)
		}
	}
	return out
}

// manifest is the file of a service.
func manifest(name, fields string) string {
	return fmt.Sprintf("package config\n\nservices: %q: {\n\towner: \"tests\"\n\tports: http: {port: 80, protocol: \"HTTP\"}\n"+
		"\tbackend: {namespace: %[1]q, selector: app: %[1]q, serviceAccounts: [%[1]q]}\n\t%s\n}\n", name, fields)
}

func TestWithdrawnObjectsStayForWithdrawAfterAndAreListed(t *testing.T) {
	w := newWorld(t, withIstio)
	w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.WithdrawAfter = nil })
	w.Applied("mesh", w.Git.Commit(map[string]string{
		"services/ledger.cue": manifest("ledger", "placement: east: {}"), "services/till.cue": manifest("till", "placement: west: {}\n\tegress: ledger: {}"),
	}))
	if after := w.Get("mesh").Spec.WithdrawAfter; after == nil || after.Duration != time.Hour {
		t.Errorf("the default of withdrawAfter is not an hour: %v", after)
	}
	before := w.published()
	if len(before) == 0 {
		t.Fatal("this cluster publishes nothing, so this test cannot fail")
	}
	commit := w.Git.Commit(map[string]string{"services/ledger.cue": "", "services/till.cue": ""})
	ms := w.Applied("mesh", commit)
	if len(ms.Status.Withdrawing) == 0 || ms.Status.WithdrawingCount != int64(len(ms.Status.Withdrawing)) {
		t.Fatalf("the withdrawn objects are not listed: %s", describe(ms))
	}
	for _, left := range ms.Status.Withdrawing {
		if wait := time.Until(left.Until.Time); w.Objects()[left.Resource] == nil || wait < 50*time.Minute || wait > time.Hour {
			t.Errorf("%+v is deleted in %s", left, wait)
		}
	}
	if now := w.published(); len(now) != len(before) {
		t.Errorf("published objects before: %v, now: %v", before, now)
	}
	// A shorter spec.withdrawAfter deletes the objects earlier.
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.WithdrawAfter = &metav1.Duration{Duration: time.Second} })
	w.Until("the object is deleted", func() (bool, string) {
		ms := w.Get("mesh")
		return len(ms.Status.Withdrawing) == 0 && len(w.published()) == len(before)-int(ms.Status.Pruned) && ms.Status.Pruned > 0, describe(ms)
	})
}

func TestFightIsReportedAndBackedOff(t *testing.T) {
	w := newWorld(t, withIstio)
	w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.Interval.Duration = time.Hour })
	w.Applied("mesh", w.Git.First)
	object := w.objects("ServiceEntry")[0]
	key := object.GetKind() + "/" + object.GetNamespace() + "/" + object.GetName()
	edits, began := 0, time.Now()
	told := func() bool {
		return slices.ContainsFunc(w.Get("mesh").Status.Skipped, func(left v1alpha1.Skipped) bool {
			return left.Resource == key && strings.Contains(left.Reason, "rival") && strings.Contains(left.Reason, ownership.AnnotationReconcile)
		})
	}
	w.Until("the status names the other field manager", func() (bool, string) {
		must(t, w.Admin.Get(t.Context(), client.ObjectKeyFromObject(object), object))
		if !strings.Contains(fmt.Sprint(object.Object["spec"]), "rival.example.com") {
			edit := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"hosts":["rival.example.com"]}}`))
			must(t, w.Admin.Patch(t.Context(), object, edit, client.FieldOwner("rival")))
			edits++
		}
		return told(), fmt.Sprint(edits, " edits")
	})
	// Some corrections at once, then after 1 s, 2 s, 4 s, however fast the other writer is.
	if most := 7 + int(math.Log2(1+time.Since(began).Seconds())); edits > most {
		t.Errorf("in %s the object was edited and corrected %d times, more than %d", time.Since(began), edits, most)
	}
	if events := w.events.with(corev1.EventTypeWarning, v1alpha1.ReasonFight); len(events) != 1 || !strings.Contains(events[0], key) {
		t.Errorf("want one event about the fight: %v", events)
	}
	w.Until("the drift is corrected", func() (bool, string) {
		must(t, w.Admin.Get(t.Context(), client.ObjectKeyFromObject(object), object))
		return !strings.Contains(fmt.Sprint(object.Object["spec"]), "rival.example.com"), fmt.Sprint(object.Object["spec"])
	})
}

func TestObjectsRejectedByIstiodAreReportedWithoutBlocking(t *testing.T) {
	w := newWorld(t, withIstio)
	w.Create("mesh")
	w.Applied("mesh", w.Git.First)
	object := w.objects("ServiceEntry")[0]
	says := func(status string) {
		t.Helper()
		must(t, w.Admin.Status().Patch(t.Context(), object, client.RawPatch("application/merge-patch+json", []byte(`{"status":`+status+`}`)), client.FieldOwner("pilot-discovery")))
	}
	healthy := func(want metav1.ConditionStatus, text string) {
		t.Helper()
		w.Until("Healthy is "+string(want), func() (bool, string) {
			ms := w.Get("mesh")
			is := conditions.Get(ms, meta.HealthyCondition)
			return is != nil && is.Status == want && strings.Contains(is.Message, text) && conditions.IsReady(ms), describe(ms)
		})
	}
	healthy(metav1.ConditionTrue, "in place")
	says(`{"conditions":[{"type":"PassedValidation","status":"False","message":"host is taken"}]}`)
	healthy(metav1.ConditionFalse, "host is taken")
	says(`{"conditions":[{"type":"Reconciled","status":"False","message":"1/2 proxies up to date."}]}`)
	healthy(metav1.ConditionUnknown, "1/2 proxies")
	says(`{"conditions":[{"type":"Reconciled","status":"True","message":"2/2 proxies up to date."}]}`)
	healthy(metav1.ConditionTrue, "in place")
}

func TestNewRoutingToOtherClustersIsDeferredAndReported(t *testing.T) {
	w := newWorld(t, withIstio)
	w.Create("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.RoutingDelay = &metav1.Duration{Duration: time.Hour} })
	w.Applied("mesh", w.Git.First)
	if len(w.objects("ServiceEntry")) == 0 {
		t.Fatal("the first sync is deferred")
	}
	before := len(w.Objects())
	commit := w.Git.Commit(map[string]string{
		"services/ledger.cue": manifest("ledger", "placement: west: {}"), "services/till.cue": manifest("till", "placement: east: {}\n\tegress: ledger: {}"),
	})
	var ms *v1alpha1.MeshSync
	w.Until("the routing is deferred", func() (bool, string) {
		ms = w.Get("mesh")
		return conditions.GetReason(ms, meta.ReadyCondition) == v1alpha1.ReasonRoutingDeferred, describe(ms)
	})
	if !conditions.IsUnknown(ms, meta.ReadyCondition) || !conditions.IsReconciling(ms) || strings.Contains(ms.Status.LastAppliedRevision, commit) || len(w.objects("ServiceEntry")) == 0 {
		t.Errorf("the revision must not be reported as fully applied: %s", describe(ms))
	}
	if len(ms.Status.Deferred) == 0 || ms.Status.DeferredCount != int64(len(ms.Status.Deferred)) {
		t.Errorf("the deferred objects are not listed: %s", describe(ms))
	}
	for _, waits := range ms.Status.Deferred {
		if wait := time.Until(waits.Until.Time); waits.Service != "ledger" || w.Objects()[waits.Resource] != nil || wait < 50*time.Minute || wait > time.Hour {
			t.Errorf("%+v is written in %s", waits, wait)
		}
	}
	sent := len(w.requests.list())
	w.Polled(3)
	if extra := w.requests.list()[sent:]; len(extra) > 0 {
		t.Errorf("requests during the deferral: %q", extra)
	}
	for key := range w.Objects() {
		if strings.Contains(key, "ServiceEntry/ledger/") {
			t.Errorf("%s was written during the deferral", key)
		}
	}
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.RoutingDelay = &metav1.Duration{} })
	if ms = w.Applied("mesh", commit); len(ms.Status.Deferred) > 0 || ms.Status.DeferredCount > 0 {
		t.Errorf("deferred objects are still listed: %s", describe(ms))
	}
	if len(w.Objects()) <= before {
		t.Errorf("the deferred objects were not written")
	}
	if events := w.events.with(corev1.EventTypeWarning, v1alpha1.ReasonRoutingDeferred); len(events) > 0 {
		t.Errorf("a deferral posts no warning: %v", events)
	}
}

// shipped returns a file of the first commit.
func shipped(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile("../../examples/quickstart/" + path)
	must(t, err)
	return string(text)
}

func TestHeldCommitDoesNotBecomeLastKnownGood(t *testing.T) {
	w := newWorld(t, withIstio)
	w.Create("mesh")
	w.Applied("mesh", w.Git.First)
	before := len(w.Objects())
	w.Git.Commit(map[string]string{"services/web.cue": "", "services/cart.cue": "", "services/stock.cue": ""})
	w.NotReady("mesh", plans.EmptyBundle)
	w.Git.Commit(map[string]string{
		"services/web.cue": shipped(t, "services/web.cue"), "services/stock.cue": shipped(t, "services/stock.cue"),
		"services/cart.cue": strings.Replace(shipped(t, "services/cart.cue"), "egress:", "egres:", 1),
	})
	ms := w.NotReady("mesh", v1alpha1.ReasonServicesFrozen)
	if len(ms.Status.Frozen) != 1 || ms.Status.Frozen[0].Service != "cart" || ms.Status.Frozen[0].Revision != "main@sha1:"+w.Git.First {
		t.Errorf("cart is not frozen at the first commit: %s", describe(ms))
	}
	if now := len(w.Objects()); now != before {
		t.Errorf("objects before: %d, after: %d", before, now)
	}
}

func TestFrozenServiceStaysFrozenAfterARestart(t *testing.T) {
	w := newWorld(t, withIstio)
	w.Create("mesh")
	good := w.Git.Commit(map[string]string{"services/cart.cue": "", "cart.cue": shipped(t, "services/cart.cue")})
	w.Applied("mesh", good)
	w.Git.Commit(map[string]string{"cart.cue": "package config\n\nservices: cart: {\n"})
	w.NotReady("mesh", v1alpha1.ReasonServicesFrozen)
	w.stop()
	w.start()
	next := w.Git.Commit(map[string]string{"services/more.cue": manifest("more", "placement: east: {}")})
	w.Until("the next commit is applied", func() (bool, string) {
		ms := w.Get("mesh")
		return strings.HasSuffix(ms.Status.LastAppliedRevision, next) && len(ms.Status.Frozen) == 1 && ms.Status.Frozen[0].Service == "cart", describe(ms)
	})
}
