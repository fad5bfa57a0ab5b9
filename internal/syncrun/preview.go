package syncrun

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/preflight"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/source"
	"github.com/isthmus-mesh/isthmus/internal/text"
)

// Preview is what a controller would do if a bundle were the next that it gets.
type Preview struct {
	Plan plans.Plan
	// Problems are the respects in which the cluster is not as the repository takes it to be.
	Problems []preflight.Problem
	// Refused counts the resources that the rest is applied without, until a person has acted.
	Refused int
	// LeftAlone counts the objects that stay although the repository does not say so, as status.skipped has them.
	Skipped int
	// AdditiveOnly is why nothing is removed, nil if it may be.
	AdditiveOnly *plans.UnknownServices
	// BlockedBy says, in sentences for a user, why nothing of the plan would be written now, and what
	// to do; empty if it would.
	BlockedBy []string
}

// NewPreview makes the plan by the steps of a run, for this MeshSync, and writes nothing. The MeshSync need not exist yet; then it is the plan of a first sync. While an
// older one acts, it is the plan of the run after that is gone. What only a running controller knows, which objects somebody fights over and since when something
// waits for other clusters, begins anew.
//
// It is an error where the cluster cannot be compared: it may not be read, lacks a kind, or is another one than the repository says.
func NewPreview(ctx context.Context, cluster client.Reader, reader ClusterReader, ms *v1alpha1.MeshSync, bundle *render.Bundle) (Preview, error) {
	if err := checkIdentity(ctx, &ClusterIdentity{Reader: cluster}, bundle); err != nil {
		return Preview{}, err
	}
	if was := ms.Status.History.Latest(); was != nil && was.Digest == BundleDigest+bundle.Digest && was.Metadata["revision"] == ms.Status.LastAppliedRevision {
		// The bundle is applied already: a difference is drift and does not wait.
		applied := *bundle
		applied.Revision = ms.Status.LastAppliedRevision
		bundle = &applied
	}
	objects := &strictReader{ClusterReader: reader}
	run := Cluster{Client: withoutOlder{cluster, ms}, Objects: objects, Kinds: istio.Kinds, Now: time.Now}
	bundle, err := run.withoutLastKnownGood(ctx, ms, bundle)
	if err != nil {
		return Preview{}, err
	}
	plan, problems, err := run.Plan(ctx, ms, plans.NewPlanner(objects), &ReadObjects{}, bundle)
	if err := errors.Join(err, objects.err); err != nil {
		return Preview{}, err
	}
	rival, err := Active(ctx, cluster, ms)
	if err != nil {
		return Preview{}, err
	}
	return Preview{
		Plan: plan, Problems: problems, Refused: len(Refusals(&plan)), Skipped: len(SkippedObjects(&plan)), AdditiveOnly: UnknownServices(bundle), BlockedBy: blockedBy(ms, rival, &plan, problems),
	}, nil
}

// RenderBroken renders files of which something is broken for a [NewPreview], as a run does that does not know how it was before. It is an error where that
// halts the whole commit.
func RenderBroken(ctx context.Context, evaluator *evaluate.Evaluator, renderer *render.Renderer, snapshot *source.Snapshot, cluster string) (*render.Bundle, error) {
	all := Pipeline{Evaluator: evaluator, Renderer: renderer}
	bundle, _, err := all.Render(ctx, RenderRequest{Snapshot: snapshot, Cluster: cluster})
	return bundle, err
}

// isThis holds the cluster against the uid in the inventory.
func checkIdentity(ctx context.Context, identity Identifier, bundle *render.Bundle) error {
	if bundle.UID == "" {
		return nil
	}
	uid, err := identity.UID(ctx)
	if err == nil && uid != bundle.UID {
		err = fmt.Errorf("this is another cluster: in the inventory, cluster %q has the uid %s, but the kube-system namespace here has the uid %s",
			bundle.Cluster, bundle.UID, uid)
	}
	return err
}

// withoutBasis does for what is broken what a run does: where nothing of a mesh is here, nothing stems from it. Else a run asks Git, of which a folder tells nothing.
func (c Cluster) withoutLastKnownGood(ctx context.Context, ms *v1alpha1.MeshSync, bundle *render.Bundle) (*render.Bundle, error) {
	if len(bundle.Lost) == 0 {
		return bundle, nil
	}
	out := *bundle
	out.LostReason = "a folder has no earlier commits"
	if ms.Status.LastKnownGoodRevision != "" {
		return &out, nil
	}
	owned, err := c.Owns(ctx, ms)
	if err != nil {
		return nil, classifyRead(err)
	}
	if !owned {
		out.Lost, out.LostReason = nil, ""
	}
	return &out, nil
}

// succeeding is the cluster without the MeshSyncs before this one, whose objects it claims.
type withoutOlder struct {
	client.Reader
	ms *v1alpha1.MeshSync
}

func (s withoutOlder) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	err := s.Reader.List(ctx, list, options...)
	if all, is := list.(*v1alpha1.MeshSyncList); is {
		all.Items = slices.DeleteFunc(all.Items, func(other v1alpha1.MeshSync) bool { return other.UID != s.ms.UID && IsOlder(&other, s.ms) })
	}
	return err
}

// strict keeps the error of an object that may be adopted and cannot be read: a run refuses it until it can, and who reads a plan would take that for an answer.
type strictReader struct {
	ClusterReader
	err error
}

func (s *strictReader) GetFull(ctx context.Context, foreign *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	object, err := s.ClusterReader.GetFull(ctx, foreign)
	s.err = errors.Join(s.err, client.IgnoreNotFound(err))
	return object, err
}

// succession says what the plan of a MeshSync that waits is of. One that may not write inherits nothing.
func succession(ms, rival *v1alpha1.MeshSync) string {
	text := fmt.Sprintf("MeshSync %s/%s is older and manages this cluster; only the oldest MeshSync acts. The plan shows what this MeshSync would do after the older one is deleted "+
		"and leaves its objects.", rival.Namespace, rival.Name)
	if !LeavesObjects(rival) && !MayWrite(ms) {
		text += " At present the older one would delete its objects: its spec.deletionPolicy is Delete, and this MeshSync may not write."
	}
	return text
}

func blockedBy(ms, rival *v1alpha1.MeshSync, plan *plans.Plan, problems []preflight.Problem) []string {
	var stops []string
	if rival != nil && ms.UID != "" {
		stops = append(stops, succession(ms, rival))
	}
	if !ms.DeletionTimestamp.IsZero() {
		stops = append(stops, "It is being deleted and applies nothing more; spec.deletionPolicy decides about its objects.")
	}
	if ms.Spec.Suspend {
		stops = append(stops, "It is suspended: spec.suspend is true.")
	}
	if ms.Spec.Mode == v1alpha1.ModeObserve {
		stops = append(stops, "It only observes: spec.mode is Observe.")
	}
	if plan.Guard != nil {
		stops = append(stops, fmt.Sprintf("It would be held: %s %s", text.Sentence(plan.Guard.Reason), HowToAcknowledge(ms, plan.Guard.Digest)))
	}
	for _, problem := range problems {
		if problem.Blocks {
			stops = append(stops, "It would not start: "+text.Sentence(problem.Message))
		}
	}
	return stops
}
