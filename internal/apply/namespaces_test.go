package apply

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	plan = k.plan(without)
	if !strings.Contains(strings.Join(plan.UnusedNamespaces, " "), name) {
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

func TestAbsentNamespaceIsNamed(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	result, err := k.apply(k.plan(bundleOf(rule("nowhere", "cart"))))
	if diff := cmp.Diff(map[string]Class{"DestinationRule/nowhere/cart": NamespaceUnusable}, failures(result)); diff != "" {
		t.Errorf("failures (-want +got):\n%s\n%v", diff, err)
	}
}
