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

// options are the values of the flags. Flags that Flux's controllers also have keep their names.
type options struct {
	metricsAddr    string
	healthAddr     string
	eventsAddr     string
	namespace      string
	concurrent     int
	firstRetry     time.Duration
	settleTime     time.Duration
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

// parse parses and validates the command line.
func parse(args []string) (options, error) {
	var o options
	flags := pflag.NewFlagSet("isthmus-controller", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.StringVar(&o.metricsAddr, "metrics-addr", ":8080", "Address of Prometheus metrics and /debug/pprof; 0 for none.")
	flags.StringVar(&o.healthAddr, "health-addr", ":8081", "Address of the probes /healthz and /readyz; 0 for none.")
	flags.StringVar(&o.eventsAddr, "events-addr", "",
		"URL of a receiver of Flux events, such as Flux's notification-controller, in addition to Kubernetes events.")
	flags.StringVar(&o.namespace, "namespace", cmp.Or(os.Getenv("RUNTIME_NAMESPACE"), "isthmus-system"),
		"Namespace of the controller and of the lease of the leader election.")
	flags.IntVar(&o.concurrent, "concurrent", 2,
		"Number of MeshSyncs that are reconciled at the same time. Only the oldest one manages the cluster; the others wait.")
	flags.DurationVar(&o.firstRetry, "min-retry-delay", 750*time.Millisecond,
		"Wait before the first retry. It doubles with each further failure, up to spec.retryInterval.")
	flags.DurationVar(&o.settleTime, "settle-time", 5*time.Second,
		"Pause in a run between additions and removals, so that proxies receive new hosts, endpoints and routes first; 0 for none.")
	o.evaluation = evaluate.DefaultLimits()
	flags.Var(evaluate.SizeValue{Bytes: &o.evaluation.Memory}, evaluate.MemoryFlag,
		"Memory limit of an evaluation, which is a separate process in the container. The memory limit of the container must exceed it by the memory of the controller.")
	flags.DurationVar(&o.evaluation.CPU, evaluate.CPUFlag, o.evaluation.CPU,
		"Processor time of an evaluation. Keep it below spec.timeout, which also ends an evaluation but retries it.")
	flags.IntVar(&o.evaluation.Objects, evaluate.ObjectsFlag, o.evaluation.Objects,
		"Number of resources that a service may have in one cluster.")
	o.source = source.DefaultLimits()
	flags.IntVar(&o.source.MaxFiles, source.FilesFlag, o.source.MaxFiles, "Number of files that the repository may have below spec.path.")
	flags.Var(evaluate.SizeValue{Bytes: &o.source.MaxFileBytes}, source.FileSizeFlag, "Size of the largest file of the repository.")
	flags.Var(evaluate.SizeValue{Bytes: &o.source.MaxTotalBytes}, source.TotalSizeFlag,
		"Size of all files below spec.path. The whole repository may have twice as much. The files are in memory.")
	flags.StringVar(&o.cacheDir, "cache-dir", "", "Folder of the cache of evaluations. Without it a restart evaluates everything again.")
	flags.Var(evaluate.SizeValue{Bytes: &o.cacheSize}, "cache-size", "Size of the cache on disk. Default: 1Gi.")
	flags.StringSliceVar(&o.kindNames, "kinds", kindNames(istio.Kinds),
		"Kinds to watch and write. Remove a kind if its CRD will never be installed; repositories with resources of that kind are then not applied.")
	flags.BoolVar(&o.printVersion, "version", false, "Print the version and exit.")
	o.leaderElection.BindFlags(flags)
	o.client.BindFlags(flags)
	o.jitter.BindFlags(flags)
	o.log.BindFlags(flags)
	// controller-runtime defines --kubeconfig in the standard flag set.
	flags.AddGoFlagSet(flag.CommandLine)

	// Leader election is on by default, because two active controllers would revert each other's writes.
	elect := flags.Lookup("enable-leader-election")
	elect.DefValue = "true"
	if err := elect.Value.Set("true"); err != nil {
		return o, err
	}

	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("isthmus-controller takes no arguments, only flags; got %q", flags.Arg(0))
	}
	if o.settleTime < 0 {
		return o, fmt.Errorf("--settle-time must not be negative, but is %s", o.settleTime)
	}
	if err := o.evaluation.Validate(); err != nil {
		return o, err
	}
	kinds, err := selectKinds(o.kindNames)
	o.kinds = kinds
	return o, err
}

// selectKinds returns the kinds with these names, in the order in which they are applied.
func selectKinds(names []string) ([]istio.Kind, error) {
	known := kindNames(istio.Kinds)
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("--kinds: Isthmus does not manage the kind %q; it manages %s", name, strings.Join(known, ", "))
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
