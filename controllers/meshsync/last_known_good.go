package meshsync

import (
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// unknownServices is why nothing may be removed, nil if it may.
func unknownServices(bundle *render.Bundle) *plans.UnknownServices {
	if len(bundle.Lost) == 0 {
		return nil
	}
	return &plans.UnknownServices{Services: few(bundle.Lost), Cause: lostReason(bundle)}
}

// lostReason is why broken services cannot be kept as they were.
func lostReason(bundle *render.Bundle) string {
	if bundle.LostReason == "" {
		return "what was good before is not any more"
	}
	return "how that was before is not known: " + bundle.LostReason
}

// isKnown tells whether it is known how everything broken was before.
func isKnown(bundle *render.Bundle) bool { return bundle.LostReason == "" }
