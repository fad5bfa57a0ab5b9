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

// Preview is the plan of a controller for its next bundle.
type Preview struct {
	Plan plans.Plan
	// Problems are the preflight problems.
	Problems []preflight.Problem
	// Refused is the number of resources that are not applied until a user acts.
	Refused int
	// Skipped is the number of objects that are not touched although they may differ, as in
	// status.skipped.
	Skipped int
	// AdditiveOnly explains why nothing is removed, nil if removals are allowed.
	AdditiveOnly *plans.UnknownServices
	// BlockedBy says, in sentences for a user, why nothing of the plan would be written now, and
	// what to do; empty if it would.
	BlockedBy []string
}

// NewPreview plans with the steps of a run and writes nothing. If the MeshSync does not exist yet,
// the plan is that of a first sync. While an older MeshSync is active, it is the plan after the
// deletion of the older one. State that only a running controller has, fights and the start of
// deferrals, is empty.
//
// It is an error if the cluster cannot be read, lacks a kind, or has another uid than the
// inventory.
func NewPreview(ctx context.Context, cluster client.Reader, reader ClusterReader, ms *v1alpha1.MeshSync, bundle *render.Bundle) (Preview, error) {
	if err := checkIdentity(ctx, &ClusterIdentity{Reader: cluster}, bundle); err != nil {
		return Preview{}, err
	}
	if latest := ms.Status.History.Latest(); latest != nil && latest.Digest == BundleDigest+bundle.Digest && latest.Metadata["revision"] == ms.Status.LastAppliedRevision {
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
	active, err := Active(ctx, cluster, ms)
	if err != nil {
		return Preview{}, err
	}
	return Preview{
		Plan: plan, Problems: problems, Refused: len(Refusals(&plan)), Skipped: len(SkippedObjects(&plan)),
		AdditiveOnly: UnknownServices(bundle), BlockedBy: blockedBy(ms, active, &plan, problems),
	}, nil
}

// RenderBroken renders files with broken services for [NewPreview], as a run does without last
// known good manifests. It is an error if the finding halts the whole commit.
func RenderBroken(ctx context.Context, evaluator *evaluate.Evaluator, renderer *render.Renderer, snapshot *source.Snapshot, cluster string) (*render.Bundle, error) {
	pipeline := Pipeline{Evaluator: evaluator, Renderer: renderer}
	bundle, _, err := pipeline.Render(ctx, RenderRequest{Snapshot: snapshot, Cluster: cluster})
	return bundle, err
}

// checkIdentity compares the uid of the cluster with the inventory.
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

// withoutLastKnownGood handles broken services as a run does: if the cluster has no object of a
// mesh, there is nothing to keep. Otherwise a run reads Git; a folder has no earlier commits.
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

// withoutOlder hides the older MeshSyncs, so that the plan claims their objects.
type withoutOlder struct {
	client.Reader
	ms *v1alpha1.MeshSync
}

func (w withoutOlder) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	err := w.Reader.List(ctx, list, options...)
	if all, ok := list.(*v1alpha1.MeshSyncList); ok {
		all.Items = slices.DeleteFunc(all.Items, func(other v1alpha1.MeshSync) bool { return other.UID != w.ms.UID && IsOlder(&other, w.ms) })
	}
	return err
}

// strictReader keeps the error of an adoptable object that cannot be read. A run refuses the object
// and tries again, but a preview would be wrong.
type strictReader struct {
	ClusterReader
	err error
}

func (s *strictReader) GetFull(ctx context.Context, foreign *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	object, err := s.ClusterReader.GetFull(ctx, foreign)
	s.err = errors.Join(s.err, client.IgnoreNotFound(err))
	return object, err
}

// explainOlder describes the plan of a waiting MeshSync.
func explainOlder(ms, older *v1alpha1.MeshSync) string {
	explanation := fmt.Sprintf("MeshSync %s/%s is older and manages this cluster; only the oldest MeshSync acts. "+
		"The plan shows what this MeshSync would do after the older one is deleted "+
		"and leaves its objects.", older.Namespace, older.Name)
	if !LeavesObjects(older) && !MayWrite(ms) {
		explanation += " At present the older one would delete its objects: its spec.deletionPolicy is Delete, and this MeshSync may not write."
	}
	return explanation
}

// blockedBy returns a sentence for each reason why nothing would be written now.
func blockedBy(ms, older *v1alpha1.MeshSync, plan *plans.Plan, problems []preflight.Problem) []string {
	var reasons []string
	if older != nil && ms.UID != "" {
		reasons = append(reasons, explainOlder(ms, older))
	}
	if !ms.DeletionTimestamp.IsZero() {
		reasons = append(reasons, "It is being deleted and applies nothing more; spec.deletionPolicy decides about its objects.")
	}
	if ms.Spec.Suspend {
		reasons = append(reasons, "It is suspended: spec.suspend is true.")
	}
	if ms.Spec.Mode == v1alpha1.ModeObserve {
		reasons = append(reasons, "It only observes: spec.mode is Observe.")
	}
	if plan.Guard != nil {
		reasons = append(reasons, fmt.Sprintf("It would be held: %s %s", text.Sentence(plan.Guard.Reason), HowToAcknowledge(ms, plan.Guard.Digest)))
	}
	for _, problem := range problems {
		if problem.Blocks {
			reasons = append(reasons, "It would not start: "+text.Sentence(problem.Message))
		}
	}
	return reasons
}
