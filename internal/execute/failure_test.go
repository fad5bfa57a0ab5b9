package execute

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/plantest"
)

func TestFailureClasses(t *testing.T) {
	rules := schema.GroupResource{Group: "networking.istio.io", Resource: "destinationrules"}
	terminating := apierrors.NewForbidden(rules, "cart", errors.New("unable to create new content in namespace shop because it is being terminated"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	denied := &apierrors.StatusError{ErrStatus: metav1.Status{
		Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden,
		Message: `admission webhook "policy.example.com" denied the request: no wildcard hosts`,
	}}
	unreasoned := &apierrors.StatusError{ErrStatus: denied.ErrStatus}
	unreasoned.ErrStatus.Reason = ""
	hangs := apierrors.NewInternalError(errors.New(`failed calling webhook "policy.example.com": context deadline exceeded`))
	tests := map[string]struct {
		reason    string
		err       error
		want      Class
		temporary bool
		says      string
	}{
		"no right":            {"the role", apierrors.NewForbidden(rules, "cart", errors.New("no")), Forbidden, false, "role"},
		"quota":               {"who raises the quota of the namespace", apierrors.NewForbidden(rules, "cart", errors.New("exceeded quota: few, requested: count/destinationrules.networking.istio.io=1, used: count/destinationrules.networking.istio.io=9, limited: count/destinationrules.networking.istio.io=9")), OverQuota, false, "ResourceQuota"},
		"quota, unknown yet":  {"who raises the quota of the namespace", apierrors.NewForbidden(rules, "cart", errors.New("status unknown for quota: few, resources: count/destinationrules.networking.istio.io")), OverQuota, false, "ResourceQuota"},
		"no credentials":      {"the role, or the account", apierrors.NewUnauthorized("no"), Forbidden, false, "role"},
		"webhook":             {"403, and yet no lack of rights", denied, Invalid, false, "policy"},
		"policy":              {"403, if it says so", apierrors.NewForbidden(rules, "cart", errors.New("ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no wildcard hosts")), Invalid, false, "policy"},
		"webhook, no reason":  {"it need not give one", unreasoned, Invalid, false, "policy"},
		"webhook that hangs":  {"nobody, as far as this is concerned", hangs, Transient, true, "next run"},
		"schema":              {"the manifest", apierrors.NewInvalid(schema.GroupKind{Kind: "DestinationRule"}, "cart", nil), Invalid, false, "manifest"},
		"unknown field":       {"the manifest, or an old CRD", apierrors.NewBadRequest("strict decoding error"), Invalid, false, "manifest"},
		"terminating":         {"the namespace", terminating, NamespaceUnusable, false, "namespace"},
		"no namespace":        {"the namespace", apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "shop"), NamespaceUnusable, false, "namespace"},
		"no kind":             {"the platform", apierrors.NewGenericServerResponse(http.StatusNotFound, "post", rules, "", "404 page not found", 0, true), NoSuchKind, false, "CRDs"},
		"object gone":         {"nobody", apierrors.NewNotFound(rules, "cart"), Conflict, true, "next run"},
		"somebody was faster": {"nobody", apierrors.NewConflict(rules, "cart", errors.New("newer")), Conflict, true, "next run"},
		"overloaded":          {"nobody", apierrors.NewTooManyRequests("slow down", 1), Transient, true, "next run"},
		"unavailable":         {"nobody", apierrors.NewServiceUnavailable("etcd"), Transient, true, "next run"},
		"unreachable":         {"nobody", errors.New("connection refused"), Transient, true, "next run"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			action := plans.Action{Verb: plans.Update, Key: render.Key{Kind: "DestinationRule", Namespace: "shop", Name: "cart"}, Service: "cart"}
			failed := failure(action, test.err)
			if failed.Class != test.want || failed.Class.Temporary() != test.temporary {
				t.Errorf("%s: %s, temporary %v", test.reason, failed.Class, failed.Class.Temporary())
			}
			for _, part := range []string{"update DestinationRule/shop/cart of service cart: ", test.err.Error(), test.says} {
				if !strings.Contains(failed.Error(), part) {
					t.Errorf("%q does not say %q", failed.Error(), part)
				}
			}
			if !errors.Is(failed, test.err) {
				t.Error("the API server's own error is lost")
			}
		})
	}
}

func TestForeignAdviceStartsWithTheLeastHarmfulStep(t *testing.T) {
	foreign := istiotest.DestinationRule("shop", "cart")
	plan := plans.Make(istiotest.Bundle(foreign), clustercache.State{Objects: []*unstructured.Unstructured{foreign}}, plans.Options{Owner: plantest.Owner})
	appeared := failure(plans.Action{Verb: plans.Create, Key: render.KeyOf(foreign), Service: "cart"}, &Failure{Class: Appeared, Err: errors.New("it appeared")})
	if text := appeared.Error(); appeared.Class != Appeared || !strings.HasPrefix(text, "create DestinationRule/shop/cart of service cart: it appeared; nothing was changed") {
		t.Errorf("%s: %s", appeared.Class, text)
	}
	for _, text := range []string{plan.Actions[0].Reason.String(), appeared.Error()} {
		adopt, rename, remove := strings.Index(text, "spec.adopt"), strings.Index(text, "rename the service"), strings.Index(text, "delete it")
		if adopt < 0 || rename < adopt || remove < rename || strings.Count(text, "rename the service") > 1 {
			t.Errorf("it says: %s", text)
		}
	}
}

func TestHeldPlanSaysHowToAcknowledge(t *testing.T) {
	err := &HeldError{Guard: plans.Guard{Kind: plans.MassDeletion, Digest: "0123456789ab", Reason: "12 of 15 objects would be deleted"}}
	for _, part := range []string{"12 of 15", "nothing was changed", "0123456789ab", "settings.acknowledge", "isthmus.dev/acknowledge"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err.Error(), part)
		}
	}
}
