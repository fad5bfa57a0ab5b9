package meshsync

import (
	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// writeAgreed notes what a plan does that a person let pass.
func writeAcknowledged(ms *v1alpha1.MeshSync, bundle *render.Bundle, agreed plans.Acknowledgements) {
	ms.Status.Acknowledged = nil
	if len(agreed) > 0 {
		ms.Status.Acknowledged = &v1alpha1.Acknowledged{Revision: bundle.Revision, Remaining: int64(len(agreed))}
	}
}
