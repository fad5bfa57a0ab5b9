package meshsync

import (
	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// writeAcknowledged writes the number of remaining acknowledged losses to the status.
func writeAcknowledged(ms *v1alpha1.MeshSync, bundle *render.Bundle, acknowledged plans.Acknowledgements) {
	ms.Status.Acknowledged = nil
	if len(acknowledged) > 0 {
		ms.Status.Acknowledged = &v1alpha1.Acknowledged{Revision: bundle.Revision, Remaining: int64(len(acknowledged))}
	}
}
