package plans

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/ownership"
)

// adopt takes over a foreign object that spec.adopt selects: a normal update, after which the
// object has both marks. Metadata of other writers stays. Without [Options.Adopt] the plan only
// shows what the update would change.
func (d *Draft) adopt(action Action) Action {
	action.Adopts, action.Verb = true, Update
	if !d.Options.Adopt {
		action.Verb, action.Reason = Refuse, AdoptionObserved{}
		action.Desired, action.AdoptionTarget = nil, action.Desired
	}
	return action
}

// adoptionBlockedBy is why an object is never taken over, nil if it may be.
func adoptionBlockedBy(live *unstructured.Unstructured) Reason {
	if owner := metav1.GetControllerOfNoCopy(live); owner != nil {
		return ControlledObject{Kind: owner.Kind, Name: owner.Name}
	}
	if live.GetLabels()[ownership.LabelPartOf] != "" {
		return NotAdoptable{Object: foreignObject(live)}
	}
	return nil
}
