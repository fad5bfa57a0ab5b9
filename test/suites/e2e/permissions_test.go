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

func TestMissingCRDsAreReportedAndAwaited(t *testing.T) {
	env := newEnvironment(t)
	t.Cleanup(func() { must(t, env.Cluster.Install(istio.CRDs())) })
	for _, crd := range istio.CRDs() {
		must(t, env.Admin.Delete(t.Context(), crd))
	}
	env.Until("Istio's CRDs are gone", func() (bool, string) {
		for _, crd := range istio.CRDs() {
			if err := env.Admin.Get(t.Context(), client.ObjectKeyFromObject(crd), &apiextensionsv1.CustomResourceDefinition{}); !apierrors.IsNotFound(err) {
				return false, crd.Name
			}
		}
		return true, ""
	})
	env.start()
	env.Create("mesh")
	ms := env.NotReady("mesh", v1alpha1.ReasonKindUnavailable)
	for _, want := range []string{"serviceentries.networking.istio.io", "destinationrules.networking.istio.io", "install the CRDs"} {
		if !strings.Contains(message(ms), want) {
			t.Errorf("the message names the kinds and the remedy; it lacks %q: %s", want, message(ms))
		}
	}
	if strings.Contains(message(ms), "telemetries") {
		t.Errorf("a kind that is not needed is not reported: %s", message(ms))
	}
	must(t, env.Cluster.Install(istio.CRDs()))
	env.ready("mesh", env.Git.First)
}

// restoreRole applies the generated roles again.
func (env *environment) restoreRole() {
	env.T.Helper()
	must(env.T, gitops.Apply(context.Background(), env.Admin, root+"config/rbac/role.yaml"))
}

// removeVerbs removes verbs on a resource from the controller's ClusterRole until the test ends.
func (env *environment) removeVerbs(resource string, verbs ...string) {
	env.T.Helper()
	env.T.Cleanup(func() { must(env.T, gitops.Apply(context.Background(), env.Admin, root+"config/rbac/role.yaml")) })
	role := &rbacv1.ClusterRole{}
	must(env.T, env.Admin.Get(env.T.Context(), client.ObjectKey{Name: "isthmus-controller"}, role))
	var rules []rbacv1.PolicyRule
	for _, rule := range role.Rules {
		if i := slices.Index(rule.Resources, resource); i >= 0 {
			reduced := *rule.DeepCopy()
			reduced.Resources = []string{resource}
			reduced.Verbs = slices.DeleteFunc(reduced.Verbs, func(verb string) bool { return slices.Contains(verbs, verb) })
			rule.Resources = slices.Delete(slices.Clone(rule.Resources), i, i+1)
			rules = append(rules, reduced)
		}
		rules = append(rules, rule)
	}
	role.Rules = rules
	must(env.T, env.Admin.Update(env.T.Context(), role))
	for _, verb := range verbs {
		env.waitForPermission(false, resource, "networking.istio.io", verb)
	}
}

func TestForbiddenWatchIsReportedAndNothingIsApplied(t *testing.T) {
	env := newEnvironment(t)
	env.removeVerbs("serviceentries", "list", "watch")
	env.start()
	env.Create("mesh")
	ms := env.NotReady("mesh", v1alpha1.ReasonKindUnavailable)
	if !strings.Contains(message(ms), "serviceentries.networking.istio.io") || !strings.Contains(message(ms), "role") {
		t.Errorf("the message names the kind and the role: %s", message(ms))
	}
	env.Polled(3)
	if left := env.uids(); len(left) > 0 {
		t.Errorf("objects were applied: %v", left)
	}
	env.restoreRole()
	env.ready("mesh", env.Git.First)
}

func TestForbiddenWriteIsReportedAndNothingIsPruned(t *testing.T) {
	env := newEnvironment(t)
	had := env.Git.Commit(manyServices(2))
	env.start()
	env.Create("mesh")
	env.ready("mesh", had)
	before := env.uids()

	env.removeVerbs("destinationrules", "create")
	change := removalOf(manyServices(2))
	change["services/fresh.cue"] = gitops.Service{Name: "fresh", In: []string{west}}.String()
	change["services/caller.cue"] = gitops.Service{Name: "caller", In: []string{east}, Egress: []string{"fresh"}}.String()
	commit := env.Git.Commit(change)
	ms := env.notReadyAt("mesh", v1alpha1.ReasonApplyFailed, commit)
	if len(ms.Status.Errors) == 0 || ms.Status.Errors[0].Service != "fresh" || !strings.HasPrefix(ms.Status.Errors[0].Resource, "DestinationRule/") ||
		!strings.Contains(ms.Status.Errors[0].Message, "add the permission to the controller's role") {
		t.Errorf("the status names the service, the object and the permission: %s", describe(ms))
	}
	// The controller had cached the permission and started the commit. The next preflight detects the
	// loss.
	env.Until("Preflight reports the missing permission", func() (bool, string) {
		ms := env.Get("mesh")
		return conditions.GetReason(ms, v1alpha1.PreflightCondition) == v1alpha1.ReasonPermissionDenied, describe(ms)
	})
	env.Polled(3)
	after := env.uids()
	for key := range before {
		if after[key] == "" {
			t.Errorf("%s was pruned although the commit is only partly applied", key)
		}
	}
	env.restoreRole()
	env.ready("mesh", commit)
}
