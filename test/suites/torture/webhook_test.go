//go:build linux

package torture_test

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/google/go-cmp/cmp"
	admission "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// serviceLabel names the service that an object of a bundle is for; what the cluster has once has none.
const serviceLabel = "isthmus.dev/service"

// webhook is what API servers ask before they store an object: a server of its own, as people run them.
type webhook struct {
	server *httptest.Server
	// kind or namespace is that of the objects which it does not let pass; the other is empty.
	kind, namespace string
	// refusal is its answer for these; with nil it gives none and keeps the connection.
	refusal *metav1.Status
	// timeout is how long an API server waits for an answer.
	timeout int32
	// met counts the requests that it did not let pass.
	met atomic.Int64
}

func newWebhook(w *trial) *webhook {
	h := &webhook{timeout: int32(1 + w.random.IntN(2))}
	h.kind, h.namespace = w.someObjects()
	h.server = httptest.NewUnstartedServer(h)
	h.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.server.StartTLS()
	w.Cleanup(func() {
		h.server.CloseClientConnections()
		h.server.Close()
	})
	return h
}

// someObjects are those of a kind, or of the namespace of a service that the next commit changes.
func (w *trial) someObjects() (kind, namespace string) {
	before, after := meshOf(w.seed, w.at), meshOf(w.seed, w.number)
	var changed []string
	for _, name := range append(append([]string{}, others...), pillars...) {
		if file := "services/" + name + ".cue"; before[file] != after[file] {
			changed = append(changed, name)
		}
	}
	if len(changed) > 0 && w.chance(0.5) {
		namespace = pick(w, changed)
	} else {
		kind = pick(w, []string{"ServiceEntry", "DestinationRule", "VirtualService", "AuthorizationPolicy"})
	}
	w.tell("does not let pass what is of %s", kind+namespace)
	return kind, namespace
}

func (h *webhook) stops(kind, namespace string) bool {
	return kind == h.kind || namespace == h.namespace
}

func (h *webhook) ServeHTTP(rw http.ResponseWriter, asked *http.Request) {
	// To its end, or nobody notices that the API server has given up.
	text, err := io.ReadAll(asked.Body)
	review := &admission.AdmissionReview{}
	if err != nil || json.Unmarshal(text, review) != nil || review.Request == nil {
		http.Error(rw, "no AdmissionReview", http.StatusBadRequest)
		return
	}
	response := &admission.AdmissionResponse{UID: review.Request.UID, Allowed: true}
	// By the probe the test knows that the webhook is in force.
	if h.stops(review.Request.Kind.Kind, review.Request.Namespace) || review.Request.Name == probeName {
		h.met.Add(1)
		if h.refusal == nil {
			<-asked.Context().Done()
			return
		}
		response.Allowed, response.Result = false, h.refusal
	}
	review.Request, review.Response = nil, response
	_ = json.NewEncoder(rw).Encode(review)
}

func (h *webhook) configuration() *admissionv1.ValidatingWebhookConfiguration {
	fail, none := admissionv1.Fail, admissionv1.SideEffectClassNone
	return &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: refusalName},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name:                    refusalName,
			ClientConfig:            admissionv1.WebhookClientConfig{URL: &h.server.URL, CABundle: authorityOf(h.server)},
			Rules:                   []admissionv1.RuleWithOperations{ofIstio},
			MatchConditions:         []admissionv1.MatchCondition{byController},
			FailurePolicy:           &fail,
			SideEffects:             &none,
			TimeoutSeconds:          &h.timeout,
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
}

// webhookRefuses puts a webhook into API servers that refuses the controller some objects, with one of the answers that webhooks give.
func webhookRefuses(w *trial) func() {
	h := newWebhook(w)
	h.refusal = pick(w, []*metav1.Status{
		{Message: "not today"}, // the API server makes it 400
		{Message: "not today", Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden},
		{Message: "not today", Code: http.StatusForbidden},
		{Message: "not today", Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid},
		{Message: "not today", Code: http.StatusInternalServerError},
	})
	w.tell("with code %d, reason %q", h.refusal.Code, h.refusal.Reason)
	return h.stand(w)
}

// webhookHangs puts a webhook into API servers that answers for some objects and for others never, so that each write of these takes its timeout and
// fails.
func webhookHangs(w *trial) func() {
	h := newWebhook(w)
	w.tell("timeout %d s", h.timeout)
	return h.stand(w)
}

// stand has some API servers ask the webhook. What it does not let pass must not keep the services back that have nothing to do with it, and nobody may
// say that all is applied.
func (h *webhook) stand(w *trial) func() {
	hit := w.someClusters()
	for _, c := range hit {
		// What waits by its time cannot be told from what is kept back.
		c.timing(w.T, 0, 0)
		c.retry(w.T, "a webhook is made", func(ctx context.Context) error { return ignoreExists(c.admin.Create(ctx, h.configuration())) })
	}
	for _, c := range hit {
		c.refusing(w)
	}
	h.met.Store(0)
	w.commit(w.number)
	return func() {
		for _, c := range hit {
			until(w.T, "in "+c.name+" other services go on", func() string { return c.behind(w.T, h.without) })
			ms, err := c.get(w.Context())
			must(w.T, err)
			if wrong := c.behind(w.T, h.only); wrong != "" && conditions.IsReady(ms) && strings.HasSuffix(ms.Status.LastAppliedRevision, w.git.head(w.T)) {
				w.Errorf("%s says that all is applied, although a webhook keeps it from: %s", c.name, wrong)
			}
		}
		w.pause(0, time.Second)
		for _, c := range hit {
			c.retry(w.T, "the webhook is gone", func(ctx context.Context) error { return client.IgnoreNotFound(c.admin.Delete(ctx, h.configuration())) })
		}
		w.tell("%d times", h.met.Load())
	}
}

// only are the objects that the webhook does not let pass.
func (h *webhook) only(objects map[string]*unstructured.Unstructured) map[string]*unstructured.Unstructured {
	out := map[string]*unstructured.Unstructured{}
	for key, object := range objects {
		if h.stops(object.GetKind(), object.GetNamespace()) {
			out[key] = object
		}
	}
	return out
}

// without are the objects of services of which the webhook lets everything pass.
func (h *webhook) without(objects map[string]*unstructured.Unstructured) map[string]*unstructured.Unstructured {
	kept := map[string]bool{"": true}
	for _, object := range h.only(objects) {
		kept[object.GetLabels()[serviceLabel]] = true
	}
	out := map[string]*unstructured.Unstructured{}
	for key, object := range objects {
		if !kept[object.GetLabels()[serviceLabel]] {
			out[key] = object
		}
	}
	return out
}

// behind says which of some exported objects are not in the cluster as they are exported. What there is beside them does not count: nothing is deleted
// before everything is applied.
func (c *cluster) behind(t *testing.T, some func(map[string]*unstructured.Unstructured) map[string]*unstructured.Unstructured) string {
	t.Helper()
	live, err := c.live(t.Context())
	if err != nil {
		return err.Error()
	}
	for key, want := range some(c.git.exported(t, c.name)) {
		if live[key] == nil {
			return key + " is missing"
		}
		if diff := cmp.Diff(contentOf(want), contentOf(live[key])); diff != "" {
			return key + " differs, -want, +got:\n" + diff
		}
	}
	return ""
}
