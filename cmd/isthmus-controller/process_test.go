package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fluxcd/pkg/runtime/conditions"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

const namespace = gitops.Namespace

var must = gitops.Must

// process is a running controller.
type process struct {
	*exec.Cmd
	health, metrics string
	mutex           sync.Mutex
	log             bytes.Buffer
}

func (p *process) logged() string {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.log.String()
}

func start(t *testing.T, binary, kubeconfig string) *process {
	t.Helper()
	p := &process{health: freeAddress(t), metrics: freeAddress(t)}
	p.Cmd = exec.Command(binary, "--kubeconfig", kubeconfig, "--health-addr", p.health, "--metrics-addr", p.metrics,
		// A short retry period, so that an unreleased lease fails the test instead of slowing it down.
		"--leader-election-retry-period", "200ms", "--leader-election-renew-deadline", "40s", "--leader-election-lease-duration", "50s")
	stderr, err := p.StderrPipe()
	must(t, err)
	must(t, p.Start())
	go func() {
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			p.mutex.Lock()
			p.log.WriteString(lines.Text() + "\n")
			p.mutex.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		if t.Failed() {
			t.Logf("log of the controller:\n%s", p.logged())
		}
	})
	return p
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, listener.Close())
	return listener.Addr().String()
}

func read(url string) (int, string) {
	response, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

// TestTwoControllersWithTheGeneratedRoles runs the command twice with only the permissions of
// config/rbac/role.yaml.
func TestTwoControllersWithTheGeneratedRoles(t *testing.T) {
	ctx := context.Background()
	fleet, err := gitops.Start(ctx, apiserver.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, fleet.Stop()) })
	cluster := fleet.Clusters()[0]
	admin, err := gitops.Connect(cluster.Config)
	must(t, err)
	must(t, gitops.Namespaces(ctx, admin))
	config, err := cluster.AddController(ctx, "controller")
	must(t, err)
	kubeconfig, err := gitops.WriteKubeconfig(cluster, config, t.TempDir())
	must(t, err)
	git := gitops.NewRepository(t, os.DirFS("../../examples/quickstart"))

	binary := filepath.Join(t.TempDir(), "isthmus-controller")
	if out, err := exec.Command("go", "build", "-ldflags", "-X github.com/isthmus-mesh/isthmus/internal/version.version=v0.0.0-test", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	first := start(t, binary, kubeconfig)
	lease := &coordinationv1.Lease{}
	holder := func() string {
		if err := admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "isthmus-controller-leader-election"}, lease); err != nil || lease.Spec.HolderIdentity == nil {
			return ""
		}
		return *lease.Spec.HolderIdentity
	}
	gitops.Until(t, "the first controller holds the lease", func() (bool, string) { return holder() != "", first.logged() })
	firstHolder := holder()
	second := start(t, binary, kubeconfig)

	ms := &v1alpha1.MeshSync{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "mesh"},
		Spec:       v1alpha1.MeshSyncSpec{Cluster: "east", Source: v1alpha1.Source{URL: git.URL()}},
	}
	must(t, admin.Create(ctx, ms))
	gitops.Until(t, "the MeshSync is ready", func() (bool, string) {
		must(t, admin.Get(ctx, client.ObjectKeyFromObject(ms), ms))
		return conditions.IsReady(ms), fmt.Sprintf("%+v", ms.Status)
	})
	for _, p := range []*process{first, second} {
		for _, probe := range []string{"/healthz", "/readyz"} {
			gitops.Until(t, probe+" returns 200, on the standby too", func() (bool, string) {
				status, body := read("http://" + p.health + probe)
				return status == http.StatusOK, fmt.Sprint(status, body)
			})
		}
	}
	gitops.Until(t, "the metrics have the revision and the version", func() (bool, string) {
		_, body := read("http://" + first.metrics + "/metrics")
		return strings.Contains(body, `isthmus_applied_revision_info{cluster="east",name="mesh",namespace="isthmus-system",revision="`+ms.Status.LastAppliedRevision+`"} 1`) &&
			strings.Contains(body, `isthmus_build_info{version="v0.0.0-test"} 1`), body
	})
	gitops.Until(t, "an event has the revision", func() (bool, string) {
		events := &corev1.EventList{}
		must(t, admin.List(ctx, events, client.InNamespace(namespace)))
		for _, e := range events.Items {
			if e.InvolvedObject.Kind == "MeshSync" && strings.Contains(e.Message, ms.Status.LastAppliedRevision[:len("main@sha1:")+12]) {
				return true, ""
			}
		}
		return false, fmt.Sprint(len(events.Items), " events")
	})

	stopped := time.Now()
	must(t, first.Process.Signal(syscall.SIGTERM))
	gitops.Until(t, "the second controller holds the lease", func() (bool, string) { return holder() != firstHolder && holder() != "", holder() })
	// Well below the lease duration of 50 s, which an unreleased lease would take.
	if took := time.Since(stopped); took > 25*time.Second {
		t.Errorf("the lease was taken over after %s: it was not given back", took)
	}
	if err := first.Wait(); err != nil {
		t.Errorf("a controller that got SIGTERM ended with %v", err)
	}
	ms.Spec.DeletionPolicy = v1alpha1.DeletionDelete
	must(t, admin.Update(ctx, ms))
	must(t, admin.Delete(ctx, ms))
	gitops.Until(t, "the second controller removes the finalizer", func() (bool, string) {
		err := admin.Get(ctx, client.ObjectKeyFromObject(ms), ms)
		return client.IgnoreNotFound(err) == nil && err != nil, second.logged()
	})
	for _, p := range []*process{first, second} {
		if strings.Contains(p.logged(), "forbidden") {
			t.Errorf("the generated roles lack permissions:\n%s", p.logged())
		}
	}
}
