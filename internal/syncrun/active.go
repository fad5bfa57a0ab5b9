package syncrun

import (
	"context"
	"fmt"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
)

// olderRival is the MeshSync that manages this cluster instead of ms, nil if it is ms that does. Two would undo each
// other's work, so the oldest has the cluster until it is gone, even while it is suspended or being deleted.
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

// inheritance says what one that waits gets when the older one is deleted: somebody reads it to learn whether that is safe.
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

// mayWrite tells whether a MeshSync writes at all, once the cluster is its own.
func MayWrite(ms *v1alpha1.MeshSync) bool {
	return !ms.Spec.Suspend && ms.Spec.Mode != v1alpha1.ModeObserve
}

// Oldest is the MeshSync that manages the cluster, of all that it has; nil if it has none.
func Oldest(all []v1alpha1.MeshSync) *v1alpha1.MeshSync {
	var oldest *v1alpha1.MeshSync
	for i := range all {
		if oldest == nil || IsOlder(&all[i], oldest) {
			oldest = &all[i]
		}
	}
	return oldest
}

// older orders by age, and those of the same second by name, so that every controller and every run agree.
func IsOlder(a, b *v1alpha1.MeshSync) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	if a.Namespace != b.Namespace {
		return a.Namespace < b.Namespace
	}
	return a.Name < b.Name
}

// leaves reports whether the objects outlive the MeshSync: by policy, and where it may write nothing.
func LeavesObjects(ms *v1alpha1.MeshSync) bool {
	return ms.Spec.DeletionPolicy != v1alpha1.DeletionDelete || !MayWrite(ms)
}
