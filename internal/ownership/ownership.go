package ownership

import (
	"crypto/sha256"
	"encoding/base64"
	"iter"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/nested"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"
)

// The marks on every object that Isthmus wrote, and the wishes of people that it heeds.
const (
	// LabelPartOf says of which ApplySet (KEP-3659) an object is a member; see [ApplySetID].
	LabelPartOf = "applyset.kubernetes.io/part-of"
	// FieldManager is the name under which Isthmus writes; the API server keeps it in managedFields.
	FieldManager = "isthmus-controller"

	// AnnotationReconcile with the value "disabled" keeps an object from being changed or deleted.
	AnnotationReconcile = "isthmus.dev/reconcile"
	// AnnotationPrune with the value "disabled" keeps an object from being deleted.
	AnnotationPrune = "isthmus.dev/prune"

	Disabled = "disabled"
)

// ApplySetID is the id of the ApplySet whose parent is that object: version 1 of KEP-3659,
// "applyset-<base64url of SHA-256 of name.namespace.kind.group>-v1".
func ApplySetID(name, namespace, kind, group string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{name, namespace, kind, group}, ".")))
	return "applyset-" + base64.RawURLEncoding.EncodeToString(sum[:]) + "-v1"
}

// Owner is the MeshSync on whose behalf a plan is made.
type Owner struct {
	// ID is its ApplySet id.
	ID string
	// Living are the ApplySet ids of all other MeshSyncs that exist. An object that we wrote for a MeshSync that is
	// in neither is an orphan, and the owner may claim it.
	Living sets.Set[string]
	// Inherited are the ApplySet ids of MeshSyncs that are gone and handed their objects over to this one; it may not have claimed them yet.
	Inherited sets.Set[string]
}

// has tells whether an object is a member of the owner's ApplySet, or of one that it inherited.
func (o Owner) Includes(live *unstructured.Unstructured) bool {
	partOf := live.GetLabels()[LabelPartOf]
	return partOf == o.ID || o.Inherited.Has(partOf)
}

// Possession is what the marks on a live object say about it.
type Ownership int

const (
	// Foreign objects carry none of our marks, or belong to another MeshSync or ApplySet.
	Foreign Ownership = iota
	// Copy carries our label but not our field manager: a person's copy of our YAML, or a restored backup.
	LabelOnly
	// Unlabelled was written by us, and somebody took the label off or put another in its place.
	ManagerOnly
	// Owned carries both marks, or is an orphan of a MeshSync that is gone.
	Owned
)

// Possession reads the marks.
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
		// Somebody gave it the label of an ApplySet of theirs: one mark of ours is left.
		return ManagerOnly
	default:
		// Ours by its manager, and of an ApplySet that no MeshSync stands for any more.
		return Owned
	}
}

// labelledByUs reports whether the part-of label is as we set it last.
func labelledByUs(live *unstructured.Unstructured) bool {
	labels, _ := OwnedMetadata(live)
	return labels.Has(LabelPartOf)
}

// marked reports whether an object carries either mark, whoever the owner is.
func HasAnyMark(live *unstructured.Unstructured) bool {
	return live.GetLabels()[LabelPartOf] != "" || ManagedByUs(live)
}

func ManagedByUs(live *unstructured.Unstructured) bool {
	for range ourEntries(live) {
		return true
	}
	return false
}

// ourEntries yields the managedFields that are ours. They are read as they are, since making typed ones of them costs more
// than all else that a plan does with an object. The operation does not matter: we create and update by
// Update, and claim by Apply. Nor do writes of a subresource, which own nothing.
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

// writtenMetadata returns the labels and annotations that we set and nobody has set since. It is how we know
// which of them to take away when they leave the bundle, while those of others stay.
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

// insertFields reads the names in FieldsV1; the entry "." stands for the map itself.
func insertFields(into sets.Set[string], fields any) {
	names, _ := fields.(map[string]any)
	for name := range names {
		if field, ok := strings.CutPrefix(name, "f:"); ok {
			into.Insert(field)
		}
	}
}

func OptedOut(live *unstructured.Unstructured, annotation string) bool {
	return live.GetAnnotations()[annotation] == Disabled
}

// lastOther is the entry of managedFields of whoever wrote an object last, besides us, without the fields; nil if nobody did.
func LastForeignManager(object *unstructured.Unstructured) map[string]any {
	var last map[string]any
	latest := ""
	for _, item := range nested.List(nested.Map(object.Object, "metadata"), "managedFields") {
		entry := nested.Map(item)
		at, _ := entry["time"].(string) // in UTC, so that their order is that of text
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

// AnnotationWithdrawn stands on what this cluster offers to others and the repository does not have any more: "2026-11-21T20:00:00Z gone 5f2c…",
// since when, a digest of what shall be left of it, and one of the spec as it stays.
const AnnotationWithdrawn = "isthmus.dev/withdrawn"
