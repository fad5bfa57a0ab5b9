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

// environment is a cluster with its controller and repository.
type environment struct {
	shape bench.Repository
	dir   string
	figure.Progress
	fleet      *apiserver.Fleet
	client     client.WithWatch
	repository *repository
	head       string
	controller *gitops.Process
	cue        string
}

func newEnvironment(ctx context.Context, shape bench.Repository, checkout string, to io.Writer) (env *environment, err error) {
	log.SetOutput(io.Discard) // the Git server logs each request
	env = &environment{shape: shape, Progress: figure.NewProgress(to)}
	defer func() {
		if err != nil {
			err = errors.Join(err, env.stop())
		}
	}()
	if env.dir, err = os.MkdirTemp("", "isthmus-latency-"); err != nil {
		return env, err
	}
	if env.cue, err = cuecmd.Build(); err != nil {
		return env, err
	}
	if env.repository, env.head, err = newRepository(ctx, shape, env.dir); err != nil {
		return env, err
	}
	if env.fleet, err = gitops.Start(ctx, apiserver.Options{}); err != nil {
		return env, err
	}
	if env.client, err = gitops.Connect(env.fleet.Clusters()[0].Config); err != nil {
		return env, err
	}
	err = env.start(ctx, checkout)
	return env, err
}

// start builds and starts the controller, and creates a MeshSync that does not poll Git.
func (env *environment) start(ctx context.Context, checkout string) error {
	command := gitops.Command{
		Binary: filepath.Join(env.dir, "isthmus-controller"), Home: env.dir, Env: []string{figure.MemoryLimit},
		Flags: []string{"--settle-time=0", "--cache-dir=" + filepath.Join(env.dir, "cache")},
	}
	if err := gitops.Build(ctx, checkout, command.Binary); err != nil {
		return err
	}
	c := env.fleet.Clusters()[0]
	var err error
	if command.Kubeconfig, err = gitops.WriteKubeconfig(c, c.Config, env.dir); err != nil {
		return err
	}
	if err := gitops.Namespaces(ctx, env.client); err != nil {
		return err
	}
	if command.Output, err = os.Create(filepath.Join(env.dir, "controller.log")); err != nil {
		return err
	}
	defer command.Output.Close()
	if env.controller, err = command.Start(); err != nil {
		return err
	}
	return env.client.Create(ctx, &v1alpha1.MeshSync{
		ObjectMeta: metav1.ObjectMeta{Name: "mesh", Namespace: namespace},
		Spec: v1alpha1.MeshSyncSpec{
			Cluster: cluster, Source: v1alpha1.Source{URL: env.repository.url(), Ref: &v1alpha1.Ref{Branch: "main"}},
			Interval: metav1.Duration{Duration: time.Hour}, Timeout: metav1.Duration{Duration: 10 * time.Minute},
		},
	})
}

func (env *environment) stop() error {
	var errs []error
	if env.controller != nil {
		_ = env.controller.Signal(syscall.SIGTERM)
		_ = env.controller.Wait() // the measurement is complete
	}
	if env.repository != nil {
		env.repository.server.StopHTTP()
	}
	if env.fleet != nil {
		errs = append(errs, env.fleet.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(env.dir))...)
}

// requestReconciliation requests a reconciliation, as a webhook receiver does.
func (env *environment) requestReconciliation(ctx context.Context, n int) error {
	ms := &v1alpha1.MeshSync{ObjectMeta: metav1.ObjectMeta{Name: "mesh", Namespace: namespace}}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:"%d"}}}`, meta.ReconcileRequestAnnotation, n)
	return env.client.Patch(ctx, ms, client.RawPatch("application/merge-patch+json", []byte(patch)))
}

// awaitApplied watches the MeshSync until the status says that the commit is applied.
func (env *environment) awaitApplied(ctx context.Context, commit string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Minute)
	defer cancel()
	for {
		events, err := env.client.Watch(ctx, &v1alpha1.MeshSyncList{}, client.InNamespace(namespace))
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
			return fmt.Errorf("%s was not applied: %s", commit, last)
		}
	}
}

// export measures cue export of the resources of the cluster.
func (env *environment) export(ctx context.Context) (time.Duration, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, env.cue, "export", "-t", "cluster="+cluster, "-e", "resources", "./services")
	cmd.Dir, cmd.Stderr = env.repository.clone, &stderr
	began := time.Now()
	if _, err := cmd.Output(); err != nil {
		return 0, fmt.Errorf("cue export: %w\n%.2000s", err, stderr.String())
	}
	env.Logf("cue export took %s", figure.Seconds(time.Since(began)))
	return time.Since(began), nil
}

// applyOne measures server-side apply of one changed VirtualService.
func (env *environment) applyOne(ctx context.Context, n int) (time.Duration, error) {
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion("networking.istio.io/v1")
	list.SetKind("VirtualServiceList")
	if err := env.client.List(ctx, list, client.Limit(int64(n+1))); err != nil {
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
	manager := ssa.NewResourceManager(env.client, nil, ssa.Owner{Field: "bench-controller", Group: "bench.isthmus.dev"})
	began := time.Now()
	entry, err := manager.Apply(ctx, object, ssa.DefaultApplyOptions())
	took := time.Since(began)
	if err == nil && !slices.Contains([]ssa.Action{ssa.ConfiguredAction, ssa.CreatedAction}, entry.Action) {
		err = fmt.Errorf("server-side apply of %s: %s", entry.Subject, entry.Action)
	}
	return took, err
}
