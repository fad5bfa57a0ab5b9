package plans

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/merge"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// adviceForeign is what to do about an object of somebody else, what harms callers least first.
const ForeignAdvice = "take it over in place with spec.adopt of the MeshSync (docs/operate.md), or rename the service, or delete it"

// adopt makes of a foreign object, which the owner asked for, one of ours: an update like any other, after which it carries both marks. Without
// [PlanOptions].Adopt that is told and not done. What others put into its metadata stays.
func adopt(action Action, resource render.Resource, options Options) Action {
	action.Adopts = true
	action.Verb, action.Desired = Update, resource.Object()
	if options.AdditiveOnly != "" {
		if both := merge.Union(action.Desired, action.Live); both != action.Desired {
			action.Desired, action.Hash = both, digestOfObject(both)
		}
	}
	action.Fields = merge.Differences(action.Desired, action.Live, options.Owner.ID)
	if !options.Adopt {
		action.Verb, action.Desired, action.AdoptionTarget = Refuse, nil, action.Desired
		action.Reason = "an object of that name exists that Isthmus did not write; spec.adopt names it and would take it over: set spec.adopt.mode to Apply for that"
	}
	return action
}

// unadoptable is why an object is not taken over, whoever asks for it; "" if it may be.
func adoptionBlockedBy(live *unstructured.Unstructured) string {
	if owner := metav1.GetControllerOfNoCopy(live); owner != nil {
		return fmt.Sprintf("spec.adopt names it, but %s %s made it and would undo what is changed; delete that, or rename the service", owner.Kind, owner.Name)
	}
	if partOf := live.GetLabels()[ownership.LabelPartOf]; partOf != "" {
		return "spec.adopt names it, but " + foreignReason(live)
	}
	return ""
}
