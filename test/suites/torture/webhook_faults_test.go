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

	"github.com/isthmus-mesh/isthmus/test/support/relay"
)

// serviceLabel names the service of an object. Objects of the whole cluster do not have it.
const serviceLabel = "isthmus.dev/service"

// webhook is a validating webhook in its own server.
type webhook struct {
	server *httptest.Server
	// kind or namespace selects the blocked objects. The other one is empty.
	kind, namespace string
	// denial is the response for blocked objects. With nil the webhook does not respond.
	denial *metav1.Status
	// timeout limits the wait of the API server, in seconds.
	timeout int32
	// blocked counts the blocked requests.
	blocked atomic.Int64
}

func newWebhook(inj *injection) *webhook {
	h := &webhook{timeout: int32(1 + inj.random.IntN(2))}
	h.kind, h.namespace = inj.someObjects()
	h.server = httptest.NewUnstartedServer(h)
	h.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.server.StartTLS()
	inj.Cleanup(func() { relay.Stop(h.server) })
	return h
}

// someObjects selects a kind, or the namespace of a service that the next commit changes.
func (inj *injection) someObjects() (kind, namespace string) {
	before, after := meshOf(inj.seed, inj.state), meshOf(inj.seed, inj.number)
	var changed []string
	for _, name := range append(append([]string{}, optionalServices...), requiredServices...) {
		if file := "services/" + name + ".cue"; before[file] != after[file] {
			changed = append(changed, name)
		}
	}
	if len(changed) > 0 && inj.chance(0.5) {
		namespace = pick(inj, changed)
	} else {
		kind = pick(inj, []string{"ServiceEntry", "DestinationRule", "VirtualService", "AuthorizationPolicy"})
	}
	inj.note("blocks %s", kind+namespace)
	return kind, namespace
}

func (h *webhook) blocks(kind, namespace string) bool {
	return kind == h.kind || namespace == h.namespace
}

func (h *webhook) ServeHTTP(rw http.ResponseWriter, received *http.Request) {
	// The context ends with the connection only after the body was read.
	text, err := io.ReadAll(received.Body)
	review := &admission.AdmissionReview{}
	if err != nil || json.Unmarshal(text, review) != nil || review.Request == nil {
		http.Error(rw, "not an AdmissionReview", http.StatusBadRequest)
		return
	}
	response := &admission.AdmissionResponse{UID: review.Request.UID, Allowed: true}
	// The probe shows the test that the webhook is in effect.
	if h.blocks(review.Request.Kind.Kind, review.Request.Namespace) || review.Request.Name == probeName {
		h.blocked.Add(1)
		if h.denial == nil {
			<-received.Context().Done()
			return
		}
		response.Allowed, response.Result = false, h.denial
	}
	review.Request, review.Response = nil, response
	_ = json.NewEncoder(rw).Encode(review)
}

func (h *webhook) configuration() *admissionv1.ValidatingWebhookConfiguration {
	fail, none := admissionv1.Fail, admissionv1.SideEffectClassNone
	return &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: denialName},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name:                    denialName,
			ClientConfig:            admissionv1.WebhookClientConfig{URL: &h.server.URL, CABundle: relay.Certificate(h.server)},
			Rules:                   []admissionv1.RuleWithOperations{ofIstio},
			MatchConditions:         []admissionv1.MatchCondition{byController},
			FailurePolicy:           &fail,
			SideEffects:             &none,
			TimeoutSeconds:          &h.timeout,
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
}

// webhookDenies registers a webhook that denies some objects, with one of the usual responses.
func webhookDenies(inj *injection) func() {
	h := newWebhook(inj)
	h.denial = pick(inj, []*metav1.Status{
		{Message: "not today"}, // the API server responds with 400
		{Message: "not today", Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden},
		{Message: "not today", Code: http.StatusForbidden},
		{Message: "not today", Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid},
		{Message: "not today", Code: http.StatusInternalServerError},
	})
	inj.note("with code %d, reason %q", h.denial.Code, h.denial.Reason)
	return h.register(inj)
}

// webhookHangs registers a webhook that does not respond for some objects. Each write of them fails
// after the timeout of the webhook.
func webhookHangs(inj *injection) func() {
	h := newWebhook(inj)
	inj.note("timeout %d s", h.timeout)
	return h.register(inj)
}

// register registers the webhook in some clusters and pushes a commit. Services without blocked
// objects must be applied. The status must not say that the whole commit is applied.
func (h *webhook) register(inj *injection) func() {
	affected := inj.someClusters()
	for _, c := range affected {
		// Deferred routing would look like blocked objects.
		c.setDelays(inj.T, 0, 0)
		c.retry(inj.T, "the webhook is created", func(ctx context.Context) error {
			return client.IgnoreAlreadyExists(c.admin.Create(ctx, h.configuration()))
		})
	}
	for _, c := range affected {
		c.awaitDenial(inj)
	}
	h.blocked.Store(0)
	inj.commit(inj.number)
	return func() {
		for _, c := range affected {
			until(inj.T, "in "+c.name+" other services are applied", func() string { return c.unapplied(inj.T, h.independent) })
			ms, err := c.get(inj.Context())
			must(inj.T, err)
			if wrong := c.unapplied(inj.T, h.blockedOf); wrong != "" && conditions.IsReady(ms) && strings.HasSuffix(ms.Status.LastAppliedRevision, inj.git.head(inj.T)) {
				inj.Errorf("%s says that the commit is applied, although a webhook blocks objects: %s", c.name, wrong)
			}
		}
		inj.pause(0, time.Second)
		for _, c := range affected {
			c.retry(inj.T, "the webhook is deleted", func(ctx context.Context) error { return client.IgnoreNotFound(c.admin.Delete(ctx, h.configuration())) })
		}
		inj.note("%d blocked requests", h.blocked.Load())
	}
}

// blockedOf returns the blocked objects.
func (h *webhook) blockedOf(objects map[string]*unstructured.Unstructured) map[string]*unstructured.Unstructured {
	out := map[string]*unstructured.Unstructured{}
	for key, object := range objects {
		if h.blocks(object.GetKind(), object.GetNamespace()) {
			out[key] = object
		}
	}
	return out
}

// independent returns the objects of services without any blocked object.
func (h *webhook) independent(objects map[string]*unstructured.Unstructured) map[string]*unstructured.Unstructured {
	blocked := map[string]bool{"": true}
	for _, object := range h.blockedOf(objects) {
		blocked[object.GetLabels()[serviceLabel]] = true
	}
	out := map[string]*unstructured.Unstructured{}
	for key, object := range objects {
		if !blocked[object.GetLabels()[serviceLabel]] {
			out[key] = object
		}
	}
	return out
}

// unapplied describes a selected object that differs from the export, "" if there is none.
// Left-over objects are ignored: nothing is deleted before everything is applied.
func (c *cluster) unapplied(t *testing.T, selection func(map[string]*unstructured.Unstructured) map[string]*unstructured.Unstructured) string {
	t.Helper()
	live, err := c.live(t.Context())
	if err != nil {
		return err.Error()
	}
	for key, want := range selection(c.git.exported(t, c.name)) {
		if live[key] == nil {
			return key + " is missing"
		}
		if diff := cmp.Diff(contentOf(want), contentOf(live[key])); diff != "" {
			return key + " differs, -want, +got:\n" + diff
		}
	}
	return ""
}
