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

// Fetcher fetches the commit that a MeshSync selects.
type Fetcher interface {
	// Fetch fetches the selected commit. known is the hash of the commit that the last run saw, or
	// "". If fresh is set, Secrets are read again.
	Fetch(ctx context.Context, ms *v1alpha1.MeshSync, known string, fresh bool) (*source.Snapshot, error)
	// FetchCommit fetches a commit that was applied before, by its hash, and verifies its
	// signature.
	FetchCommit(ctx context.Context, ms *v1alpha1.MeshSync, commit string) (*source.Snapshot, error)
	// Forget drops the state of a deleted MeshSync.
	Forget(key types.NamespacedName)
}

// Renderer makes the bundle of one cluster from a commit. Errors that a user must fix are
// [manifest.Findings]; a cluster that is not in the inventory is a [syncrun.UnknownClusterError].
type Renderer interface {
	// Render returns the bundle and the last known good manifests for the next commit.
	Render(ctx context.Context, request syncrun.RenderRequest) (*render.Bundle, *evaluate.LastKnownGood, error)
	// Manifests returns the manifests of the good services of a commit.
	Manifests(ctx context.Context, snapshot *source.Snapshot, cluster string) (*evaluate.LastKnownGood, error)
}

// Applier executes plans.
type Applier interface {
	// CheckLeader returns [execute.ErrNotLeading] if another controller leads.
	CheckLeader(ctx context.Context) error
	Apply(ctx context.Context, plan plans.Plan) (execute.Result, error)
	// MissingPermissions returns the permissions that the plan needs and that are not granted.
	MissingPermissions(ctx context.Context, plan plans.Plan) ([]execute.Permission, error)
}

// Reconciler keeps one cluster in sync with its MeshSync.
type Reconciler struct {
	client client.Client
	// uncached reads from the API server where a stale cache would be wrong.
	uncached client.Reader
	// kinds are the managed kinds: watched, and written if a bundle has them.
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
		// The leader writes the status.
		ctrl.LoggerFrom(ctx).Info("stopped writing: another controller leads")
		return ctrl.Result{RequeueAfter: time.Second}, nil
	}
	if ctx.Err() != nil {
		// The controller stops. The interrupted run is not reported; the next process continues.
		return ctrl.Result{}, nil
	}
	return r.report(ctx, ms, m, p, o)
}

// sync fetches, evaluates, renders, plans and applies. A step that fails ends the run and leaves
// the applied resources unchanged.
func (r *Reconciler) sync(ctx context.Context, ms *v1alpha1.MeshSync, m *syncState, p *patcher) outcome {
	run, cancel := context.WithTimeout(ctx, ms.GetTimeout())
	defer cancel()

	active, err := syncrun.Active(run, r.client, ms)
	if err != nil {
		return r.spaceRetries(ms, m, failedInternally("Cannot find out whether this MeshSync manages the cluster", err))
	}
	if active != nil {
		m.forgetApplied()
		return anotherMeshSync(ms, active)
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
		var unavailable *syncrun.UnavailableError
		if errors.As(err, &unavailable) {
			return r.correctDrift(ctx, ms, m, o)
		}
		return o
	}
	if plan.Guard != nil {
		return r.holdPlan(ctx, ms, m, bundle, &plan).with(problems)
	}
	problems = append(problems, r.missingPermissions(run, plan)...)
	// A bundle that was begun is continued despite preflight problems: the checks passed at its
	// start.
	if blocks(problems) && m.lastApplied != bundle && ms.Spec.Mode != v1alpha1.ModeObserve {
		return r.correctDrift(ctx, ms, m, blockedByPreflight(bundle, &plan, problems)).with(problems)
	}
	// Only now, because a held commit may be reverted and must not become the last known good.
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

// correctDrift corrects drift against the last applied bundle while no newer commit can be applied,
// for example because Git is down or the commit has errors. It has its own timeout, because the
// failed step may have used up that of the run.
func (r *Reconciler) correctDrift(ctx context.Context, ms *v1alpha1.MeshSync, m *syncState, o outcome) outcome {
	if ms.Spec.Mode == v1alpha1.ModeObserve {
		return o
	}
	run, cancel := context.WithTimeout(ctx, ms.GetTimeout())
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

// holdPlan corrects drift while a guard holds the plan. If it corrected drift, it plans again, so
// that the status lists the plan without that drift.
func (r *Reconciler) holdPlan(ctx context.Context, ms *v1alpha1.MeshSync, m *syncState, bundle *render.Bundle, plan *plans.Plan) outcome {
	o := r.correctDrift(ctx, ms, m, held(ms, bundle, plan))
	if !o.wrote.any() {
		return o
	}
	replanned, err := r.plan(ctx, ms, m, bundle)
	if err != nil || replanned.Guard == nil {
		return o
	}
	wrote := o.wrote
	o = held(ms, bundle, &replanned)
	o.wrote = wrote
	return o
}

// spaceRetries schedules the retry of a run that failed after the fetch. Failed fetches have their
// own back-off.
func (r *Reconciler) spaceRetries(ms *v1alpha1.MeshSync, m *syncState, o outcome) outcome {
	if o.conclusion != retrying {
		m.retry = retries{}
		return o
	}
	if !r.now().Before(m.retry.due) {
		m.retry.failed(r.now(), r.firstRetry, ms.GetRetryInterval())
	}
	return o
}

// announceRevision writes a new revision to the status before the run works on it.
func (r *Reconciler) announceRevision(ctx context.Context, ms *v1alpha1.MeshSync, m *syncState, p *patcher, snapshot *source.Snapshot) {
	if ms.Spec.Source.Verify != nil {
		conditions.MarkTrue(ms, v1alpha1.SourceVerifiedCondition, meta.SucceededReason, "Commit %s is signed by %s", snapshot.Commit, snapshot.Signer)
	}
	work := attempt{revision: snapshot.Revision, generation: ms.Generation}
	if m.announced == work || ms.Status.LastAttemptedRevision == snapshot.Revision && ms.Status.ObservedGeneration == ms.Generation {
		return
	}
	m.announced = work
	r.recordAttempt(ms, snapshot.Revision, snapshot.RewrittenFrom)
	conditions.MarkReconciling(ms, meta.ProgressingReason, "Working on revision %s", text.Short(snapshot.Revision))
	if conditions.Get(ms, meta.ReadyCondition) == nil {
		conditions.MarkUnknown(ms, meta.ReadyCondition, meta.ProgressingReason, "Working on revision %s", text.Short(snapshot.Revision))
	}
	if err := p.status(ctx, ms); err != nil {
		// The run continues; its end writes the status again.
		ctrl.LoggerFrom(ctx).V(1).Info("cannot write the new revision to the status", "error", err.Error())
	}
}

// recordRefusedCommit records a commit that the fetch rejected, because the branch is ahead of the
// cluster.
func (r *Reconciler) recordRefusedCommit(ms *v1alpha1.MeshSync, m *syncState, err error) {
	revision, rewound := refusedCommit(err)
	if revision == "" {
		return
	}
	// If the branch returns to the earlier commit, it is announced again.
	m.announced = attempt{revision: revision, generation: ms.Generation}
	r.recordAttempt(ms, revision, rewound)
}

// recordAttempt records the current commit of the branch.
func (r *Reconciler) recordAttempt(ms *v1alpha1.MeshSync, revision, rewound string) {
	if rewound != "" && ms.Status.LastAttemptedRevision != revision {
		ms.Status.RewrittenFrom = rewound
		r.events.Eventf(ms, corev1.EventTypeWarning, v1alpha1.ReasonHistoryRewritten,
			"The history of the branch was rewritten: it now has %s and no longer contains %s. The controller follows the new history.", revision, rewound)
	}
	ms.Status.LastAttemptedRevision = revision
}

// ensureMetadata adds the finalizer and the metadata of an ApplySet parent (KEP-3659) to the
// MeshSync.
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

// suspended handles a suspended MeshSync. As in Flux, the conditions stay, except for Reconciling:
// kstatus would wait in vain. If an older MeshSync is active, the message is written again, because
// a suspended MeshSync is no successor.
func (r *Reconciler) suspended(ctx context.Context, ms *v1alpha1.MeshSync, p *patcher) (ctrl.Result, error) {
	r.metrics.countIdle(ms)
	m := r.states.state(client.ObjectKeyFromObject(ms))
	// Fetch at once after spec.suspend is removed.
	m.fetched.due = time.Time{}
	ctrl.LoggerFrom(ctx).V(1).Info("suspended: no fetch, no write")
	conditions.Delete(ms, meta.ReconcilingCondition)
	if conditions.GetReason(ms, meta.ReadyCondition) == v1alpha1.ReasonAnotherMeshSync {
		active, err := syncrun.Active(ctx, r.client, ms)
		if err != nil {
			return ctrl.Result{}, err
		}
		if active != nil {
			r.writeConditions(ms, anotherMeshSync(ms, active))
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
