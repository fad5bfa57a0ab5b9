package apply

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

func TestNamespacesAreCreatedOnceAndNeverTouchedAgain(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	// Unique, since nothing here ever removes a namespace.
	name := fmt.Sprintf("made-%d", time.Now().UnixNano())
	bundle := bundleOf(rule(name, "cart"), rule("shop", "cart"))
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
	namespaces := c.admin.Resource(namespaceResource)
	made, err := namespaces.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	labels := made.GetLabels()
	if labels["istio-injection"] != "enabled" || labels[LabelCreatedBy] != CreatedByIsthmus || labels[LabelPartOf] != "" {
		t.Errorf("labels: %v", labels)
	}

	// Another label in the repository changes no namespace that exists.
	bundle.NamespaceLabels = map[string]string{"istio-injection": "disabled"}
	k.planUntil(bundle, "the namespace is seen", func(p Plan) bool { return !p.Writes() })

	without := bundleOf(rule("shop", "cart"))
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
	plan = k.planUntil(bundle, "the namespace is seen to be going", func(p Plan) bool { return p.Count(Refuse) == 1 })
	if !strings.Contains(plan.Actions[len(plan.Actions)-1].Reason, "is being deleted") {
		t.Errorf("reason: %s", plan.Actions[len(plan.Actions)-1].Reason)
	}
	result, err = k.apply(stale)
	if diff := cmp.Diff(map[string]Class{"DestinationRule/" + name + "/cart": NamespaceUnusable}, failures(result)); diff != "" {
		t.Errorf("a plan from before (-want +got):\n%s\n%v", diff, err)
	}
}

func TestANamespaceIsUnusedOnlyWhenNothingOfOursStandsThere(t *testing.T) {
	annotate := func(annotation string) func(*controller, *unstructured.Unstructured) {
		return func(k *controller, object *unstructured.Unstructured) {
			k.patch(object, `{"metadata":{"annotations":{"`+annotation+`":"disabled"}}}`)
		}
	}
	tests := map[string]struct {
		reason string
		begin  func(*controller, *unstructured.Unstructured)
		// verb is what the plan says of the object that left the repository.
		verb Verb
	}{
		"about to be deleted": {"it stands there until the plan is carried out", nil, Delete},
		"withdrawn": {"other clusters may still call it", func(k *controller, object *unstructured.Unstructured) {
			k.patch(object, `{"metadata":{"labels":{"`+render.LabelSide+`":"`+string(render.SidePublish)+`"}}}`)
		}, Withdraw},
		"not pruned":   {"nothing is deleted", func(k *controller, _ *unstructured.Unstructured) { k.options.Prune = false }, Hold},
		"to be kept":   {"a person wants it", annotate(AnnotationPrune), Hold},
		"to be let be": {"a person wants it", annotate(AnnotationReconcile), Hold},
		"without label": {"Isthmus made it, and does not know what for any more", func(k *controller, object *unstructured.Unstructured) {
			k.patch(object, `{"metadata":{"labels":{"`+LabelPartOf+`":null}}}`)
		}, Report},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			k := withdrawing(c)
			namespace := fmt.Sprintf("left-%d", time.Now().UnixNano())
			left := rule(namespace, "cart")
			bundle := bundleOf(left, rule("shop", "web"))
			bundle.Namespaces = []string{namespace, "shop"}
			k.sync(bundle)
			if test.begin != nil {
				test.begin(k, left)
			}
			without := bundleOf(rule("shop", "web"))
			for i := range 3 {
				plan := k.planUntil(without, "the object is seen", func(p Plan) bool {
					at := slices.IndexFunc(p.Actions, func(a Action) bool { return a.Key == keyOf(left) })
					return at >= 0 && (p.Actions[at].Verb == test.verb || p.Actions[at].Verb == Update)
				})
				if slices.Contains(plan.UnusedNamespaces, namespace) {
					t.Fatalf("plan %d: %s, and the namespace is told to be unused", i, test.reason)
				}
				if test.verb != Delete {
					if _, err := k.apply(plan); err != nil {
						t.Fatal(err)
					}
				}
				// Something else goes on, so that only a part is looked at.
				without = bundleOf(rule("shop", "web"), rule("shop", fmt.Sprint("other", i)))
			}
			if k.planner.last.part == nil {
				t.Error("every plan looked at everything: this test says nothing of a part")
			}
			c.remove(left)
			k.planUntil(without, "the namespace is told to be unused", func(p Plan) bool { return slices.Contains(p.UnusedNamespaces, namespace) })
		})
	}
}

func TestAbsentNamespaceIsNamed(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	result, err := k.apply(k.plan(bundleOf(rule("nowhere", "cart"))))
	if diff := cmp.Diff(map[string]Class{"DestinationRule/nowhere/cart": NamespaceUnusable}, failures(result)); diff != "" {
		t.Errorf("failures (-want +got):\n%s\n%v", diff, err)
	}
}
