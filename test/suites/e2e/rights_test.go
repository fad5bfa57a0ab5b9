package e2e_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/runtime/conditions"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

func TestMissingCRDsAreNamedAndAwaited(t *testing.T) {
	w := newWorld(t)
	t.Cleanup(func() { must(t, w.Cluster.Install(istio.CRDs())) })
	for _, crd := range istio.CRDs() {
		must(t, w.Admin.Delete(t.Context(), crd))
	}
	w.Until("Istio's CRDs are gone", func() (bool, string) {
		for _, crd := range istio.CRDs() {
			if err := w.Admin.Get(t.Context(), client.ObjectKeyFromObject(crd), &apiextensionsv1.CustomResourceDefinition{}); !apierrors.IsNotFound(err) {
				return false, crd.Name
			}
		}
		return true, ""
	})
	w.start()
	w.Create("mesh")
	ms := w.NotReady("mesh", v1alpha1.ReasonKindUnavailable)
	for _, want := range []string{"serviceentries.networking.istio.io", "destinationrules.networking.istio.io", "install the CRDs"} {
		if !strings.Contains(message(ms), want) {
			t.Errorf("the message names the kinds and says what to do; it lacks %q: %s", want, message(ms))
		}
	}
	if strings.Contains(message(ms), "telemetries") {
		t.Errorf("a kind that nothing needs is not missed: %s", message(ms))
	}
	must(t, w.Cluster.Install(istio.CRDs()))
	w.ready("mesh", w.Git.First)
}

// grant puts the generated roles back.
func (w *world) grant() {
	w.T.Helper()
	must(w.T, gitops.Apply(context.Background(), w.Admin, root+"config/rbac/role.yaml"))
}

// deny takes verbs on a resource out of the controller's ClusterRole.
func (w *world) deny(resource string, verbs ...string) {
	w.T.Helper()
	w.T.Cleanup(func() { must(w.T, gitops.Apply(context.Background(), w.Admin, root+"config/rbac/role.yaml")) })
	role := &rbacv1.ClusterRole{}
	must(w.T, w.Admin.Get(w.T.Context(), client.ObjectKey{Name: "isthmus-controller"}, role))
	var rules []rbacv1.PolicyRule
	for _, rule := range role.Rules {
		if i := slices.Index(rule.Resources, resource); i >= 0 {
			less := *rule.DeepCopy()
			less.Resources = []string{resource}
			less.Verbs = slices.DeleteFunc(less.Verbs, func(verb string) bool { return slices.Contains(verbs, verb) })
			rule.Resources = slices.Delete(slices.Clone(rule.Resources), i, i+1)
			rules = append(rules, less)
		}
		rules = append(rules, rule)
	}
	role.Rules = rules
	must(w.T, w.Admin.Update(w.T.Context(), role))
	for _, verb := range verbs {
		w.permitted(false, resource, "networking.istio.io", verb)
	}
}

func TestAKindThatMayNotBeWatchedIsNamedAndNothingIsHalfApplied(t *testing.T) {
	w := newWorld(t)
	w.deny("serviceentries", "list", "watch")
	w.start()
	w.Create("mesh")
	ms := w.NotReady("mesh", v1alpha1.ReasonKindUnavailable)
	if !strings.Contains(message(ms), "serviceentries.networking.istio.io") || !strings.Contains(message(ms), "role") {
		t.Errorf("the message names the kind and what to mend: %s", message(ms))
	}
	w.Polled(3)
	if left := w.uids(); len(left) > 0 {
		t.Errorf("half applied: %v", left)
	}
	w.grant()
	w.ready("mesh", w.Git.First)
}

func TestAWriteThatIsForbiddenIsNamedAndNothingIsPrunedMeanwhile(t *testing.T) {
	w := newWorld(t)
	had := w.Git.Commit(many(2))
	w.start()
	w.Create("mesh")
	w.ready("mesh", had)
	before := w.uids()

	w.deny("destinationrules", "create")
	change := without(many(2))
	change["services/fresh.cue"] = gitops.Service{Name: "fresh", In: []string{west}}.String()
	change["services/caller.cue"] = gitops.Service{Name: "caller", In: []string{east}, Egress: []string{"fresh"}}.String()
	commit := w.Git.Commit(change)
	ms := w.refuses("mesh", v1alpha1.ReasonApplyFailed, commit)
	if len(ms.Status.Errors) == 0 || ms.Status.Errors[0].Service != "fresh" || !strings.HasPrefix(ms.Status.Errors[0].Resource, "DestinationRule/") ||
		!strings.Contains(ms.Status.Errors[0].Message, "give the controller's role the right") {
		t.Errorf("the status names the service, the object and the right: %s", describe(ms))
	}
	// The right was there a moment ago, so the commit was begun; from then on it is known beforehand.
	w.Until("Preflight names the right", func() (bool, string) {
		ms := w.Get("mesh")
		return conditions.GetReason(ms, v1alpha1.PreflightCondition) == v1alpha1.ReasonPermissionDenied, describe(ms)
	})
	w.Polled(3)
	after := w.uids()
	for key := range before {
		if after[key] == "" {
			t.Errorf("%s was pruned although the commit is applied only in part", key)
		}
	}
	w.grant()
	w.ready("mesh", commit)
}
