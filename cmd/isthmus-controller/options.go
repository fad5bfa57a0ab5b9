package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	fluxclient "github.com/fluxcd/pkg/runtime/client"
	"github.com/fluxcd/pkg/runtime/jitter"
	"github.com/fluxcd/pkg/runtime/leaderelection"
	"github.com/fluxcd/pkg/runtime/logger"
	"github.com/spf13/pflag"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// options are what the flags say. Flags that Flux's controllers have, too, are named as there.
type options struct {
	metricsAddr    string
	healthAddr     string
	eventsAddr     string
	namespace      string
	concurrent     int
	firstRetry     time.Duration
	settle         time.Duration
	evaluation     evaluate.Limits
	source         source.Limits
	cacheDir       string
	cacheSize      int64
	kindNames      []string
	printVersion   bool
	kinds          []istio.Kind
	client         fluxclient.Options
	log            logger.Options
	leaderElection leaderelection.Options
	jitter         jitter.IntervalOptions
}

// parse reads the command line; its errors are for the person who wrote it.
func parse(args []string) (options, error) {
	var o options
	flags := pflag.NewFlagSet("isthmus-controller", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.StringVar(&o.metricsAddr, "metrics-addr", ":8080", "Address that serves Prometheus metrics and /debug/pprof; 0 for none.")
	flags.StringVar(&o.healthAddr, "health-addr", ":8081", "Address that serves the probes /healthz and /readyz; 0 for none.")
	flags.StringVar(&o.eventsAddr, "events-addr", "", "URL of a receiver of Flux events, such as Flux's notification-controller; events always go to Kubernetes, too.")
	flags.StringVar(&o.namespace, "namespace", cmp.Or(os.Getenv("RUNTIME_NAMESPACE"), "isthmus-system"), "Namespace of the controller, where the lease of the leader election is.")
	flags.IntVar(&o.concurrent, "concurrent", 2, "How many MeshSyncs are reconciled at the same time. Only one manages the cluster; others wait for it to go.")
	flags.DurationVar(&o.firstRetry, "min-retry-delay", 750*time.Millisecond, "Wait after the first failure; it doubles with every other, up to spec.retryInterval.")
	flags.DurationVar(&o.settle, "settle-time", 5*time.Second,
		"Pause within a commit after what adds hosts, endpoints and routes and before what removes some, for proxies to learn of it; 0 for none.")
	o.evaluation = evaluate.DefaultLimits()
	flags.Var(evaluate.SizeValue{Bytes: &o.evaluation.Memory}, evaluate.MemoryFlag,
		"What evaluating a repository may use of memory, in a process of its own; the container's limit must hold that beside the controller's.")
	flags.DurationVar(&o.evaluation.CPU, evaluate.CPUFlag, o.evaluation.CPU,
		"What evaluating a repository may use of processor time; keep it below spec.timeout, after which an evaluation is ended as well, but tried again.")
	flags.IntVar(&o.evaluation.Objects, evaluate.ObjectsFlag, o.evaluation.Objects, "How many resources a service may make for one cluster.")
	o.source = source.DefaultLimits()
	flags.IntVar(&o.source.MaxFiles, source.FilesFlag, o.source.MaxFiles, "How many files the repository may have below spec.path.")
	flags.Var(evaluate.SizeValue{Bytes: &o.source.MaxFileBytes}, source.FileSizeFlag, "How large a file of the repository may be.")
	flags.Var(evaluate.SizeValue{Bytes: &o.source.MaxTotalBytes}, source.TotalSizeFlag,
		"How large all files below spec.path may be together; the whole repository may have twice as much. They are held in memory.")
	flags.StringVar(&o.cacheDir, "cache-dir", "", "Folder where evaluations are kept for the next process; without one, a restart evaluates everything again.")
	flags.Var(evaluate.SizeValue{Bytes: &o.cacheSize}, "cache-size", "What the cache may use of the disk. Default: 1Gi.")
	flags.StringSliceVar(&o.kindNames, "kinds", kindNames(istio.Kinds),
		"Kinds that are watched and may be written. Take one out where its CRD will never be installed; a repository that has such a resource is then not applied.")
	flags.BoolVar(&o.printVersion, "version", false, "Print the version and exit.")
	o.leaderElection.BindFlags(flags)
	o.client.BindFlags(flags)
	o.jitter.BindFlags(flags)
	o.log.BindFlags(flags)
	// --kubeconfig, which controller-runtime keeps in the standard flag set.
	flags.AddGoFlagSet(flag.CommandLine)

	// Two controllers that write at once would undo each other, so this is on unless switched off.
	elect := flags.Lookup("enable-leader-election")
	elect.DefValue = "true"
	if err := elect.Value.Set("true"); err != nil {
		return o, err
	}

	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("isthmus-controller takes no arguments, only flags; it was given %q", flags.Arg(0))
	}
	if o.settle < 0 {
		return o, fmt.Errorf("--settle-time must not be negative, but is %s", o.settle)
	}
	if err := o.evaluation.Validate(); err != nil {
		return o, err
	}
	kinds, err := chosen(o.kindNames)
	o.kinds = kinds
	return o, err
}

// chosen are the kinds of these names, in the order in which they are applied.
func chosen(names []string) ([]istio.Kind, error) {
	known := kindNames(istio.Kinds)
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("--kinds: %q is no kind that Isthmus manages; it manages %s", name, strings.Join(known, ", "))
		}
	}
	var kinds []istio.Kind
	for _, kind := range istio.Kinds {
		if slices.Contains(names, kind.Kind) {
			kinds = append(kinds, kind)
		}
	}
	if len(kinds) == 0 {
		return nil, fmt.Errorf("--kinds: at least one kind is needed; Isthmus manages %s", strings.Join(known, ", "))
	}
	return kinds, nil
}

func kindNames(kinds []istio.Kind) []string {
	names := make([]string, len(kinds))
	for i, kind := range kinds {
		names[i] = kind.Kind
	}
	return names
}
