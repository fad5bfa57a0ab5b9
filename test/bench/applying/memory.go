package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"

	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/bench/figure"
)

// memoryCommand is the name of the child process that measures the memory of a controller.
const memoryCommand = "memory"

// memoryRequest is the request to a child process.
type memoryRequest struct {
	Host          string
	CA, Cert, Key []byte
	// Services and Objects are the size of the mesh. 0 is an empty bundle.
	Services, Objects int
	// Profile is a file for a heap profile, "" for none.
	Profile string
}

// memoryUsage is the memory of a child process after garbage collection, in bytes.
type memoryUsage struct {
	// Bundle is the memory with the watched objects, the bundle and the renderer. Whole also includes
	// the state of the evaluator.
	Bundle, Whole sample
	// Highest is the peak of the resident memory.
	Highest int64
}

type sample struct{ Resident, Heap int64 }

func (s sample) String() string {
	return fmt.Sprintf("%s (%s on the heap)", figure.Bytes(s.Resident), figure.Bytes(s.Heap))
}

// memory compares a controller with many objects with an idle one.
func (b *benchmark) memory(ctx context.Context) ([]figure.Row, error) {
	bundle, err := b.largeBundle(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.clear(ctx); err != nil {
		return nil, err
	}
	var idle, full []memoryUsage
	for i := range 2 * b.processes {
		request := memoryRequest{Host: b.config.Host, CA: b.config.CAData, Cert: b.config.CertData, Key: b.config.KeyData}
		into := &idle
		if i >= b.processes { // the first of these creates the objects
			request.Services, request.Objects, into = b.plan.many.services, b.plan.many.objects, &full
			if b.profiles != "" {
				request.Profile = filepath.Join(b.profiles, fmt.Sprintf("memory-%d.heap.pprof", i-b.processes))
			}
		}
		usage, err := figure.Ask[memoryRequest, memoryUsage](ctx, memoryCommand, request, b.log)
		if err != nil {
			return nil, err
		}
		b.Logf("a controller with %d services: %s, with the state of the evaluator %s; at most %s", request.Services, usage.Bundle, usage.Whole, figure.Bytes(usage.Highest))
		*into = append(*into, usage)
	}
	return memoryRows(len(bundle.Resources), idle, full), nil
}

func memoryRows(objects int, idle, full []memoryUsage) []figure.Row {
	row := func(what string, limit float64, of func(memoryUsage) sample) figure.Row {
		without, with := median(idle, of), median(full, of)
		return figure.Row{
			Figure: what, Limit: limit, Bytes: true, Measured: float64(with.Resident - without.Resident),
			Ours: with.String(), Theirs: "without objects " + without.String(),
		}
	}
	most := slices.MaxFunc(full, func(a, b memoryUsage) int { return int(a.Highest - b.Highest) })
	first := row("memory for "+figure.Thousands(objects)+" owned objects, above an idle controller", memoryLimit, func(usage memoryUsage) sample { return usage.Bundle })
	first.Ours += "; at most " + figure.Bytes(most.Highest) + " since it started"
	return []figure.Row{
		first,
		row("the same, with the state of the evaluator", 0, func(usage memoryUsage) sample { return usage.Whole }),
	}
}

// median is the sample with the median resident memory.
func median(all []memoryUsage, of func(memoryUsage) sample) sample {
	var samples []sample
	for _, usage := range all {
		samples = append(samples, of(usage))
	}
	return figure.MedianBy(samples, func(s sample) int64 { return s.Resident })
}

// measureMemory runs in the child process.
func measureMemory(ctx context.Context, request memoryRequest, _ io.Writer) (memoryUsage, error) {
	var usage memoryUsage
	config := &rest.Config{Host: request.Host, QPS: -1, TLSClientConfig: rest.TLSClientConfig{CAData: request.CA, CertData: request.Cert, KeyData: request.Key}}
	k, err := newController(config)
	if err != nil {
		return usage, err
	}
	stop, err := startManager(ctx, config, k)
	if err != nil {
		return usage, err
	}
	usage, err = measureController(ctx, k, request)
	return usage, errors.Join(err, stop())
}

// startManager starts a manager with the watches of the controller.
func startManager(ctx context.Context, config *rest.Config, k *controller) (stop func() error, err error) {
	mgr, err := ctrl.NewManager(config, ctrl.Options{Scheme: apiruntime.NewScheme(), Metrics: metricsserver.Options{BindAddress: "0"}})
	if err != nil {
		return nil, err
	}
	if err := mgr.Add(k.live); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	return func() error { cancel(); return <-done }, nil
}

// measureController syncs the bundle, syncs again without a change, and measures.
func measureController(ctx context.Context, k *controller, request memoryRequest) (memoryUsage, error) {
	var usage memoryUsage
	m, err := newMaker()
	if err != nil {
		return usage, err
	}
	bundle := &render.Bundle{Cluster: clusterName}
	if request.Services > 0 {
		if bundle, err = m.bundle(ctx, size{request.Services, request.Objects}); err != nil {
			return usage, err
		}
	}
	if _, _, err := k.sync(ctx, bundle); err != nil {
		return usage, err
	}
	if _, err := k.expect(ctx, bundle, 0, 0); err != nil {
		return usage, err
	}
	usage.Highest = highest()
	usage.Whole = sampled()
	m.evaluator, m.snapshot, m.basis = nil, nil, nil
	usage.Bundle = sampled()
	if request.Profile != "" {
		err = heapProfile(request.Profile)
	}
	runtime.KeepAlive(m)
	runtime.KeepAlive(bundle)
	runtime.KeepAlive(k)
	return usage, err
}

// sampled collects garbage first. It does so twice, because objects with finalizers are freed by
// the second collection.
func sampled() sample {
	for range 2 {
		debug.FreeOSMemory()
	}
	return sample{Resident: figure.Resident(os.Getpid()), Heap: figure.Heap()}
}

// highest is the peak of the resident memory of this process, in bytes.
func highest() int64 {
	data, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := bytes.Cut(data, []byte("VmHWM:"))
	var kib int64
	if _, err := fmt.Sscan(string(rest), &kib); err != nil {
		return 0
	}
	return kib << 10
}

func heapProfile(name string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup("heap").WriteTo(file, 0), file.Close())
}
