//go:build linux

package torture_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/internal/istio"
)

const (
	stopSignal, goOnSignal = syscall.SIGSTOP, syscall.SIGCONT
	controllerUser         = "system:serviceaccount:" + namespace + ":isthmus-controller"
)

// leaseLost takes the lease from the leader: by somebody else's name in it, by its deletion, or since its renewals do not get through.
func leaseLost(w *trial) func() {
	c := w.clusters[0]
	k := c.leader()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "isthmus-controller-leader-election"}}
	switch w.random.IntN(3) {
	case 0:
		w.tell("deleted")
		must(w.T, client.IgnoreNotFound(c.admin.Delete(w.Context(), lease)))
		return func() {}
	case 1:
		w.tell("stolen")
		c.retry(w.T, "the lease is taken", func(ctx context.Context) error {
			if err := c.admin.Get(ctx, client.ObjectKeyFromObject(lease), lease); err != nil {
				return err
			}
			thief, seconds := "somebody", int32(2)
			lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds = &thief, &seconds
			lease.Spec.RenewTime = &metav1.MicroTime{Time: time.Now()}
			return c.admin.Update(ctx, lease)
		})
		return func() {}
	default:
		w.tell("not renewed by %s", k.name)
		k.relay.set(func(sent request) treatment {
			if sent.lease() {
				return broken
			}
			return pass
		})
		return func() {
			until(w.T, "the other one leads", func() string {
				if c.leader() == k {
					return k.name + " was the last to hold the lease"
				}
				return ""
			})
			k.relay.set(nil)
		}
	}
}

// policyRefuses puts an admission policy into API servers that refuses the controller some objects.
func policyRefuses(w *trial) func() {
	hit := w.someClusters()
	what := fmt.Sprintf("(request.operation == 'DELETE' ? oldObject : object).metadata.namespace != '%s'", pick(w, append(slices.Clone(others), pillars...)))
	if w.chance(0.4) {
		what = fmt.Sprintf("request.kind.kind != '%s'", pick(w, []string{"ServiceEntry", "DestinationRule", "VirtualService", "AuthorizationPolicy"}))
	}
	w.tell("lets pass only %s", what)
	for _, c := range hit {
		policy, binding := refusal(what)
		c.retry(w.T, "a policy is made", func(ctx context.Context) error { return ignoreExists(c.admin.Create(ctx, policy.DeepCopy())) })
		c.retry(w.T, "it is bound", func(ctx context.Context) error { return ignoreExists(c.admin.Create(ctx, binding.DeepCopy())) })
		c.refusing(w)
	}
	return func() {
		w.pause(200*time.Millisecond, 2*time.Second)
		for _, c := range hit {
			policy, binding := refusal(what)
			for _, object := range []client.Object{binding, policy} {
				c.retry(w.T, "the policy is gone", func(ctx context.Context) error { return client.IgnoreNotFound(c.admin.Delete(ctx, object)) })
			}
		}
	}
}

// refusalName is that of whatever refuses something, and stands in what the API server then says; probeName is that of an object that is refused always.
const refusalName, probeName = "refuses.torture.example.com", "probe"

var (
	// byController are requests of the controller.
	byController = admissionv1.MatchCondition{Name: "controller", Expression: "request.userInfo.username == '" + controllerUser + "'"}
	// ofIstio are writes of Istio's objects.
	ofIstio = admissionv1.RuleWithOperations{
		Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update, admissionv1.Delete},
		Rule:       admissionv1.Rule{APIGroups: []string{"networking.istio.io", "security.istio.io"}, APIVersions: []string{"*"}, Resources: []string{"*"}},
	}
)

func refusal(what string) (*admissionv1.ValidatingAdmissionPolicy, *admissionv1.ValidatingAdmissionPolicyBinding) {
	fail := admissionv1.Fail
	policy := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: refusalName}}
	policy.Spec = admissionv1.ValidatingAdmissionPolicySpec{
		FailurePolicy:    &fail,
		MatchConditions:  []admissionv1.MatchCondition{byController},
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: ofIstio}}},
		Validations: []admissionv1.Validation{{Expression: what, Message: "not today"}, {
			// By this the test knows that the policy is in force.
			Expression: "request.operation != 'CREATE' || object.metadata.name != '" + probeName + "'",
		}},
	}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: refusalName}}
	binding.Spec = admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: refusalName, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}}
	return policy, binding
}

// refusing waits until the API server refuses what a policy or a webhook does, which it begins to a moment after it has it.
func (c *cluster) refusing(w *trial) {
	config := rest.CopyConfig(c.server.Config)
	config.Impersonate.UserName = controllerUser
	as := connect(w.T, config)
	until(w.T, "in "+c.name+" something is refused", func() string {
		probe := stranger(kindOf("ServiceEntry"), "default", probeName)
		err := as.Create(w.Context(), probe, client.DryRunAll)
		if err != nil && strings.Contains(err.Error(), refusalName) {
			return ""
		}
		return fmt.Sprintf("the controller may make a probe: %v", err)
	})
}

func kindOf(name string) istio.Kind {
	for _, kind := range istio.Kinds {
		if kind.Kind == name {
			return kind
		}
	}
	return istio.Kind{}
}

func ignoreExists(err error) error {
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func pick[T any](w *trial, from []T) T { return from[w.random.IntN(len(from))] }

// editors are people who change our objects, delete them and write their own marks on them, while a commit is applied.
func editors(w *trial) func() {
	for _, c := range w.someClusters() {
		c.edited(w, 1+w.random.IntN(4), false)
	}
	w.commit(w.number)
	for _, c := range w.clusters {
		w.pause(0, 400*time.Millisecond)
		c.edited(w, w.random.IntN(3), true)
	}
	return func() {}
}

// edited makes so many edits of objects that the cluster has now. Unless they stay in the repository, no label is taken from them: what a person
// has taken our label from is not ours to delete, if it then leaves the repository at once.
func (c *cluster) edited(w *trial, n int, stay bool) {
	ours, err := c.ours(w.Context())
	must(w.T, err)
	exported := c.git.exported(w.T, c.name)
	maps.DeleteFunc(ours, func(key string, _ *unstructured.Unstructured) bool { return stay && exported[key] == nil })
	keys := slices.Sorted(maps.Keys(ours))
	for range n {
		object := ours[pick(w, keys)]
		allowed := slices.DeleteFunc(slices.Clone(edits), func(e edit) bool { return e.spares(object) || e.disowns && !stay })
		edit := pick(w, allowed)
		err := edit.do(c, w.Context(), object.DeepCopy())
		if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) && !apierrors.IsInvalid(err) {
			w.Fatalf("%s of %s: %v", edit.name, keyOf(object), err)
		}
		w.tell("%s: %s of %s (%v)", c.name, edit.name, keyOf(object), err)
	}
}

// edit is what a person does to an object.
type edit struct {
	name string
	do   func(*cluster, context.Context, *unstructured.Unstructured) error
	// breaks says that it would take a host away, which is then nobody's fault but the person's.
	breaks bool
	// disowns says that it takes our label.
	disowns bool
}

var edits = []edit{
	{name: "mark", do: (*cluster).mark},
	{name: "deletion", do: func(c *cluster, ctx context.Context, o *unstructured.Unstructured) error {
		return c.admin.Delete(ctx, o, client.Preconditions{ResourceVersion: &[]string{o.GetResourceVersion()}[0]})
	}, breaks: true},
	{name: "loss of our label", disowns: true, do: func(c *cluster, ctx context.Context, o *unstructured.Unstructured) error {
		labels := o.GetLabels()
		delete(labels, partOf)
		o.SetLabels(labels)
		return c.admin.Update(ctx, o, client.FieldOwner("kubectl-edit"))
	}},
	{name: "loss of all labels", disowns: true, do: func(c *cluster, ctx context.Context, o *unstructured.Unstructured) error {
		labels := o.GetLabels()
		maps.DeleteFunc(labels, func(name, _ string) bool { return name != foreignMark })
		o.SetLabels(labels)
		return c.admin.Update(ctx, o, client.FieldOwner("kubectl-edit"))
	}},
	{name: "change", do: func(c *cluster, ctx context.Context, o *unstructured.Unstructured) error {
		spoil(o)
		return c.admin.Update(ctx, o, client.FieldOwner("kubectl-edit"))
	}},
}

// spares reports whether the edit would take a pillar's host away.
func (e edit) spares(object *unstructured.Unstructured) bool {
	return e.breaks && slices.ContainsFunc(pillars, func(pillar string) bool { return slices.Contains(hostsOf(object), hostOf(pillar)) })
}

// mark puts a label and an annotation on one of our objects that Isthmus knows nothing of.
func (c *cluster) mark(ctx context.Context, object *unstructured.Unstructured) error {
	labels, annotations := map[string]string{foreignMark: "yes"}, map[string]string{foreignMark: "yes"}
	maps.Copy(labels, object.GetLabels())
	maps.Copy(annotations, object.GetAnnotations())
	object.SetLabels(labels)
	object.SetAnnotations(annotations)
	if err := c.admin.Update(ctx, object, client.FieldOwner("kubectl-edit")); err != nil {
		return err
	}
	c.marked[keyOf(object)] = string(object.GetUID())
	return nil
}

// spoil changes what an object means.
func spoil(object *unstructured.Unstructured) {
	spec := object.Object["spec"].(map[string]any)
	switch object.GetKind() {
	case "ServiceEntry", "VirtualService":
		of, _, _ := unstructured.NestedStringSlice(spec, "hosts")
		_ = unstructured.SetNestedStringSlice(spec, append(of, "edited.example.com"), "hosts")
	case "DestinationRule":
		spec["host"] = "edited.example.com"
	case "AuthorizationPolicy":
		delete(spec, "rules")
	case "Service":
		spec["selector"] = map[string]any{"app": "edited"}
	default:
		spec["selector"] = map[string]any{"edited": "yes"}
	}
}

// squatter deletes one of our objects and makes a foreign one of that name, as somebody does who restores a backup by hand. When it is gone again,
// ours comes back.
func squatter(w *trial) func() {
	type place struct {
		c      *cluster
		object *unstructured.Unstructured
	}
	var taken []place
	for _, c := range w.someClusters() {
		ours, err := c.ours(w.Context())
		must(w.T, err)
		maps.DeleteFunc(ours, func(_ string, o *unstructured.Unstructured) bool {
			return (edit{breaks: true}).spares(o) || o.GetKind() == "Service"
		})
		object := ours[pick(w, slices.Sorted(maps.Keys(ours)))]
		foreign := stranger(kindOf(object.GetKind()), object.GetNamespace(), object.GetName())
		must(w.T, client.IgnoreNotFound(c.admin.Delete(w.Context(), object)))
		err = c.admin.Create(w.Context(), foreign, client.FieldOwner("kubectl-create"))
		w.tell("%s: %s (%v)", c.name, keyOf(object), err)
		must(w.T, ignoreExists(err))
		if err == nil {
			taken = append(taken, place{c, foreign})
		}
	}
	return func() {
		for _, p := range taken {
			now := &unstructured.Unstructured{}
			now.SetGroupVersionKind(p.object.GroupVersionKind())
			must(w.T, p.c.admin.Get(w.Context(), client.ObjectKeyFromObject(p.object), now))
			if versionOf(now) != versionOf(p.object) {
				w.Errorf("%s: %s is somebody else's and was written", p.c.name, keyOf(p.object))
			}
			must(w.T, p.c.admin.Delete(w.Context(), now))
		}
	}
}

// meshSyncRecreated deletes the MeshSync, which leaves all objects where they are, and makes it again, often under another name.
func meshSyncRecreated(w *trial) func() {
	hit := w.someClusters()
	for _, c := range hit {
		c.retry(w.T, "the MeshSync is deleted", func(ctx context.Context) error {
			ms, err := c.get(ctx)
			if err != nil {
				return client.IgnoreNotFound(err)
			}
			return client.IgnoreNotFound(c.admin.Delete(ctx, ms))
		})
	}
	return func() {
		for _, c := range hit {
			until(w.T, "the MeshSync of "+c.name+" is gone", func() string {
				_, err := c.get(w.Context())
				if apierrors.IsNotFound(err) {
					return ""
				}
				return fmt.Sprint(err)
			})
			if w.chance(0.6) {
				c.sync = fmt.Sprintf("mesh-%d", w.number)
			}
			w.tell("%s: %s", c.name, strings.TrimSpace(c.sync))
			c.follow(w.T)
		}
	}
}
