package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/fluxcd/pkg/ssa"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/test/bench"
	"github.com/isthmus-mesh/isthmus/test/bench/figure"
	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
	"github.com/isthmus-mesh/isthmus/test/support/cuecmd"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

const namespace = gitops.Namespace

// world is a cluster, its controller, and the repository that it follows.
type world struct {
	shape      bench.Repository
	dir        string
	log        io.Writer
	began      time.Time
	fleet      *apiserver.Fleet
	client     client.WithWatch
	repository *repository
	head       string
	controller *exec.Cmd
	cue        string
}

func newWorld(ctx context.Context, shape bench.Repository, checkout string, to io.Writer) (w *world, err error) {
	log.SetOutput(io.Discard) // the Git server logs each request
	w = &world{shape: shape, log: to, began: time.Now()}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.stop())
		}
	}()
	if w.dir, err = os.MkdirTemp("", "isthmus-latency-"); err != nil {
		return w, err
	}
	if w.cue, err = cuecmd.Build(); err != nil {
		return w, err
	}
	if w.repository, w.head, err = newRepository(ctx, shape, w.dir); err != nil {
		return w, err
	}
	if w.fleet, err = gitops.Start(ctx, apiserver.Options{}); err != nil {
		return w, err
	}
	if w.client, err = gitops.Connect(w.fleet.Clusters()[0].Config); err != nil {
		return w, err
	}
	err = w.start(ctx, checkout)
	return w, err
}

// start builds the controller and runs it with a MeshSync that never looks at Git by itself.
func (w *world) start(ctx context.Context, checkout string) error {
	binary := filepath.Join(w.dir, "isthmus-controller")
	if err := gitops.Build(ctx, checkout, binary); err != nil {
		return err
	}
	c := w.fleet.Clusters()[0]
	kubeconfig, err := c.Kubeconfig(c.Config)
	if err != nil {
		return err
	}
	file := filepath.Join(w.dir, "kubeconfig")
	if err := os.WriteFile(file, kubeconfig, 0o600); err != nil {
		return err
	}
	if err := gitops.Namespaces(ctx, w.client); err != nil {
		return err
	}
	out, err := os.Create(filepath.Join(w.dir, "controller.log"))
	if err != nil {
		return err
	}
	defer out.Close()
	w.controller = exec.Command(binary, "--kubeconfig="+file, "--metrics-addr=0", "--health-addr=0", "--settle-time=0",
		"--cache-dir="+filepath.Join(w.dir, "cache"))
	w.controller.Env = append(os.Environ(), "RUNTIME_NAMESPACE="+namespace, "GOMEMLIMIT=800MiB") // as config/manager has it
	w.controller.Stdout, w.controller.Stderr = out, out
	if err := w.controller.Start(); err != nil {
		return err
	}
	return w.client.Create(ctx, &v1alpha1.MeshSync{
		ObjectMeta: metav1.ObjectMeta{Name: "mesh", Namespace: namespace},
		Spec: v1alpha1.MeshSyncSpec{
			Cluster: cluster, Source: v1alpha1.Source{URL: w.repository.url(), Ref: &v1alpha1.Ref{Branch: "main"}},
			Interval: metav1.Duration{Duration: time.Hour}, Timeout: metav1.Duration{Duration: 10 * time.Minute},
		},
	})
}

func (w *world) stop() error {
	var errs []error
	if w.controller != nil && w.controller.Process != nil {
		_ = w.controller.Process.Signal(syscall.SIGTERM)
		_ = w.controller.Wait() // what it did was measured
	}
	if w.repository != nil {
		w.repository.server.StopHTTP()
	}
	if w.fleet != nil {
		errs = append(errs, w.fleet.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(w.dir))...)
}

func (w *world) say(format string, args ...any) {
	fmt.Fprintf(w.log, "%s load %s: %s\n", figure.Seconds(time.Since(w.began)), figure.LoadAverage(), fmt.Sprintf(format, args...))
}

// trigger asks for a run, as a webhook receiver does.
func (w *world) trigger(ctx context.Context, n int) error {
	ms := &v1alpha1.MeshSync{ObjectMeta: metav1.ObjectMeta{Name: "mesh", Namespace: namespace}}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:"%d"}}}`, meta.ReconcileRequestAnnotation, n)
	return w.client.Patch(ctx, ms, client.RawPatch("application/merge-patch+json", []byte(patch)))
}

// arrives waits, by watching, until the status says that a commit is applied.
func (w *world) arrives(ctx context.Context, commit string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Minute)
	defer cancel()
	for {
		events, err := w.client.Watch(ctx, &v1alpha1.MeshSyncList{}, client.InNamespace(namespace))
		if err != nil {
			return err
		}
		last := ""
		for event := range events.ResultChan() {
			ms, ok := event.Object.(*v1alpha1.MeshSync)
			if !ok {
				continue
			}
			last = conditions.GetMessage(ms, meta.ReadyCondition)
			if conditions.IsReady(ms) && strings.HasSuffix(ms.Status.LastAppliedRevision, commit) {
				events.Stop()
				return nil
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s did not arrive: %s", commit, last)
		}
	}
}

// export is how long plain CUE takes to make the resources of the cluster.
func (w *world) export(ctx context.Context) (time.Duration, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, w.cue, "export", "-t", "cluster="+cluster, "-e", "resources", "./services")
	cmd.Dir, cmd.Stderr = w.repository.clone, &stderr
	began := time.Now()
	if _, err := cmd.Output(); err != nil {
		return 0, fmt.Errorf("cue export: %w\n%.2000s", err, stderr.String())
	}
	w.say("cue export took %s", figure.Seconds(time.Since(began)))
	return time.Since(began), nil
}

// applyOne is how long server-side apply of one changed VirtualService takes.
func (w *world) applyOne(ctx context.Context, n int) (time.Duration, error) {
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion("networking.istio.io/v1")
	list.SetKind("VirtualServiceList")
	if err := w.client.List(ctx, list, client.Limit(int64(n+1))); err != nil {
		return 0, err
	}
	live := list.Items[len(list.Items)-1]
	object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": live.GetAPIVersion(), "kind": live.GetKind(), "spec": live.Object["spec"]}}
	object.SetNamespace(live.GetNamespace())
	object.SetName(live.GetName())
	routes, _, err := unstructured.NestedSlice(object.Object, "spec", "http")
	if err != nil || len(routes) == 0 {
		return 0, fmt.Errorf("%s/%s has no routes: %w", live.GetNamespace(), live.GetName(), err)
	}
	routes[0].(map[string]any)["timeout"] = fmt.Sprintf("%ds", n+1)
	if err := unstructured.SetNestedSlice(object.Object, routes, "spec", "http"); err != nil {
		return 0, err
	}
	manager := ssa.NewResourceManager(w.client, nil, ssa.Owner{Field: "bench-controller", Group: "bench.isthmus.dev"})
	began := time.Now()
	entry, err := manager.Apply(ctx, object, ssa.DefaultApplyOptions())
	took := time.Since(began)
	if err == nil && !slices.Contains([]ssa.Action{ssa.ConfiguredAction, ssa.CreatedAction}, entry.Action) {
		err = fmt.Errorf("server-side apply of %s: %s", entry.Subject, entry.Action)
	}
	return took, err
}
