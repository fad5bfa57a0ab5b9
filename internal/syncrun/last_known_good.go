package syncrun

import (
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/text"
)

// UnknownServices explains why the plan may only add, nil if it may remove.
func UnknownServices(bundle *render.Bundle) *plans.UnknownServices {
	if len(bundle.Lost) == 0 {
		return nil
	}
	return &plans.UnknownServices{Services: text.Few(bundle.Lost), Cause: LostReason(bundle)}
}

// LostReason explains why broken services cannot be frozen.
func LostReason(bundle *render.Bundle) string {
	if bundle.LostReason == "" {
		return "the last known good manifest is no longer accepted"
	}
	return "the last known good manifest cannot be found: " + bundle.LostReason
}

// LastKnownGoodFound reports whether the search for last known good manifests succeeded.
func LastKnownGoodFound(bundle *render.Bundle) bool { return bundle.LostReason == "" }
