package syncrun

import (
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/text"
)

// unknownServices is why nothing may be removed, nil if it may.
func UnknownServices(bundle *render.Bundle) *plans.UnknownServices {
	if len(bundle.Lost) == 0 {
		return nil
	}
	return &plans.UnknownServices{Services: text.Few(bundle.Lost), Cause: LostReason(bundle)}
}

// lostReason is why broken services cannot be kept as they were.
func LostReason(bundle *render.Bundle) string {
	if bundle.LostReason == "" {
		return "the last known good manifest is no longer accepted"
	}
	return "the last known good manifest cannot be found: " + bundle.LostReason
}

// isKnown tells whether it is known how everything broken was before.
func LastKnownGoodFound(bundle *render.Bundle) bool { return bundle.LostReason == "" }
