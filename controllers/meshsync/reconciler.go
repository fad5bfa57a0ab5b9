package meshsync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/cache"
	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/execute"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/source"
	"github.com/isthmus-mesh/isthmus/internal/syncrun"
	"github.com/isthmus-mesh/isthmus/internal/text"
)

// Fetcher gets the commit that a MeshSync asks for.
type Fetcher interface {
	// Fetch is given the hash of the commit that the last run saw, or "". With fresh, nothing that was
	// read from a Secret before may be used.
	Fetch(ctx context.Context, ms *v1alpha1.MeshSync, known string, fresh bool) (*source.Snapshot, error)
	// FetchCommit is given the hash of a commit that was applied before; its signature is verified as that of any other.
	FetchCommit(ctx context.Context, ms *v1alpha1.MeshSync, commit string) (*source.Snapshot, error)
	// Forget drops what is held for a MeshSync that is gone.
	Forget(key types.NamespacedName)
}

// Renderer makes the bundle of one cluster from a commit. What a person has to mend is a manifest.Findings, a cluster
// that is not in the inventory an [UnknownClusterError].
type Renderer interface {
	// Render gives the bundle, and what the next commit can fall back to.
	Render(ctx context.Context, request syncrun.RenderRequest) (*render.Bundle, *evaluate.LastKnownGood, error)
	// Manifests are what services are fallen back to that were good in a commit.
	Manifests(ctx context.Context, snapshot *source.Snapshot, cluster string) (*evaluate.LastKnownGood, error)
}

// Applier carries a plan out.
type Applier interface {
	// Leads is apply.ErrNotLeading where another controller leads.
	CheckLeader(ctx context.Context) error
	Apply(ctx context.Context, plan plans.Plan) (execute.Result, error)
	// Missing are the rights that carrying it out takes and that are not granted.
	MissingPermissions(ctx context.Context, plan plans.Plan) ([]execute.Permission, error)
}

// Reconciler keeps one cluster equal to what its MeshSync says.
type Reconciler struct {
	client client.Client
	// uncached reads what a cache may be behind of.
	uncached client.Reader
	// kinds are those that are watched and may be written.
	kinds    []istio.Kind
	fetcher  Fetcher
	renderer Renderer
	reader   syncrun.ClusterReader
	applier  Applier
	identity syncrun.Identifier
	events   record.EventRecorder
	metrics  *Metrics
	now      func() time.Time
	// firstRetry is the wait after the first failure; it doubles up to spec.retryInterval.
	firstRetry time.Duration
	limits     evaluate.Limits
	fetching   source.Limits
	cache      *cache.Store

	states syncStates
}

// Reconcile makes one run.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	ms := &v1alpha1.MeshSync{}
	if err := r.client.Get(ctx, request.NamespacedName, ms); err != nil {
		if client.IgnoreNotFound(err) == nil {
			r.forget(request.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	m := r.states.state(request.NamespacedName)
	if m.lastStatusWrite.stale(ms, r.now()) {
		return ctrl.Result{RequeueAfter: staleWait}, nil
	}
	p := newPatcher(r.client, ms)
	defer func() {
		m.lastStatusWrite = written{version: p.version, at: r.now()}
	}()

	if !ms.DeletionTimestamp.IsZero() {
		return r.finalize(ctx, ms, p)
	}
	if ms.Spec.Suspend {
		return r.suspended(ctx, ms, p)
	}
	if err := r.ensureMetadata(ctx, ms, p); err != nil {
		return ctrl.Result{}, err
	}

	defer r.metrics.timed(phaseTotal)()
	m.plannerFor(r.reader).StartRun()
	m.started = r.now()
	o := r.sync(ctx, ms, m, p)
	if errors.Is(o.cause, execute.ErrNotLeading) {
		// Whoever leads tells how it is.
		ctrl.LoggerFrom(ctx).Info("stopped writing: another controller leads")
		return ctrl.Result{RequeueAfter: time.Second}, nil
	}
	if ctx.Err() != nil {
		// The controller stops: what was cut off by that is no news, and whoever is next goes on from here.
		return ctrl.Result{}, nil
	}
	return r.report(ctx, ms, m, p, o)
}

// sync is the way of the data: fetch, evaluate, view, render, plan, apply. Where a step fails, the run ends, and what
// is applied stays as it is.
func (r *Reconciler) sync(ctx context.Context, ms *v1alpha1.MeshSync, m *syncState, p *patcher) outcome {
	run, cancel := context.WithTimeout(ctx, ms.Within())
	defer cancel()

	rival, err := syncrun.Active(run, r.client, ms)
	if err != nil {
		return r.spaceRetries(ms, m, failedInternally("Cannot find out whether this MeshSync manages the cluster", err))
	}
	if rival != nil {
		m.forgetApplied()
		return anotherMeshSync(ms, rival)
	}

	snapshot, err := r.fetch(run, ms, m)
	if err != nil {
		r.recordRefusedCommit(ms, m, err)
		return r.correctDrift(ctx, ms, m, fetchFailed(err))
	}
	r.announceRevision(run, ms, m, p, snapshot)

	bundle, err := r.bundle(run, ms, m, snapshot)
	var unknown *syncrun.UnknownClusterError
	if errors.As(err, &unknown) {
		m.forgetApplied()
		return unknownCluster(ms, snapshot, err)
	}
	if err != nil {
		return r.correctDrift(ctx, ms, m, r.spaceRetries(ms, m, renderFailed(snapshot, err)))
	}
	if bundle.UID != "" {
		uid, err := r.identity.UID(run)
		if err != nil {
			return r.spaceRetries(ms, m, failedInternally("Cannot identify this cluster", err))
		}
		if uid != bundle.UID {
			m.forgetApplied()
			return wrongCluster(bundle, uid)
		}
	}

	plan, problems, err := r.planAndCheck(run, ms, m, bundle)
	if err != nil {
		o := r.spaceRetries(ms, m, planFailed(bundle, err))
		var lacks *syncrun.UnavailableError
		if errors.As(err, &lacks) {
			return r.correctDrift(ctx, ms, m, o)
		}
		return o
	}
	if plan.Guard != nil {
		return r.holdPlan(ctx, ms, m, bundle, &plan).with(problems)
	}
	problems = append(problems, r.missingPermissions(run, plan)...)
	// What was begun is gone on with: it was allowed then, and is put right like any other.
	if blocks(problems) && m.lastApplied != bundle && ms.Spec.Mode != v1alpha1.ModeObserve {
		return r.correctDrift(ctx, ms, m, blockedByPreflight(bundle, &plan, problems)).with(problems)
	}
	// What is held may be reverted, and was never good for anything.
	m.lastKnownGood = m.rendered.basis
	if ms.Spec.Mode == v1alpha1.ModeObserve {
		m.lastApplied = nil
		return observed(bundle, &plan).with(problems)
	}
	if err := r.recordBegin(run, ms, m, p, bundle, plan); err != nil {
		return r.spaceRetries(ms, m, failedInternally("Nothing of revision "+text.Short(bundle.Revision)+" is written, because its start cannot be recorded", err))
	}
	m.lastApplied = bundle
	m.planner.Begin(plan)
	result, err := r.apply(run, ms, m, plan)
	return r.spaceRetries(ms, m, applied(bundle, &plan, result, err)).with(problems)
}

// keep undoes what somebody changed while no newer commit can be applied: what was applied shall stay as it was, also
// while Git is down or the commit is wrong. It has a time of its own, since the step that failed may have used up the run's.
func (r *Reconciler) correctDrift(ctx context.Context, ms *v1alpha1.MeshSync, m *syncState, o outcome) outcome {
	if ms.Spec.Mode == v1alpha1.ModeObserve {
		return o
	}
	run, cancel := context.WithTimeout(ctx, ms.Within())
	defer cancel()
	if m.lastApplied == nil && !o.saysNothing {
		m.lastApplied = r.restoreLastApplied(run, ms, m)
	}
	if m.lastApplied == nil {
		return o
	}
	plan, err := r.plan(run, ms, m, m.lastApplied)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "cannot compare the last applied bundle with this cluster, so drift is not corrected")
		return o
	}
	if plan.Guard != nil {
		plan = plan.Corrections()
	}
	result, err := r.apply(run, ms, m, plan)
	o.wrote = countWrites(result)
	if errors.Is(err, execute.ErrNotLeading) {
		o.cause = err
	}
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "cannot correct all drift from the last applied bundle")
	}
	return o
}

// hold keeps everything as it was. What waits is told as it is when somebody's edits are undone.
func (r *Reconciler) holdPlan(ctx context.Context, ms *v1alpha1.MeshSync, m *syncState, bundle *render.Bundle, plan *plans.Plan) outcome {
	o := r.correctDrift(ctx, ms, m, held(ms, bundle, plan))
	if !o.wrote.any() {
		return o
	}
	again, err := r.plan(ctx, ms, m, bundle)
	if err != nil || again.Guard == nil {
		return o
	}
	kept := o.wrote
	o = held(ms, bundle, &again)
	o.wrote = kept
	return o
}

// retried spaces the runs that failed after the fetch, whose own failures have their own spacing.
func (r *Reconciler) spaceRetries(ms *v1alpha1.MeshSync, m *syncState, o outcome) outcome {
	if o.conclusion != retrying {
		m.retry = retries{}
		return o
	}
	if !r.now().Before(m.retry.due) {
		m.retry.failed(r.now(), r.firstRetry, ms.RetryAfter())
	}
	return o
}

// progress tells of a new commit before the work on it begins, which may take long.
func (r *Reconciler) announceRevision(ctx context.Context, ms *v1alpha1.MeshSync, m *syncState, p *patcher, snapshot *source.Snapshot) {
	if ms.Spec.Source.Verify != nil {
		conditions.MarkTrue(ms, v1alpha1.SourceVerifiedCondition, meta.SucceededReason, "Commit %s is signed by %s", snapshot.Commit, snapshot.Signer)
	}
	work := attempt{revision: snapshot.Revision, generation: ms.Generation}
	if m.announced == work || ms.Status.LastAttemptedRevision == snapshot.Revision && ms.Status.ObservedGeneration == ms.Generation {
		return
	}
	m.announced = work
	r.recordAttempt(ms, snapshot.Revision, snapshot.Rewound)
	conditions.MarkReconciling(ms, meta.ProgressingReason, "Working on revision %s", text.Short(snapshot.Revision))
	if conditions.Get(ms, meta.ReadyCondition) == nil {
		conditions.MarkUnknown(ms, meta.ReadyCondition, meta.ProgressingReason, "Working on revision %s", text.Short(snapshot.Revision))
	}
	if err := p.status(ctx, ms); err != nil {
		// Only news: the run goes on, and its end is written anyhow.
		ctrl.LoggerFrom(ctx).V(1).Info("cannot write the new revision to the status", "error", err.Error())
	}
}

// attempted notes a commit that was refused as soon as it was fetched: the branch is ahead of the cluster all the same.
func (r *Reconciler) recordRefusedCommit(ms *v1alpha1.MeshSync, m *syncState, err error) {
	revision, rewound := refusedCommit(err)
	if revision == "" {
		return
	}
	// The commit before is news again if the branch goes back to it.
	m.announced = attempt{revision: revision, generation: ms.Generation}
	r.recordAttempt(ms, revision, rewound)
}

// saw notes the commit that is there now.
func (r *Reconciler) recordAttempt(ms *v1alpha1.MeshSync, revision, rewound string) {
	if rewound != "" && ms.Status.LastAttemptedRevision != revision {
		ms.Status.RewrittenFrom = rewound
		r.events.Eventf(ms, corev1.EventTypeWarning, v1alpha1.ReasonHistoryRewritten,
			"The history of the branch was rewritten: it now has %s and no longer contains %s. The controller follows the new history.", revision, rewound)
	}
	ms.Status.LastAttemptedRevision = revision
}

// mark puts the finalizer and the marks of an ApplySet's parent on the MeshSync, once.
func (r *Reconciler) ensureMetadata(ctx context.Context, ms *v1alpha1.MeshSync, p *patcher) error {
	changed := controllerutil.AddFinalizer(ms, v1alpha1.Finalizer)
	if ms.Labels[v1alpha1.ApplySetIDLabel] != syncrun.ApplySetID(ms) {
		metav1.SetMetaDataLabel(&ms.ObjectMeta, v1alpha1.ApplySetIDLabel, syncrun.ApplySetID(ms))
		changed = true
	}
	if ms.Annotations[v1alpha1.ApplySetToolingAnnotation] != v1alpha1.ApplySetTooling {
		metav1.SetMetaDataAnnotation(&ms.ObjectMeta, v1alpha1.ApplySetToolingAnnotation, v1alpha1.ApplySetTooling)
		changed = true
	}
	if !changed {
		return nil
	}
	if err := p.metadata(ctx, ms); err != nil {
		return fmt.Errorf("cannot add the finalizer %s to MeshSync %s/%s, so nothing is written yet: %w", v1alpha1.Finalizer, ms.Namespace, ms.Name, err)
	}
	return nil
}

// suspended does nothing and says so. The conditions stay as they were, as in Flux, except for Reconciling: what waits
// to be resumed is not tried again, and kstatus would wait for it in vain. One that waits for another takes back that it takes over.
func (r *Reconciler) suspended(ctx context.Context, ms *v1alpha1.MeshSync, p *patcher) (ctrl.Result, error) {
	r.metrics.countIdle(ms)
	m := r.states.state(client.ObjectKeyFromObject(ms))
	// After it is resumed, Git is asked at once.
	m.fetched.due = time.Time{}
	ctrl.LoggerFrom(ctx).V(1).Info("suspended")
	conditions.Delete(ms, meta.ReconcilingCondition)
	if conditions.GetReason(ms, meta.ReadyCondition) == v1alpha1.ReasonAnotherMeshSync {
		rival, err := syncrun.Active(ctx, r.client, ms)
		if err != nil {
			return ctrl.Result{}, err
		}
		if rival != nil {
			r.writeConditions(ms, anotherMeshSync(ms, rival))
		}
	}
	if err := p.status(ctx, ms); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("cannot write the status of MeshSync %s/%s: %w", ms.Namespace, ms.Name, err)
	}
	return ctrl.Result{}, nil
}

func (r *Reconciler) forget(key types.NamespacedName) {
	r.states.forget(key)
	r.fetcher.Forget(key)
	r.metrics.forget(key)
}
