package meshsync

import (
	"context"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/runtime/predicates"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	ctrlsource "sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/cache"
	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/source"
	"github.com/isthmus-mesh/isthmus/internal/syncrun"
)

// wakeDelay is the wait between a change in the cluster and the run, so that one run handles a
// burst of changes.
const wakeDelay = 250 * time.Millisecond

// Option changes a default of [NewReconciler].
type Option func(*Reconciler)

// WithKinds sets the managed kinds. Default: istio.Kinds.
func WithKinds(kinds []istio.Kind) Option { return func(r *Reconciler) { r.kinds = kinds } }

// WithFetcher replaces the fetcher. Default: a [GitFetcher].
func WithFetcher(f Fetcher) Option { return func(r *Reconciler) { r.fetcher = f } }

// WithRenderer replaces the renderer. Default: a [syncrun.Pipeline].
func WithRenderer(renderer Renderer) Option { return func(r *Reconciler) { r.renderer = renderer } }

// WithLimits bounds an evaluation. Default: evaluate.DefaultLimits.
func WithLimits(limits evaluate.Limits) Option { return func(r *Reconciler) { r.limits = limits } }

// WithSourceLimits bounds the size of a commit. Default: source.DefaultLimits.
func WithSourceLimits(limits source.Limits) Option {
	return func(r *Reconciler) { r.fetching = limits }
}

// WithCache keeps evaluations across restarts. Default: no cache.
func WithCache(store *cache.Store) Option { return func(r *Reconciler) { r.cache = store } }

// WithEvents sets the recorder of events. Default: events are dropped.
func WithEvents(events record.EventRecorder) Option { return func(r *Reconciler) { r.events = events } }

// WithMetrics sets the metrics. Default: metrics that are not registered.
func WithMetrics(m *Metrics) Option { return func(r *Reconciler) { r.metrics = m } }

// WithClock replaces the clock. Default: time.Now.
func WithClock(now func() time.Time) Option { return func(r *Reconciler) { r.now = now } }

// WithFirstRetry sets the wait after the first failure; it doubles up to spec.retryInterval.
// Default: 750 ms, as in Flux.
func WithFirstRetry(wait time.Duration) Option { return func(r *Reconciler) { r.firstRetry = wait } }

// NewReconciler makes a Reconciler. It reads MeshSyncs through client, Secrets and kube-system
// through uncached, and the managed kinds through reader; it writes through applier. All options
// have defaults. It is an error if the embedded CRDs cannot be read.
func NewReconciler(client client.Client, uncached client.Reader, reader syncrun.ClusterReader, applier Applier, options ...Option) (*Reconciler, error) {
	r := &Reconciler{
		client: client, uncached: uncached, reader: reader, applier: applier,
		kinds:      istio.Kinds,
		identity:   &syncrun.ClusterIdentity{Reader: uncached},
		events:     &record.FakeRecorder{},
		now:        time.Now,
		firstRetry: 750 * time.Millisecond,
	}
	for _, option := range options {
		option(r)
	}
	if r.metrics == nil {
		r.metrics = NewMetrics(r.now)
	}
	if r.fetcher == nil {
		r.fetcher = &GitFetcher{Secrets: uncached, Limits: r.fetching}
	}
	if r.renderer == nil {
		validator, err := istio.NewValidator()
		if err != nil {
			return nil, fmt.Errorf("cannot read the CRDs that resources are validated against: %w", err)
		}
		r.renderer = syncrun.Pipeline{Evaluator: evaluate.New(r.limits, r.cache), Renderer: render.New(validator, r.cache), Timed: r.metrics.timed}
	}
	return r, nil
}

// Alarm wakes the reconciler after a change in the cluster.
type Alarm chan struct{}

// NewAlarm makes an Alarm.
func NewAlarm() Alarm { return make(Alarm, 1) }

// Ring is called by watches. It never blocks; several calls before the next run have one effect.
func (a Alarm) Ring(render.Key) {
	select {
	case a <- struct{}{}:
	default:
	}
}

// SetupWithManager registers the reconciler for MeshSyncs and for the alarm.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, alarm Alarm, options controller.Options) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("meshsync").
		For(&v1alpha1.MeshSync{}, builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, predicates.ReconcileRequestedPredicate{}, acknowledgedPredicate()))).
		// After the deletion of a MeshSync, the next oldest manages the cluster.
		Watches(&v1alpha1.MeshSync{}, handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, _ client.Object) []reconcile.Request {
			return r.all(ctx)
		}), builder.WithPredicates(predicate.Funcs{
			CreateFunc: func(event.CreateEvent) bool { return false },
			UpdateFunc: func(event.UpdateEvent) bool { return false },
			DeleteFunc: func(event.DeleteEvent) bool { return true },
		})).
		WatchesRawSource(ctrlsource.Func(func(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
			go r.listen(ctx, alarm, queue)
			return nil
		})).
		WithOptions(options).
		Complete(r)
}

func (r *Reconciler) listen(ctx context.Context, alarm Alarm, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-alarm:
			for _, request := range r.all(ctx) {
				queue.AddAfter(request, wakeDelay)
			}
		}
	}
}

// all returns a request for each MeshSync; there is rarely more than one.
func (r *Reconciler) all(ctx context.Context) []reconcile.Request {
	list := &v1alpha1.MeshSyncList{}
	if err := r.client.List(ctx, list); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "cannot list the MeshSyncs to wake; each runs again at the end of its interval")
		return nil
	}
	requests := make([]reconcile.Request, len(list.Items))
	for i := range list.Items {
		requests[i].NamespacedName = client.ObjectKeyFromObject(&list.Items[i])
	}
	return requests
}

// acknowledgedPredicate triggers a run when the acknowledgement changes.
func acknowledgedPredicate() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetAnnotations()[v1alpha1.AcknowledgeAnnotation] != e.ObjectNew.GetAnnotations()[v1alpha1.AcknowledgeAnnotation]
	}}
}
