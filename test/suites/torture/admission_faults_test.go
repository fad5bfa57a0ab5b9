//go:build linux

package torture_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// policyDenies creates admission policies that deny some objects to the controller.
func policyDenies(inj *injection) func() {
	affected := inj.someClusters()
	what := fmt.Sprintf("(request.operation == 'DELETE' ? oldObject : object).metadata.namespace != '%s'", pick(inj, append(slices.Clone(optionalServices), requiredServices...)))
	if inj.chance(0.4) {
		what = fmt.Sprintf("request.kind.kind != '%s'", pick(inj, []string{"ServiceEntry", "DestinationRule", "VirtualService", "AuthorizationPolicy"}))
	}
	inj.note("allows only %s", what)
	for _, c := range affected {
		policy, binding := denial(what)
		c.retry(inj.T, "the policy is created", func(ctx context.Context) error {
			return client.IgnoreAlreadyExists(c.admin.Create(ctx, policy.DeepCopy()))
		})
		c.retry(inj.T, "the binding is created", func(ctx context.Context) error {
			return client.IgnoreAlreadyExists(c.admin.Create(ctx, binding.DeepCopy()))
		})
		c.awaitDenial(inj)
	}
	return func() {
		inj.pause(200*time.Millisecond, 2*time.Second)
		for _, c := range affected {
			policy, binding := denial(what)
			for _, object := range []client.Object{binding, policy} {
				c.retry(inj.T, "the policy is gone", func(ctx context.Context) error { return client.IgnoreNotFound(c.admin.Delete(ctx, object)) })
			}
		}
	}
}

const (
	controllerUser = "system:serviceaccount:" + namespace + ":isthmus-controller"
	// denialName is the name of policies and webhooks. It is contained in the error of the API server.
	denialName = "denies.torture.example.com"
	// probeName is the name of an object that is always denied.
	probeName = "probe"
)

var (
	// byController matches requests of the controller.
	byController = admissionv1.MatchCondition{Name: "controller", Expression: "request.userInfo.username == '" + controllerUser + "'"}
	// ofIstio matches writes of Istio objects.
	ofIstio = admissionv1.RuleWithOperations{
		Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update, admissionv1.Delete},
		Rule:       admissionv1.Rule{APIGroups: []string{"networking.istio.io", "security.istio.io"}, APIVersions: []string{"*"}, Resources: []string{"*"}},
	}
)

// denial returns a policy that allows only the objects of a CEL expression, and its binding.
func denial(what string) (*admissionv1.ValidatingAdmissionPolicy, *admissionv1.ValidatingAdmissionPolicyBinding) {
	fail := admissionv1.Fail
	policy := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: denialName}}
	policy.Spec = admissionv1.ValidatingAdmissionPolicySpec{
		FailurePolicy:    &fail,
		MatchConditions:  []admissionv1.MatchCondition{byController},
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: ofIstio}}},
		Validations: []admissionv1.Validation{{Expression: what, Message: "not today"}, {
			// The probe shows the test that the policy is in effect.
			Expression: "request.operation != 'CREATE' || object.metadata.name != '" + probeName + "'",
		}},
	}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: denialName}}
	binding.Spec = admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: denialName, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}}
	return policy, binding
}

// awaitDenial waits until a policy or webhook is in effect, some time after its creation.
func (c *cluster) awaitDenial(inj *injection) {
	config := rest.CopyConfig(c.server.Config)
	config.Impersonate.UserName = controllerUser
	as := connect(inj.T, config)
	until(inj.T, "in "+c.name+" the probe is denied", func() string {
		probe := foreignObject(kindOf("ServiceEntry"), "default", probeName)
		err := as.Create(inj.Context(), probe, client.DryRunAll)
		if err != nil && strings.Contains(err.Error(), denialName) {
			return ""
		}
		return fmt.Sprintf("the probe is not denied: %v", err)
	})
}
