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

// settle is how long after a change in the cluster the reconciler wakes: changes come in bunches, and one look serves all.
const settle = 250 * time.Millisecond

// Option changes a Reconciler from its defaults.
type Option func(*Reconciler)

// WithKinds are the kinds that are watched and may be written. Default: istio.Kinds.
func WithKinds(kinds []istio.Kind) Option { return func(r *Reconciler) { r.kinds = kinds } }

// WithFetcher replaces fetching from Git.
func WithFetcher(f Fetcher) Option { return func(r *Reconciler) { r.fetcher = f } }

// WithRenderer replaces evaluating and rendering.
func WithRenderer(renderer Renderer) Option { return func(r *Reconciler) { r.renderer = renderer } }

// WithLimits bounds an evaluation. Default: evaluate.DefaultLimits.
func WithLimits(limits evaluate.Limits) Option { return func(r *Reconciler) { r.limits = limits } }

// WithSourceLimits bounds what a commit may hold. Default: source.DefaultLimits.
func WithSourceLimits(limits source.Limits) Option {
	return func(r *Reconciler) { r.fetching = limits }
}

// WithCache keeps evaluations for the next process. Default: nowhere.
func WithCache(store *cache.Store) Option { return func(r *Reconciler) { r.cache = store } }

// WithEvents says where events go. Default: nowhere.
func WithEvents(events record.EventRecorder) Option { return func(r *Reconciler) { r.events = events } }

// WithMetrics says where metrics are counted. Default: in metrics that nobody scrapes.
func WithMetrics(m *Metrics) Option { return func(r *Reconciler) { r.metrics = m } }

// WithClock replaces the clock. Default: time.Now.
func WithClock(now func() time.Time) Option { return func(r *Reconciler) { r.now = now } }

// WithFirstRetry is the wait after the first failure, which doubles up to spec.retryInterval. Default: 750 ms, as in Flux.
func WithFirstRetry(wait time.Duration) Option { return func(r *Reconciler) { r.firstRetry = wait } }

// NewReconciler makes one that reads MeshSyncs through client, Secrets and kube-system through uncached, looks at the
// cluster through looker and writes through applier.
func NewReconciler(client client.Client, uncached client.Reader, looker syncrun.ClusterReader, applier Applier, options ...Option) (*Reconciler, error) {
	r := &Reconciler{
		client: client, uncached: uncached, reader: looker, applier: applier,
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

// Alarm wakes the reconciler when somebody changed the cluster.
type Alarm chan struct{}

// NewAlarm makes one.
func NewAlarm() Alarm { return make(Alarm, 1) }

// Ring is what a watch calls; it never blocks, and several rings until the next look are one.
func (a Alarm) Ring(render.Key) {
	select {
	case a <- struct{}{}:
	default:
	}
}

// SetupWithManager registers the reconciler: for MeshSyncs, and for what the alarm tells.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, alarm Alarm, options controller.Options) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("meshsync").
		For(&v1alpha1.MeshSync{}, builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, predicates.ReconcileRequestedPredicate{}, acknowledgedPredicate()))).
		// When a MeshSync is gone, the next one of the cluster has its turn.
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
				queue.AddAfter(request, settle)
			}
		}
	}
}

// all are the requests for every MeshSync; there is rarely more than one.
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

// acknowledgedPredicate lets the acknowledgement of a held change through at once.
func acknowledgedPredicate() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetAnnotations()[v1alpha1.AcknowledgeAnnotation] != e.ObjectNew.GetAnnotations()[v1alpha1.AcknowledgeAnnotation]
	}}
}
