package syncrun

import (
	"context"
	"fmt"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
)

// Active returns the older MeshSync that manages this cluster, nil if ms does. Two MeshSyncs would
// fight over objects, so the oldest manages the cluster until it is deleted, even while it is
// suspended or being deleted. It is an error if the MeshSyncs cannot be listed.
func Active(ctx context.Context, reader client.Reader, ms *v1alpha1.MeshSync) (*v1alpha1.MeshSync, error) {
	all := &v1alpha1.MeshSyncList{}
	if err := reader.List(ctx, all); err != nil {
		return nil, fmt.Errorf("cannot list the MeshSyncs of this cluster to find the oldest: %w", err)
	}
	oldest := Oldest(append(all.Items, *ms))
	if oldest.UID == ms.UID {
		return nil, nil
	}
	return oldest, nil
}

// InheritanceNote says whether the waiting MeshSync inherits the objects of the older one. A user
// reads it before deleting the older one.
func InheritanceNote(ms *v1alpha1.MeshSync) string {
	if MayWrite(ms) {
		return "This MeshSync waits and takes over when the older one is deleted."
	}
	var why, first []string
	if ms.Spec.Suspend {
		why, first = append(why, "is suspended"), append(first, "spec.suspend to false")
	}
	if ms.Spec.Mode == v1alpha1.ModeObserve {
		why, first = append(why, "only observes"), append(first, "spec.mode to Apply")
	}
	return fmt.Sprintf("This MeshSync %s, so it does not count as a successor: deletion of the older one deletes its objects if its spec.deletionPolicy is Delete. "+
		"To inherit the objects, set %s first.", strings.Join(why, " and "), strings.Join(first, " and "))
}

// MayWrite reports whether the spec allows writes: not suspended and not in mode Observe.
func MayWrite(ms *v1alpha1.MeshSync) bool {
	return !ms.Spec.Suspend && ms.Spec.Mode != v1alpha1.ModeObserve
}

// Oldest returns the MeshSync that manages the cluster, nil if there is none.
func Oldest(all []v1alpha1.MeshSync) *v1alpha1.MeshSync {
	var oldest *v1alpha1.MeshSync
	for i := range all {
		if oldest == nil || IsOlder(&all[i], oldest) {
			oldest = &all[i]
		}
	}
	return oldest
}

// IsOlder orders by creation time, then by namespace and name, so that every run and every
// controller gets the same order.
func IsOlder(a, b *v1alpha1.MeshSync) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	if a.Namespace != b.Namespace {
		return a.Namespace < b.Namespace
	}
	return a.Name < b.Name
}

// LeavesObjects reports whether the objects stay when the MeshSync is deleted: by deletionPolicy,
// or because the MeshSync may not write.
func LeavesObjects(ms *v1alpha1.MeshSync) bool {
	return ms.Spec.DeletionPolicy != v1alpha1.DeletionDelete || !MayWrite(ms)
}
