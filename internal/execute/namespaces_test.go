package execute

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
)

func TestNamespacesAreCreatedOnceAndNeverTouchedAgain(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	// Unique, since nothing here ever removes a namespace.
	name := fmt.Sprintf("made-%d", time.Now().UnixNano())
	bundle := istiotest.Bundle(istiotest.DestinationRule(name, "cart"), istiotest.DestinationRule("shop", "cart"))
	bundle.Namespaces = []string{name, "shop"}
	bundle.NamespaceLabels = map[string]string{"istio-injection": "enabled"}

	plan := k.plan(bundle)
	if diff := cmp.Diff([]string{name}, plan.Namespaces); diff != "" {
		t.Errorf("namespaces to create (-want +got):\n%s", diff)
	}
	result, err := k.apply(plan)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{name}, result.Namespaces); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	namespaces := c.admin.Resource(clustercache.NamespaceResource)
	made, err := namespaces.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	labels := made.GetLabels()
	if labels["istio-injection"] != "enabled" || labels[clustercache.LabelCreatedBy] != clustercache.CreatedByIsthmus || labels[ownership.LabelPartOf] != "" {
		t.Errorf("labels: %v", labels)
	}

	// Another label in the repository changes no namespace that exists.
	bundle.NamespaceLabels = map[string]string{"istio-injection": "disabled"}
	k.planUntil(bundle, "the namespace is seen", func(p plans.Plan) bool { return !p.Writes() })

	without := istiotest.Bundle(istiotest.DestinationRule("shop", "cart"))
	k.sync(without)
	if plan = k.plan(without); !slices.Contains(plan.UnusedNamespaces, name) {
		t.Errorf("the unused namespace is not reported: %v", plan.UnusedNamespaces)
	}
	if _, err := k.apply(plan); err != nil {
		t.Fatal(err)
	}
	after, err := namespaces.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil || after.GetResourceVersion() != made.GetResourceVersion() || after.GetDeletionTimestamp() != nil {
		t.Errorf("the namespace was touched: %v", err)
	}

	// A namespace that is going takes no new objects; nothing else waits for it.
	stale := k.plan(bundle)
	if err := namespaces.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	plan = k.planUntil(bundle, "the namespace is seen to be going", func(p plans.Plan) bool { return p.Count(plans.Refuse) == 1 })
	if !strings.Contains(plan.Actions[len(plan.Actions)-1].Reason.String(), "is being deleted") {
		t.Errorf("reason: %s", plan.Actions[len(plan.Actions)-1].Reason)
	}
	result, err = k.apply(stale)
	if diff := cmp.Diff(map[string]Class{"DestinationRule/" + name + "/cart": NamespaceUnusable}, failures(result)); diff != "" {
		t.Errorf("a plan from before (-want +got):\n%s\n%v", diff, err)
	}
}

func TestANamespaceIsUnusedOnlyWhenNothingOfOursStandsThere(t *testing.T) {
	annotate := func(annotation string) func(*testController, *unstructured.Unstructured) {
		return func(k *testController, object *unstructured.Unstructured) {
			k.patch(object, `{"metadata":{"annotations":{"`+annotation+`":"disabled"}}}`)
		}
	}
	tests := map[string]struct {
		reason string
		begin  func(*testController, *unstructured.Unstructured)
		// verb is what the plan says of the object that left the repository.
		verb plans.Verb
	}{
		"about to be deleted": {"it stands there until the plan is carried out", nil, plans.Delete},
		"withdrawn": {"other clusters may still call it", func(k *testController, object *unstructured.Unstructured) {
			k.patch(object, `{"metadata":{"labels":{"`+render.LabelSide+`":"`+string(render.SidePublish)+`"}}}`)
		}, plans.Withdraw},
		"not pruned":   {"nothing is deleted", func(k *testController, _ *unstructured.Unstructured) { k.options.Prune = false }, plans.Skip},
		"to be kept":   {"a person wants it", annotate(ownership.AnnotationPrune), plans.Skip},
		"to be let be": {"a person wants it", annotate(ownership.AnnotationReconcile), plans.Skip},
		"without label": {"Isthmus made it, and does not know what for any more", func(k *testController, object *unstructured.Unstructured) {
			k.patch(object, `{"metadata":{"labels":{"`+ownership.LabelPartOf+`":null}}}`)
		}, plans.Report},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			k := withdrawing(c)
			namespace := fmt.Sprintf("left-%d", time.Now().UnixNano())
			left := istiotest.DestinationRule(namespace, "cart")
			bundle := istiotest.Bundle(left, istiotest.DestinationRule("shop", "web"))
			bundle.Namespaces = []string{namespace, "shop"}
			k.sync(bundle)
			if test.begin != nil {
				test.begin(k, left)
			}
			without := istiotest.Bundle(istiotest.DestinationRule("shop", "web"))
			for i := range 3 {
				plan := k.planUntil(without, "the object is seen", func(p plans.Plan) bool {
					at := slices.IndexFunc(p.Actions, func(a plans.Action) bool { return a.Key == render.KeyOf(left) })
					return at >= 0 && (p.Actions[at].Verb == test.verb || p.Actions[at].Verb == plans.Update)
				})
				if slices.Contains(plan.UnusedNamespaces, namespace) {
					t.Fatalf("plan %d: %s, and the namespace is told to be unused", i, test.reason)
				}
				if test.verb != plans.Delete {
					if _, err := k.apply(plan); err != nil {
						t.Fatal(err)
					}
				}
				// Something else goes on, so that only a part is looked at.
				without = istiotest.Bundle(istiotest.DestinationRule("shop", "web"), istiotest.DestinationRule("shop", fmt.Sprint("other", i)))
			}
			if !k.partial {
				t.Error("every plan looked at everything: this test says nothing of a part")
			}
			c.remove(left)
			k.planUntil(without, "the namespace is told to be unused", func(p plans.Plan) bool { return slices.Contains(p.UnusedNamespaces, namespace) })
		})
	}
}

func TestAbsentNamespaceIsNamed(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	result, err := k.apply(k.plan(istiotest.Bundle(istiotest.DestinationRule("nowhere", "cart"))))
	if diff := cmp.Diff(map[string]Class{"DestinationRule/nowhere/cart": NamespaceUnusable}, failures(result)); diff != "" {
		t.Errorf("failures (-want +got):\n%s\n%v", diff, err)
	}
}
