package apply

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

// AnnotationWithdrawn stands on what this cluster offers to others and the repository does not have any more: "2026-11-21T20:00:00Z 5f2c…",
// since when, and a digest of what shall be left of it.
const AnnotationWithdrawn = "isthmus.dev/withdrawn"

// Timing keeps the order between clusters, which see a commit at other moments than this one and do not talk to it: what others call is there
// early, what calls them comes late, and what they may still call stays.
type Timing struct {
	// Now is when the plan is made.
	Now time.Time
	// WithdrawAfter is how long what is offered to other clusters stays after it left the repository; with 0 it does not.
	WithdrawAfter time.Duration
	// SettleAfter is how long what newly depends on another cluster waits, counted from the first plan that had it; with 0 it does not.
	SettleAfter time.Duration
	// Seen is [Plan.Seen] of the plan before.
	Seen Sightings
}

// withdraw lets what is offered to other clusters stay for a while where a plan takes it away: it is written as it is, with the annotation.
// Who may call is no offer, nor is what clients outside of the mesh see: both end at once.
func withdraw(actions []Action, options PlanOptions) []Action {
	if options.Timing.WithdrawAfter <= 0 || options.Keep != "" {
		return actions
	}
	out := make([]Action, len(actions))
	for i, action := range actions {
		out[i] = action
		if !isOffer(action.live) {
			continue
		}
		switch action.Verb {
		case Delete:
			out[i] = staying(action, asWritten(action.live), "", options)
		case Update:
			if both := widen(action.desired, action.live); both != action.desired {
				out[i] = staying(action, both, digestOfObject(action.desired), options)
			}
		case Create, Claim, Hold, Refuse, Report, Withdraw, Wait:
		}
	}
	return out
}

// staying is what becomes of an action that takes something away while its time has not come: the object stays as given.
func staying(action Action, as *unstructured.Unstructured, left string, options PlanOptions) Action {
	since, known := withdrawnSince(action.live, left)
	if !known || since.After(options.Timing.Now) {
		since = options.Timing.Now
	}
	until := since.Add(options.Timing.WithdrawAfter)
	if !options.Timing.Now.Before(until) {
		return action
	}

	as = &unstructured.Unstructured{Object: maps.Clone(as.Object)}
	as.Object["metadata"] = maps.Clone(fieldsOf(as.Object, "metadata"))
	annotations := as.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[AnnotationWithdrawn] = strings.TrimSpace(since.UTC().Format(time.RFC3339) + " " + short(left))
	as.SetAnnotations(annotations)

	stays := Action{
		Verb: Withdraw, Key: action.Key, Service: action.Service, Side: action.Side, live: action.live, desired: as,
		hash: digestOfObject(as), Until: until, Fields: differences(as, action.live, options.Owner.ID),
		Reason: fmt.Sprintf("other clusters may still call it; it goes at %s (spec.withdrawAfter is %s)", until.UTC().Format(time.RFC3339), options.Timing.WithdrawAfter),
	}
	if len(stays.Fields) > 0 {
		stays.Verb = Update
		stays.Drift = options.Known[action.Key].hash == stays.hash
	}
	return stays
}

// withdrawnSince reads the annotation; it counts only for what shall be left now.
func withdrawnSince(live *unstructured.Unstructured, left string) (since time.Time, ok bool) {
	text, digest, _ := strings.Cut(live.GetAnnotations()[AnnotationWithdrawn], " ")
	since, err := time.Parse(time.RFC3339, text)
	return since, err == nil && digest == short(left)
}

func short(digest string) string { return digest[:min(len(digest), 12)] }

// isOffer tells whether other clusters may depend on a live object.
func isOffer(live *unstructured.Unstructured) bool {
	if live == nil || live.GetLabels()[render.LabelSide] != string(render.SidePublish) {
		return false
	}
	switch live.GetKind() {
	case "ServiceEntry", "DestinationRule":
		return true
	case "Gateway":
		// Any other one is for clients outside of the mesh.
		servers := listOf(fieldsOf(live.Object, "spec"), "servers")
		return len(servers) > 0 && !slices.ContainsFunc(servers, func(server any) bool {
			return fieldsOf(server, "tls")["mode"] != "AUTO_PASSTHROUGH"
		})
	default:
		return false
	}
}

// asWritten is a live object as a bundle would have it: its spec, and of its metadata what is ours.
func asWritten(live *unstructured.Unstructured) *unstructured.Unstructured {
	out := &unstructured.Unstructured{Object: map[string]any{"spec": withoutAllotted(live)}}
	out.SetGroupVersionKind(live.GroupVersionKind())
	out.SetNamespace(live.GetNamespace())
	out.SetName(live.GetName())
	ourLabels, ourAnnotations := writtenMetadata(live)
	labels, annotations := maps.Clone(live.GetLabels()), maps.Clone(live.GetAnnotations())
	maps.DeleteFunc(labels, func(key, _ string) bool { return !ourLabels.Has(key) || key == LabelPartOf })
	maps.DeleteFunc(annotations, func(key, _ string) bool { return !ourAnnotations.Has(key) || key == AnnotationWithdrawn })
	out.SetLabels(labels)
	out.SetAnnotations(annotations)
	return out
}

// withoutWithdrawn are the actions that a brake judges: what goes because its time has come was judged when it left the repository.
func withoutWithdrawn(actions []Action) []Action {
	return slices.DeleteFunc(slices.Clone(actions), func(action Action) bool {
		if action.Verb != Delete || !isOffer(action.live) {
			return false
		}
		_, withdrawn := withdrawnSince(action.live, "")
		return withdrawn
	})
}
