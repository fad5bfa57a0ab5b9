package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	fluxclient "github.com/fluxcd/pkg/runtime/client"
	"github.com/fluxcd/pkg/runtime/events"
	"github.com/fluxcd/pkg/runtime/logger"
	"github.com/fluxcd/pkg/runtime/pprof"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/controllers/meshsync"
	"github.com/isthmus-mesh/isthmus/internal/app"
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
	lease := app.Lease{Namespace: o.namespace, Name: controllerName + "-leader-election", RenewDeadline: o.leaderElection.RenewDeadline}
	lock, isLeader, err := lease.Lock(config)
	if err != nil {
		return fmt.Errorf("the lease cannot be set up: %w", err)
	}
	mgr, err := newManager(config, o, lock)
	if err != nil {
		return fmt.Errorf("the controller cannot be set up: %w", err)
	}
	if err := addReconciler(mgr, o, isLeader); err != nil {
		return fmt.Errorf("the controller cannot be set up: %w", err)
	}
	if err := app.AddProbes(mgr); err != nil {
		return fmt.Errorf("the probes cannot be set up: %w", err)
	}
	enforced, err := evaluate.Enforced(ctx, o.evaluation)
	if err != nil {
		return fmt.Errorf("repositories cannot be evaluated in this environment: %w", err)
	}
	ctrl.Log.Info("isthmus-controller starts", "version", version.Get().Version, "kinds", o.kindNames, "sandbox", enforced.String())
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("the controller stopped (are the CRD meshsyncs.isthmus.dev and the role of the controller installed?): %w", err)
	}
	return nil
}

func newManager(config *rest.Config, o options, lock resourcelock.Interface) (ctrl.Manager, error) {
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
		// The role allows to get Secrets, but not to list them, so they cannot be cached.
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}},

		LeaderElection:                      o.leaderElection.Enable,
		LeaderElectionResourceLockInterface: lock,
		LeaderElectionReleaseOnCancel:       o.leaderElection.ReleaseOnCancel,
		LeaseDuration:                       &o.leaderElection.LeaseDuration,
		RenewDeadline:                       &o.leaderElection.RenewDeadline,
		RetryPeriod:                         &o.leaderElection.RetryPeriod,
	})
}

func addReconciler(mgr ctrl.Manager, o options, isLeader app.LeaderCheck) error {
	// Priority and fairness of the API server limits the requests. With a client-side limit, a first
	// sync of thousands of objects would take minutes.
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
	recorder, err := newRecorder(mgr, o)
	if err != nil {
		return err
	}
	collectors := meshsync.NewMetrics(time.Now)
	metrics.Registry.MustRegister(collectors.Collectors()...)
	collectors.Build(version.Get().Version)
	store, err := openCache(o)
	if err != nil {
		return err
	}
	writer, err := execute.NewClient(unthrottled)
	if err != nil {
		return err
	}
	applier := execute.NewApplier(writer, live).WithSettleTime(o.settleTime, sleep)
	if o.leaderElection.Enable {
		applier.WithLeaderCheck(isLeader)
	}
	reconciler, err := meshsync.NewReconciler(mgr.GetClient(), mgr.GetAPIReader(), live, applier,
		meshsync.WithKinds(o.kinds),
		meshsync.WithEvents(recorder),
		meshsync.WithMetrics(collectors),
		meshsync.WithFirstRetry(o.firstRetry),
		meshsync.WithLimits(o.evaluation),
		meshsync.WithSourceLimits(o.source),
		meshsync.WithCache(store))
	if err != nil {
		return err
	}
	return reconciler.SetupWithManager(mgr, alarm, controller.Options{MaxConcurrentReconciles: o.concurrent})
}

// newRecorder returns the recorder of events. It waits only briefly for the receiver of Flux events,
// because events are sent during a run.
func newRecorder(mgr ctrl.Manager, o options) (*events.Recorder, error) {
	recorder, err := events.NewRecorder(mgr, ctrl.Log, o.eventsAddr, controllerName)
	if err != nil {
		return nil, fmt.Errorf("--events-addr: %w", err)
	}
	recorder.Client.RetryMax = 1
	recorder.Client.HTTPClient.Timeout = 2 * time.Second
	return recorder, nil
}

// sleep returns after the pause, or when ctx ends.
func sleep(ctx context.Context, pause time.Duration) {
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
}

// openCache opens the cache in --cache-dir, nil if it is not set.
func openCache(o options) (*cache.Store, error) {
	if o.cacheDir == "" {
		return nil, nil
	}
	return cache.Open(o.cacheDir, o.cacheSize)
}
