package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	fluxclient "github.com/fluxcd/pkg/runtime/client"
	"github.com/fluxcd/pkg/runtime/events"
	"github.com/fluxcd/pkg/runtime/logger"
	"github.com/fluxcd/pkg/runtime/pprof"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/controllers/meshsync"
	"github.com/isthmus-mesh/isthmus/internal/cache"
	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/execute"
	"github.com/isthmus-mesh/isthmus/internal/version"
)

const controllerName = "isthmus-controller"

// run runs the controller until ctx ends or the lease is lost.
func run(ctx context.Context, o options) error {
	logger.SetLogger(logger.NewLogger(o.log))
	if err := o.jitter.SetGlobalJitter(nil); err != nil {
		return err
	}
	config := fluxclient.GetConfigOrDie(o.client)
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("the lease cannot be set up: %w", err)
	}
	identity := host + "_" + string(uuid.NewUUID())
	lease, err := newLease(config, o, identity)
	if err != nil {
		return fmt.Errorf("the lease cannot be set up: %w", err)
	}
	// Not the same one: the election renews what its lock has read last, so nobody else may read through it.
	looked, err := newLease(config, o, identity)
	if err != nil {
		return fmt.Errorf("the lease cannot be set up: %w", err)
	}
	mgr, err := newManager(config, o, lease)
	if err != nil {
		return fmt.Errorf("the controller cannot be set up: %w", err)
	}
	if err := addReconciler(mgr, o, looked); err != nil {
		return fmt.Errorf("the controller cannot be set up: %w", err)
	}
	if err := addProbes(mgr); err != nil {
		return fmt.Errorf("the probes cannot be set up: %w", err)
	}
	enforced, err := evaluate.Enforced(ctx, o.evaluation)
	if err != nil {
		return fmt.Errorf("no repository could be evaluated here: %w", err)
	}
	ctrl.Log.Info("isthmus-controller starts", "version", version.Get().Version, "kinds", o.kindNames, "sandbox", enforced.String())
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("the controller ended (is the CRD meshsyncs.isthmus.dev installed, and the controller's role?): %w", err)
	}
	return nil
}

func newManager(config *rest.Config, o options, lease resourcelock.Interface) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	return ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme,
		Logger: ctrl.Log,
		Metrics: metricsserver.Options{
			BindAddress:   o.metricsAddr,
			ExtraHandlers: pprof.GetHandlers(),
		},
		HealthProbeBindAddress: o.healthAddr,
		// Secrets may be got and not listed, so they are never cached.
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}},

		LeaderElection:                      o.leaderElection.Enable,
		LeaderElectionResourceLockInterface: lease,
		LeaderElectionReleaseOnCancel:       o.leaderElection.ReleaseOnCancel,
		LeaseDuration:                       &o.leaderElection.LeaseDuration,
		RenewDeadline:                       &o.leaderElection.RenewDeadline,
		RetryPeriod:                         &o.leaderElection.RetryPeriod,
	})
}

// newLease is what controllers of one cluster elect their leader by.
func newLease(config *rest.Config, o options, identity string) (resourcelock.Interface, error) {
	return resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, o.namespace, controllerName+"-leader-election",
		resourcelock.ResourceLockConfig{Identity: identity}, config, o.leaderElection.RenewDeadline)
}

// leads fails unless the lease, as the API server has it now, is held by this process.
func leads(lease resourcelock.Interface) func(context.Context) error {
	return func(ctx context.Context) error {
		record, _, err := lease.Get(ctx)
		if err != nil {
			return fmt.Errorf("it cannot be told who leads: %w", err)
		}
		if record.HolderIdentity != lease.Identity() {
			return fmt.Errorf("%w: %s", execute.ErrNotLeading, record.HolderIdentity)
		}
		return nil
	}
}

func addReconciler(mgr ctrl.Manager, o options, lease resourcelock.Interface) error {
	// The API server sees to fairness; throttled here, too, a first sync of thousands of objects would take minutes.
	unthrottled := rest.CopyConfig(mgr.GetConfig())
	unthrottled.QPS = -1
	dynamicClient, err := dynamic.NewForConfig(unthrottled)
	if err != nil {
		return err
	}
	alarm := meshsync.NewAlarm()
	live := clustercache.New(dynamicClient, o.kinds, alarm.Ring)
	if err := mgr.Add(live); err != nil {
		return err
	}
	recorder, err := events.NewRecorder(mgr, ctrl.Log, o.eventsAddr, controllerName)
	if err != nil {
		return fmt.Errorf("--events-addr: %w", err)
	}
	// Events are posted in the middle of a run: a receiver that is down must not delay the mesh.
	recorder.Client.RetryMax = 1
	recorder.Client.HTTPClient.Timeout = 2 * time.Second

	counted := meshsync.NewMetrics(time.Now)
	metrics.Registry.MustRegister(counted.Collectors()...)
	counted.Build(version.Get().Version)
	store, err := openCache(o)
	if err != nil {
		return err
	}
	writer, err := execute.NewClient(unthrottled)
	if err != nil {
		return err
	}
	applier := execute.NewApplier(writer, live).WithSettleTime(o.settle, wait)
	if o.leaderElection.Enable {
		applier.WithLeaderCheck(leads(lease))
	}
	reconciler, err := meshsync.NewReconciler(mgr.GetClient(), mgr.GetAPIReader(), live, applier,
		meshsync.WithKinds(o.kinds),
		meshsync.WithEvents(recorder),
		meshsync.WithMetrics(counted),
		meshsync.WithFirstRetry(o.firstRetry),
		meshsync.WithLimits(o.evaluation),
		meshsync.WithSourceLimits(o.source),
		meshsync.WithCache(store))
	if err != nil {
		return err
	}
	return reconciler.SetupWithManager(mgr, alarm, controller.Options{MaxConcurrentReconciles: o.concurrent})
}

// wait sleeps, unless ctx ends before.
func wait(ctx context.Context, pause time.Duration) {
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
}

// addProbes makes the process alive when it answers, and ready when its caches are filled, whether or not it holds the lease:
// a standby that is never ready would look like a failed roll-out.
func addProbes(mgr ctrl.Manager) error {
	ready := &filled{cache: mgr.GetCache().WaitForCacheSync}
	return errors.Join(
		mgr.Add(ready),
		mgr.AddHealthzCheck("ping", healthz.Ping),
		mgr.AddReadyzCheck("caches", ready.check),
	)
}

// filled notes when the caches are.
type filled struct {
	cache func(ctx context.Context) bool
	done  atomic.Bool
}

func (f *filled) Start(ctx context.Context) error {
	f.done.Store(f.cache(ctx))
	return nil
}

func (f *filled) NeedLeaderElection() bool { return false }

func (f *filled) check(*http.Request) error {
	if !f.done.Load() {
		return errors.New("the watch caches are not filled yet")
	}
	return nil
}

// openCache opens the folder that was named, if one was.
func openCache(o options) (*cache.Store, error) {
	if o.cacheDir == "" {
		return nil, nil
	}
	return cache.Open(o.cacheDir, o.cacheSize)
}
