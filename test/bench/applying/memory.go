package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
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

// holderCommand has this program hold what a controller holds, in a process of its own: what it is asked stands on its standard input,
// what it measured on its standard output.
const holderCommand = "holder"

// errand is what such a process shall do.
type errand struct {
	Host          string
	CA, Cert, Key []byte
	// Services and Objects are the mesh; with none it holds an empty bundle.
	Services, Objects int
	// Profile is a file for what is on the heap in the end, "" for none.
	Profile string
}

// held is what it has resident, in bytes, with all garbage given back.
type held struct {
	// Bundle is while it holds the cluster's objects, the bundle and the renderer; Whole is with what the next commit is evaluated from.
	Bundle, Whole sample
	// Highest is the most that it ever had.
	Highest int64
}

type sample struct{ Resident, Heap int64 }

func (s sample) String() string {
	return fmt.Sprintf("%s (%s on the heap)", figure.Bytes(s.Resident), figure.Bytes(s.Heap))
}

// memory holds a controller with many objects against one without any.
func (b *benchmark) memory(ctx context.Context) ([]figure.Row, error) {
	bundle, err := b.large(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.clear(ctx); err != nil {
		return nil, err
	}
	var idle, full []held
	for i := range 2 * b.holders {
		e := errand{Host: b.config.Host, CA: b.config.CAData, Cert: b.config.CertData, Key: b.config.KeyData}
		into := &idle
		if i >= b.holders { // the first of these makes the objects, the others find them
			e.Services, e.Objects, into = b.plan.many.services, b.plan.many.objects, &full
			if b.profiles != "" {
				e.Profile = filepath.Join(b.profiles, fmt.Sprintf("memory-%d.heap.pprof", i-b.holders))
			}
		}
		h, err := ask(ctx, e)
		if err != nil {
			return nil, err
		}
		b.say("a controller with %d services: %s, with what it evaluates from %s; at most %s", e.Services, h.Bundle, h.Whole, figure.Bytes(h.Highest))
		*into = append(*into, h)
	}
	return memoryRows(len(bundle.Resources), idle, full), nil
}

func memoryRows(objects int, idle, full []held) []figure.Row {
	row := func(what string, bar float64, of func(held) sample) figure.Row {
		without, with := median(idle, of), median(full, of)
		return figure.Row{
			Figure: what, Bar: bar, Bytes: true, Measured: float64(with.Resident - without.Resident),
			Ours: with.String(), Theirs: "without objects " + without.String(),
		}
	}
	most := slices.MaxFunc(full, func(a, b held) int { return int(a.Highest - b.Highest) })
	first := row("memory for "+figure.Thousands(objects)+" owned objects, above an idle controller", memoryBar, func(h held) sample { return h.Bundle })
	first.Ours += "; at most " + figure.Bytes(most.Highest) + " since it started"
	return []figure.Row{
		first,
		row("the same, with what the next commit is evaluated from", 0, func(h held) sample { return h.Whole }),
	}
}

// median is the sample whose resident memory is in the middle.
func median(all []held, of func(held) sample) sample {
	var samples []sample
	for _, h := range all {
		samples = append(samples, of(h))
	}
	slices.SortFunc(samples, func(a, b sample) int { return int(a.Resident - b.Resident) })
	return samples[len(samples)/2]
}

// ask runs such a process.
func ask(ctx context.Context, e errand) (held, error) {
	var h held
	program, err := os.Executable()
	if err != nil {
		return h, err
	}
	question, err := json.Marshal(e)
	if err != nil {
		return h, err
	}
	cmd := exec.CommandContext(ctx, program, holderCommand)
	cmd.Env = append(os.Environ(), "GOMEMLIMIT=800MiB") // as config/manager has it
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(question), &stderr
	answer, err := cmd.Output()
	if err != nil {
		return h, fmt.Errorf("the process that holds objects: %w\n%.4000s", errors.Join(context.Cause(ctx), err), stderr.String())
	}
	err = json.Unmarshal(answer, &h)
	return h, err
}

// serveHolder is the process that is asked.
func serveHolder(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	var e errand
	if err := json.NewDecoder(stdin).Decode(&e); err != nil {
		return err
	}
	config := &rest.Config{Host: e.Host, QPS: -1, TLSClientConfig: rest.TLSClientConfig{CAData: e.CA, CertData: e.Cert, KeyData: e.Key}}
	k, err := newController(config)
	if err != nil {
		return err
	}
	stop, err := manage(ctx, config, k)
	if err != nil {
		return err
	}
	h, err := hold(ctx, k, e)
	if err := errors.Join(err, stop()); err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(h)
}

// manage starts a manager that watches.
func manage(ctx context.Context, config *rest.Config, k *controller) (stop func() error, err error) {
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

// hold makes the cluster equal to the bundle, finds nothing to do in the interval after that, and measures.
func hold(ctx context.Context, k *controller, e errand) (held, error) {
	var h held
	m, err := newMaker()
	if err != nil {
		return h, err
	}
	bundle := &render.Bundle{Cluster: clusterName}
	if e.Services > 0 {
		if bundle, err = m.bundle(ctx, size{e.Services, e.Objects}); err != nil {
			return h, err
		}
	}
	if _, _, err := k.sync(ctx, bundle); err != nil {
		return h, err
	}
	if _, err := k.expect(ctx, bundle, 0, 0); err != nil {
		return h, err
	}
	h.Highest = highest()
	h.Whole = sampled()
	m.evaluator, m.snapshot, m.basis = nil, nil, nil
	h.Bundle = sampled()
	if e.Profile != "" {
		err = heapProfile(e.Profile)
	}
	runtime.KeepAlive(m)
	runtime.KeepAlive(bundle)
	runtime.KeepAlive(k)
	return h, err
}

// sampled gives all garbage back first; twice, since what the first collection finalizes the second one frees.
func sampled() sample {
	for range 2 {
		debug.FreeOSMemory()
	}
	return sample{Resident: figure.Resident(os.Getpid()), Heap: figure.Heap()}
}

// highest is the most that this process ever had resident, in bytes.
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
