package plans

import (
	"cmp"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/merge"
	"github.com/isthmus-mesh/isthmus/internal/nested"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// withdrawExports keeps for a while what other clusters may still call: the object is written as
// it is, with the annotation [ownership.AnnotationWithdrawn]. Access and public hosts end at once.
// A new export does not wait for an old one: if the two conflict, the new one replaces the old.
func withdrawExports(d *Draft) {
	if d.Options.Timing.WithdrawAfter <= 0 || d.Options.AdditiveOnly != nil {
		return
	}
	out := slices.Clone(d.Plan.Actions)
	for i, action := range out {
		switch {
		case action.Verb == Delete && isExported(action.Live):
			out[i] = d.withdraw(action, ownedContent(action.Live), "")
		case action.Verb == Update && !action.Drift && isExported(action.Live):
			union := merge.Union(action.Desired, action.Live)
			if union != action.Desired && merge.Union(union, action.Desired) == union {
				out[i] = d.withdraw(action, union, digestOfObject(action.Desired))
			}
		}
	}
	isWithdrawn := func(action Action) bool { return !action.Until.IsZero() }
	if !slices.ContainsFunc(out, isWithdrawn) {
		d.Plan.Actions = out
		return
	}
	if slices.ContainsFunc(out, Action.Writes) {
		conflicting := d.conflictingServices(out, d.objectsAfter(out))
		for i, action := range out {
			if conflicting.Has(action.Service) {
				out[i] = d.Plan.Actions[i]
			}
		}
	}
	withdrawn := sets.New[string]()
	for _, action := range out {
		if isWithdrawn(action) {
			withdrawn.Insert(action.Service)
		}
	}
	d.Plan.Actions = d.keepPolicies(out, withdrawn)
}

// keepPolicies keeps the policies of services that are gone except for their exports: without any
// policy, every caller would be allowed.
func (d *Draft) keepPolicies(actions []Action, withdrawn sets.Set[string]) []Action {
	for _, resource := range d.Bundle.Resources {
		if resource.Key.Kind == istio.AuthorizationPolicyKind {
			withdrawn = withdrawn.Difference(sets.New(resource.Service))
		}
	}
	for i, action := range actions {
		if action.Verb == Delete && action.Key.Kind == istio.AuthorizationPolicyKind && withdrawn.Has(action.Service) {
			actions[i] = d.withdraw(action, ownedContent(action.Live), "")
		}
	}
	return actions
}

// withdraw turns an action that takes something away into one that writes the object as given,
// until its time is over. An object that was edited meanwhile is not kept.
func (d *Draft) withdraw(action Action, as *unstructured.Unstructured, left string) Action {
	mark, known := readWithdrawnMark(action.Live, left)
	if known && mark.as != digestOfSpec(merge.SpecWithoutServerFields(action.Live)) {
		return action
	}
	since := mark.since
	if !known || since.After(d.Options.Timing.Now) {
		since = d.Options.Timing.Now
	}
	until := since.Add(d.Options.Timing.WithdrawAfter)
	if !d.Options.Timing.Now.Before(until) {
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
		Hash: digestOfObject(as), Until: until, Fields: merge.Differences(as, action.Live, d.Options.Owner.ID),
		Reason: Withdrawal{Until: until, After: d.Options.Timing.WithdrawAfter},
	}
	if len(stays.Fields) > 0 {
		stays.Verb = Update
	}
	return stays
}

// isExported tells whether other clusters may depend on a live object.
func isExported(live *unstructured.Unstructured) bool {
	if live == nil || live.GetLabels()[render.LabelSide] != string(render.SidePublish) {
		return false
	}
	switch live.GetKind() {
	case "ServiceEntry", "DestinationRule":
		return true
	case "Gateway":
		// Every other Gateway serves clients outside the mesh.
		servers := nested.List(nested.Map(live.Object, "spec"), "servers")
		return len(servers) > 0 && !slices.ContainsFunc(servers, func(server any) bool {
			return nested.Map(server, "tls")["mode"] != "AUTO_PASSTHROUGH"
		})
	default:
		return false
	}
}

// ownedContent is a live object as a bundle would have it: its spec, and the labels and
// annotations that we set.
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

// withoutExpiredWithdrawals are the actions that guards judge. The deletion of a withdrawn object
// was judged when the object left the repository.
func withoutExpiredWithdrawals(actions []Action) []Action {
	return slices.DeleteFunc(slices.Clone(actions), func(action Action) bool {
		if action.Verb != Delete || !isExported(action.Live) && action.Key.Kind != istio.AuthorizationPolicyKind {
			return false
		}
		_, withdrawn := readWithdrawnMark(action.Live, "")
		return withdrawn
	})
}
