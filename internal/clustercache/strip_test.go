package clustercache

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
)

func TestApplySetIDIsThatOfTheKEP(t *testing.T) {
	// printf %s mesh.isthmus-system.MeshSync.isthmus.dev | openssl dgst -sha256 -binary | base64, in the URL alphabet, without padding
	const want = "applyset-RVXyu7Xt0pUjD588IEkbp2PkbRB0jC8XvAq_JREAxhc-v1"
	if got := ownership.ApplySetID("mesh", "isthmus-system", "MeshSync", "isthmus.dev"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestMarks(t *testing.T) {
	const own, living, gone = "applyset-own-v1", "applyset-living-v1", "applyset-gone-v1"
	owner := ownership.Owner{ID: own, Living: sets.New(living)}
	ours := metav1.ManagedFieldsEntry{Manager: ownership.FieldManager, Operation: metav1.ManagedFieldsOperationUpdate}
	claimed := metav1.ManagedFieldsEntry{Manager: ownership.FieldManager, Operation: metav1.ManagedFieldsOperationApply}
	status := metav1.ManagedFieldsEntry{Manager: ownership.FieldManager, Operation: metav1.ManagedFieldsOperationUpdate, Subresource: "status"}
	labelling := metav1.ManagedFieldsEntry{
		Manager: ownership.FieldManager, Operation: metav1.ManagedFieldsOperationUpdate, FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:labels":{"f:applyset.kubernetes.io/part-of":{}}}}`),
	}
	theirs := metav1.ManagedFieldsEntry{Manager: "kubectl-edit", Operation: metav1.ManagedFieldsOperationUpdate}

	tests := map[string]struct {
		reason  string
		partOf  string
		entries []metav1.ManagedFieldsEntry
		want    ownership.Ownership
	}{
		"both":                     {"as created", own, []metav1.ManagedFieldsEntry{ours, theirs}, ownership.Owned},
		"both, claimed":            {"an apply is ours as much as an update", own, []metav1.ManagedFieldsEntry{theirs, claimed}, ownership.Owned},
		"label only":               {"a copy or a restored backup", own, []metav1.ManagedFieldsEntry{theirs}, ownership.LabelOnly},
		"label only, no managers":  {"a restored backup", own, nil, ownership.LabelOnly},
		"manager of status only":   {"writing a status owns nothing", own, []metav1.ManagedFieldsEntry{status}, ownership.LabelOnly},
		"manager only":             {"somebody took the label off", "", []metav1.ManagedFieldsEntry{ours}, ownership.ManagerOnly},
		"neither":                  {"foreign", "", []metav1.ManagedFieldsEntry{theirs}, ownership.Foreign},
		"living label and manager": {"another MeshSync has it", living, []metav1.ManagedFieldsEntry{ours}, ownership.Foreign},
		"living label only":        {"another MeshSync may claim it", living, []metav1.ManagedFieldsEntry{theirs}, ownership.Foreign},
		"gone label and manager":   {"an orphan is claimed", gone, []metav1.ManagedFieldsEntry{labelling}, ownership.Owned},
		"gone label of others":     {"somebody took it into an ApplySet of theirs: it is not ours to delete", gone, []metav1.ManagedFieldsEntry{ours, theirs}, ownership.ManagerOnly},
		"gone label only":          {"another tool's ApplySet looks the same", gone, []metav1.ManagedFieldsEntry{theirs}, ownership.Foreign},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			live := istiotest.WithLabels(istiotest.DestinationRule("shop", "cart"), map[string]string{ownership.LabelPartOf: test.partOf})
			live.SetManagedFields(test.entries)
			if got := owner.Ownership(live); got != test.want {
				t.Errorf("%s: got %v, want %v", test.reason, got, test.want)
			}
			// What enters the cache must be judged as what came from the API server.
			stripped := stripped(t, live)
			if got := owner.Ownership(stripped); got != test.want {
				t.Errorf("%s: stripped: got %v, want %v", test.reason, got, test.want)
			}
		})
	}
}

func stripped(t *testing.T, object *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	before := object.DeepCopy()
	out := strip(object)
	if diff := cmp.Diff(before.Object, object.Object); diff != "" {
		t.Errorf("stripping changed its argument:\n%s", diff)
	}
	if diff := cmp.Diff(out.Object, strip(out).Object); diff != "" {
		t.Errorf("stripping twice is not stripping once:\n%s", diff)
	}
	item, err := toCached(object)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(out.Object, item.(*cachedObject).decode().Object); diff != "" {
		t.Errorf("packing loses something:\n%s", diff)
	}
	return out
}

func TestStripKeepsWhatAPlanNeedsAndNoMore(t *testing.T) {
	full := istiotest.WithLabels(istiotest.WithAnnotations(istiotest.DestinationRule("shop", "cart"), map[string]string{"big": "annotation"}), map[string]string{"tier": "gold"})
	full.SetUID("u1")
	full.SetResourceVersion("7")
	full.SetFinalizers([]string{"example.com/x"})
	full.Object["status"] = map[string]any{"observedGeneration": "1"}
	theirs := metav1.ManagedFieldsEntry{
		Manager: "kubectl-edit", Operation: metav1.ManagedFieldsOperationUpdate,
		FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:labels":{"f:tier":{}}}}`),
	}
	full.SetManagedFields([]metav1.ManagedFieldsEntry{theirs})

	foreign := stripped(t, full)
	want := map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
		"metadata": map[string]any{
			"name": "cart", "namespace": "shop", "uid": "u1", "resourceVersion": "7",
			"labels": map[string]any{"isthmus.dev/service": "cart", "isthmus.dev/side": "call"},
		},
	}
	if diff := cmp.Diff(want, foreign.Object); diff != "" {
		t.Errorf("foreign (-want +got):\n%s", diff)
	}

	ours := metav1.ManagedFieldsEntry{
		Manager: ownership.FieldManager, Operation: metav1.ManagedFieldsOperationUpdate,
		FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:annotations":{".":{},"f:big":{}},"f:labels":{"f:isthmus.dev/service":{}}},"f:spec":{"f:host":{}}}`),
	}
	full.SetManagedFields([]metav1.ManagedFieldsEntry{theirs, ours})
	marked := stripped(t, full)
	if managed := marked.GetManagedFields(); marked.Object["status"] != nil || len(managed) != 2 || managed[1].Manager != theirs.Manager || managed[1].FieldsV1 != nil {
		t.Errorf("of others only the name of the last is kept: %v", marked.Object)
	}
	labels, annotations := ownership.OwnedMetadata(marked)
	if !labels.Equal(sets.New("isthmus.dev/service")) || !annotations.Equal(sets.New("big")) {
		t.Errorf("our fields: labels %v, annotations %v", labels, annotations)
	}
	if diff := cmp.Diff(full.Object["spec"], marked.Object["spec"]); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	if len(marked.GetFinalizers()) != 1 {
		t.Error("the finalizers are lost, and the next PUT would take them away")
	}
}
