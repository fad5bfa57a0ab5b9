package syncrun

import (
	"fmt"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// acknowledged are the digests in the annotation isthmus.dev/acknowledge, separated by commas.
func acknowledged(ms *v1alpha1.MeshSync) []string {
	return strings.FieldsFunc(ms.Annotations[v1alpha1.AcknowledgeAnnotation], func(c rune) bool { return c == ',' || c == ' ' })
}

// remainingAcknowledged counts the acknowledged deletions and lost calls of this commit that a
// process before this one did not carry out.
func remainingAcknowledged(ms *v1alpha1.MeshSync, bundle *render.Bundle) int {
	if status := ms.Status.Acknowledged; status != nil && status.Revision == bundle.Revision && IsEntryOf(LastWritten(ms), bundle) {
		return int(status.Remaining)
	}
	return 0
}

// HowToAcknowledge says how a user acknowledges a held plan.
func HowToAcknowledge(ms *v1alpha1.MeshSync, digest string) string {
	return fmt.Sprintf("If this is intended, acknowledge it in this cluster: kubectl -n %s annotate --overwrite meshsync %s %s=%s; or in Git, for each held cluster "+
		"with its own digest (status.held.digest): settings: acknowledge: [%q].", ms.Namespace, ms.Name, v1alpha1.AcknowledgeAnnotation, digest, digest)
}

// HowToRevoke says how a user revokes an acknowledgement.
func HowToRevoke(ms *v1alpha1.MeshSync, bundle *render.Bundle, digest string) string {
	if slices.Contains(bundle.Acknowledged, digest) {
		return "remove the digest from settings.acknowledge when no cluster is held any more"
	}
	return fmt.Sprintf("kubectl -n %s annotate meshsync %s %s-", ms.Namespace, ms.Name, v1alpha1.AcknowledgeAnnotation)
}
