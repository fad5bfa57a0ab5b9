package plans

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/merge"
	"github.com/isthmus-mesh/isthmus/internal/nested"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// withdraw lets what is offered to other clusters stay for a while where a plan takes it away: it is written as it is, with the annotation.
// Who may call is no offer, nor is what clients outside of the mesh see: both end at once. What is newly offered does not wait for what goes: where
// the two cannot stand together, the new takes the place of the old at once.
func withdrawExports(actions []Action, live map[render.Key]*unstructured.Unstructured, bundle *render.Bundle, options Options) []Action {
	if options.Timing.WithdrawAfter <= 0 || options.AdditiveOnly != "" {
		return actions
	}
	out := slices.Clone(actions)
	for i, action := range actions {
		switch {
		case action.Verb == Delete && isExported(action.Live):
			out[i] = withdrawal(action, ownedContent(action.Live), "", options)
		case action.Verb == Update && !action.Drift && isExported(action.Live):
			both := merge.Union(action.Desired, action.Live)
			if both != action.Desired && merge.Union(both, action.Desired) == both {
				out[i] = withdrawal(action, both, digestOfObject(action.Desired), options)
			}
		}
	}
	isStaying := func(action Action) bool { return !action.Until.IsZero() }
	if !slices.ContainsFunc(out, isStaying) {
		return out
	}
	if slices.ContainsFunc(out, Action.Writes) {
		torn := conflictingServices(out, live, objectsAfter(out, live), bundle)
		for i, action := range out {
			if torn.Has(action.Service) {
				out[i] = actions[i]
			}
		}
	}
	stays := sets.New[string]()
	for _, action := range out {
		if isStaying(action) {
			stays.Insert(action.Service)
		}
	}
	return keepPolicies(out, stays, bundle, options)
}

// afterAll are the live objects as they are when all is written.
func objectsAfter(actions []Action, live map[render.Key]*unstructured.Unstructured) map[render.Key]*unstructured.Unstructured {
	after := maps.Clone(live)
	for _, action := range actions {
		switch action.Verb {
		case Create, Update:
			after[action.Key] = action.Desired
		case Delete:
			delete(after, action.Key)
		case Claim, Skip, Refuse, Report, Withdraw, Defer:
		}
	}
	return after
}

// withPolicies keeps the policies of services that are gone but for what still leads to their pods: without any, everybody might call these.
func keepPolicies(actions []Action, stays sets.Set[string], bundle *render.Bundle, options Options) []Action {
	for _, resource := range bundle.Resources {
		if resource.Key.Kind == istio.AuthorizationPolicyKind {
			stays = stays.Difference(sets.New(resource.Service))
		}
	}
	for i, action := range actions {
		if action.Verb == Delete && action.Key.Kind == istio.AuthorizationPolicyKind && stays.Has(action.Service) {
			actions[i] = withdrawal(action, ownedContent(action.Live), "", options)
		}
	}
	return actions
}

// staying is what becomes of an action that takes something away while its time has not come: the object stays as given. One that somebody
// changed meanwhile does not.
func withdrawal(action Action, as *unstructured.Unstructured, left string, options Options) Action {
	mark, known := readWithdrawnMark(action.Live, left)
	if known && mark.as != digestOfSpec(merge.SpecWithoutServerFields(action.Live)) {
		return action
	}
	since := mark.since
	if !known || since.After(options.Timing.Now) {
		since = options.Timing.Now
	}
	until := since.Add(options.Timing.WithdrawAfter)
	if !options.Timing.Now.Before(until) {
		return action
	}

	as = &unstructured.Unstructured{Object: maps.Clone(as.Object)}
	as.Object["metadata"] = maps.Clone(nested.Map(as.Object, "metadata"))
	annotations := as.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[ownership.AnnotationWithdrawn] = withdrawnMark{since: since, left: cmp.Or(short(left), gone), as: digestOfSpec(as.Object["spec"])}.String()
	as.SetAnnotations(annotations)

	stays := Action{
		Verb: Withdraw, Key: action.Key, Service: action.Service, Side: action.Side, Live: action.Live, Desired: as,
		Hash: digestOfObject(as), Until: until, Fields: merge.Differences(as, action.Live, options.Owner.ID),
		Reason: fmt.Sprintf("other clusters may still call it; it goes at %s (spec.withdrawAfter is %s)", until.UTC().Format(time.RFC3339), options.Timing.WithdrawAfter),
	}
	if len(stays.Fields) > 0 {
		stays.Verb = Update
	}
	return stays
}

// isOffer tells whether other clusters may depend on a live object.
func isExported(live *unstructured.Unstructured) bool {
	if live == nil || live.GetLabels()[render.LabelSide] != string(render.SidePublish) {
		return false
	}
	switch live.GetKind() {
	case "ServiceEntry", "DestinationRule":
		return true
	case "Gateway":
		// Any other one is for clients outside of the mesh.
		servers := nested.List(nested.Map(live.Object, "spec"), "servers")
		return len(servers) > 0 && !slices.ContainsFunc(servers, func(server any) bool {
			return nested.Map(server, "tls")["mode"] != "AUTO_PASSTHROUGH"
		})
	default:
		return false
	}
}

// asWritten is a live object as a bundle would have it: its spec, and of its metadata what is ours.
func ownedContent(live *unstructured.Unstructured) *unstructured.Unstructured {
	out := &unstructured.Unstructured{Object: map[string]any{"spec": merge.SpecWithoutServerFields(live)}}
	out.SetGroupVersionKind(live.GroupVersionKind())
	out.SetNamespace(live.GetNamespace())
	out.SetName(live.GetName())
	ourLabels, ourAnnotations := ownership.OwnedMetadata(live)
	labels, annotations := maps.Clone(live.GetLabels()), maps.Clone(live.GetAnnotations())
	maps.DeleteFunc(labels, func(key, _ string) bool { return !ourLabels.Has(key) || key == ownership.LabelPartOf })
	maps.DeleteFunc(annotations, func(key, _ string) bool { return !ourAnnotations.Has(key) || key == ownership.AnnotationWithdrawn })
	out.SetLabels(labels)
	out.SetAnnotations(annotations)
	return out
}

// withoutWithdrawn are the actions that a brake judges: what goes because its time has come was judged when it left the repository.
func withoutExpiredWithdrawals(actions []Action) []Action {
	return slices.DeleteFunc(slices.Clone(actions), func(action Action) bool {
		if action.Verb != Delete || !isExported(action.Live) && action.Key.Kind != istio.AuthorizationPolicyKind {
			return false
		}
		_, withdrawn := readWithdrawnMark(action.Live, "")
		return withdrawn
	})
}
