package ownership

import (
	"crypto/sha256"
	"encoding/base64"
	"iter"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/isthmus-mesh/isthmus/internal/nested"
)

// Marks on every object that Isthmus wrote, and annotations by which users opt out.
const (
	// LabelPartOf is the id of the ApplySet (KEP-3659) of an object; see [ApplySetID].
	LabelPartOf = "applyset.kubernetes.io/part-of"
	// FieldManager is the name under which Isthmus writes, as in managedFields.
	FieldManager = "isthmus-controller"

	// AnnotationReconcile with the value "disabled" prevents changes and deletion of an object.
	AnnotationReconcile = "isthmus.dev/reconcile"
	// AnnotationPrune with the value "disabled" prevents the deletion of an object.
	AnnotationPrune = "isthmus.dev/prune"

	Disabled = "disabled"
)

// ApplySetID is the id of an ApplySet by its parent object, version 1 of KEP-3659:
// "applyset-<base64url of SHA-256 of name.namespace.kind.group>-v1".
func ApplySetID(name, namespace, kind, group string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{name, namespace, kind, group}, ".")))
	return "applyset-" + base64.RawURLEncoding.EncodeToString(sum[:]) + "-v1"
}

// Owner is the MeshSync for which a plan is made.
type Owner struct {
	// ID is its ApplySet id.
	ID string
	// Living are the ApplySet ids of all other existing MeshSyncs. An object that Isthmus wrote
	// for a MeshSync that no longer exists is an orphan, which the owner may claim.
	Living sets.Set[string]
	// Inherited are the ApplySet ids of deleted MeshSyncs that handed their objects over to this
	// one. It may not have claimed them yet.
	Inherited sets.Set[string]
}

// Includes tells whether an object is in the ApplySet of the owner, or in one that it inherited.
func (o Owner) Includes(live *unstructured.Unstructured) bool {
	partOf := live.GetLabels()[LabelPartOf]
	return partOf == o.ID || o.Inherited.Has(partOf)
}

// Ownership is what the marks of a live object mean for an owner.
type Ownership int

const (
	// Foreign objects have no mark of ours, or belong to another MeshSync or ApplySet.
	Foreign Ownership = iota
	// LabelOnly objects have our label and not our field manager: a copy of our YAML by a user, or
	// a restored backup.
	LabelOnly
	// ManagerOnly objects were written by us, and our label was removed or replaced.
	ManagerOnly
	// Owned objects have both marks, or are orphans.
	Owned
)

// Ownership reads the marks of a live object.
func (o Owner) Ownership(live *unstructured.Unstructured) Ownership {
	partOf := live.GetLabels()[LabelPartOf]
	ours := ManagedByUs(live)
	switch {
	case partOf == o.ID && ours:
		return Owned
	case partOf == o.ID:
		return LabelOnly
	case !ours || o.Living.Has(partOf):
		return Foreign
	case partOf == "":
		return ManagerOnly
	case !labelledByUs(live):
		// Another writer replaced the label: one mark of ours is left.
		return ManagerOnly
	default:
		// Written by us, for a MeshSync that no longer exists.
		return Owned
	}
}

// labelledByUs reports whether we were the last to set the part-of label.
func labelledByUs(live *unstructured.Unstructured) bool {
	labels, _ := OwnedMetadata(live)
	return labels.Has(LabelPartOf)
}

// HasAnyMark reports whether an object has a mark of any owner.
func HasAnyMark(live *unstructured.Unstructured) bool {
	return live.GetLabels()[LabelPartOf] != "" || ManagedByUs(live)
}

// ManagedByUs reports whether our field manager wrote an object.
func ManagedByUs(live *unstructured.Unstructured) bool {
	for range ourEntries(live) {
		return true
	}
	return false
}

// ourEntries yields our entries of managedFields. They are read without typed decoding, which
// would cost more than everything else that a plan does with an object. The operation does not
// matter: we create and update by Update, and claim by Apply. Writes of a subresource own nothing.
func ourEntries(live *unstructured.Unstructured) iter.Seq[map[string]any] {
	return func(yield func(map[string]any) bool) {
		metadata, _ := live.Object["metadata"].(map[string]any)
		entries, _ := metadata["managedFields"].([]any)
		for _, item := range entries {
			entry, _ := item.(map[string]any)
			if entry["manager"] != FieldManager || entry["subresource"] != nil && entry["subresource"] != "" {
				continue
			}
			if !yield(entry) {
				return
			}
		}
	}
}

// OwnedMetadata returns the labels and annotations that we were the last to set. Only those are
// removed when they leave the bundle.
func OwnedMetadata(live *unstructured.Unstructured) (labels, annotations sets.Set[string]) {
	labels, annotations = sets.New[string](), sets.New[string]()
	for entry := range ourEntries(live) {
		fields, _ := entry["fieldsV1"].(map[string]any)
		metadata, _ := fields["f:metadata"].(map[string]any)
		insertFields(labels, metadata["f:labels"])
		insertFields(annotations, metadata["f:annotations"])
	}
	return labels, annotations
}

// insertFields reads the names of FieldsV1; the entry "." is the map itself.
func insertFields(into sets.Set[string], fields any) {
	names, _ := fields.(map[string]any)
	for name := range names {
		if field, ok := strings.CutPrefix(name, "f:"); ok {
			into.Insert(field)
		}
	}
}

// OptedOut reports whether an annotation is set to "disabled".
func OptedOut(live *unstructured.Unstructured, annotation string) bool {
	return live.GetAnnotations()[annotation] == Disabled
}

// LastForeignManager is the managedFields entry of the last writer other than us, without its
// fields; nil if there is none.
func LastForeignManager(object *unstructured.Unstructured) map[string]any {
	var last map[string]any
	latest := ""
	for _, item := range nested.List(nested.Map(object.Object, "metadata"), "managedFields") {
		entry := nested.Map(item)
		at, _ := entry["time"].(string) // in UTC, so text order is time order
		if entry["manager"] == FieldManager || entry["subresource"] != nil && entry["subresource"] != "" || at < latest {
			continue
		}
		latest, last = at, map[string]any{"manager": entry["manager"], "operation": entry["operation"]}
		if at != "" {
			last["time"] = at
		}
	}
	return last
}

// AnnotationWithdrawn marks an export that left the repository: "2026-11-21T20:00:00Z gone 5f2c…",
// the time of the withdrawal, a digest of what is left in the end, and a digest of the spec that
// stays.
const AnnotationWithdrawn = "isthmus.dev/withdrawn"
