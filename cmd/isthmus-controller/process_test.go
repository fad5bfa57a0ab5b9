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

	"github.com/fluxcd/pkg/gittestserver"
	"github.com/fluxcd/pkg/runtime/conditions"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/test/apiserver"
)

const (
	deadline  = time.Minute
	namespace = "isthmus-system"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func until(t *testing.T, what string, ok func() (bool, string)) {
	t.Helper()
	var last string
	for end := time.Now().Add(deadline); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var is bool
		if is, last = ok(); is {
			return
		}
	}
	t.Fatalf("waited %s in vain until %s; last: %s", deadline, what, last)
}

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
		// Short, so that a lease which is not given back shows as a test that fails and not as one that is slow.
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
	answer, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(body)
}

// TestTwoControllersWithTheGeneratedRoles runs the real command twice, with the rights of config/rbac/role.yaml and no others.
func TestTwoControllersWithTheGeneratedRoles(t *testing.T) {
	ctx := context.Background()
	own, err := apiserver.OwnCRD()
	must(t, err)
	fleet, err := apiserver.Start(ctx, apiserver.Options{CRDs: append(istio.CRDs(), own)})
	must(t, err)
	t.Cleanup(func() { must(t, fleet.Stop()) })
	cluster := fleet.Clusters()[0]
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, rbacv1.AddToScheme, coordinationv1.AddToScheme, v1alpha1.AddToScheme} {
		must(t, add(scheme))
	}
	admin, err := client.New(cluster.Config, client.Options{Scheme: scheme})
	must(t, err)
	for _, name := range []string{namespace, "istio-system"} {
		must(t, admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))
	}
	kubeconfig := controllerUser(t, cluster, admin)

	git, err := gittestserver.NewTempGitServer()
	must(t, err)
	must(t, git.InitRepo("../../examples/quickstart", "main", "mesh.git"))
	must(t, git.StartHTTP())
	t.Cleanup(git.StopHTTP)

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
	until(t, "the first controller holds the lease", func() (bool, string) { return holder() != "", first.logged() })
	firstHolder := holder()
	second := start(t, binary, kubeconfig)

	ms := &v1alpha1.MeshSync{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "mesh"},
		Spec:       v1alpha1.MeshSyncSpec{Cluster: "east", Source: v1alpha1.Source{URL: git.HTTPAddress() + "/mesh.git"}},
	}
	must(t, admin.Create(ctx, ms))
	until(t, "the MeshSync is ready", func() (bool, string) {
		must(t, admin.Get(ctx, client.ObjectKeyFromObject(ms), ms))
		return conditions.IsReady(ms), fmt.Sprintf("%+v", ms.Status)
	})
	for _, p := range []*process{first, second} {
		for _, probe := range []string{"/healthz", "/readyz"} {
			until(t, probe+" answers 200, on the standby, too", func() (bool, string) {
				status, body := read("http://" + p.health + probe)
				return status == http.StatusOK, fmt.Sprint(status, body)
			})
		}
	}
	until(t, "the metrics tell of the revision and the version", func() (bool, string) {
		_, body := read("http://" + first.metrics + "/metrics")
		return strings.Contains(body, `isthmus_applied_revision_info{cluster="east",name="mesh",namespace="isthmus-system",revision="`+ms.Status.LastAppliedRevision+`"} 1`) &&
			strings.Contains(body, `isthmus_build_info{version="v0.0.0-test"} 1`), body
	})
	until(t, "an event tells of the revision", func() (bool, string) {
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
	until(t, "the second controller holds the lease", func() (bool, string) { return holder() != firstHolder && holder() != "", holder() })
	// Well below the lease duration of 50 s, which is how long it takes if the lease is not given back.
	if took := time.Since(stopped); took > 25*time.Second {
		t.Errorf("the lease was taken over after %s: it was not given back", took)
	}
	if err := first.Wait(); err != nil {
		t.Errorf("a controller that was asked to stop ended with %v", err)
	}
	ms.Spec.DeletionPolicy = v1alpha1.DeletionDelete
	must(t, admin.Update(ctx, ms))
	must(t, admin.Delete(ctx, ms))
	until(t, "the second controller lets the MeshSync go", func() (bool, string) {
		err := admin.Get(ctx, client.ObjectKeyFromObject(ms), ms)
		return client.IgnoreNotFound(err) == nil && err != nil, second.logged()
	})
	for _, p := range []*process{first, second} {
		if strings.Contains(p.logged(), "forbidden") {
			t.Errorf("the generated roles do not suffice:\n%s", p.logged())
		}
	}
}

// controllerUser writes a kubeconfig of a user with exactly the generated roles.
func controllerUser(t *testing.T, cluster *apiserver.Cluster, admin client.Client) string {
	t.Helper()
	text, err := os.ReadFile("../../config/rbac/role.yaml")
	must(t, err)
	path := ""
	for _, document := range strings.Split(string(text), "\n---\n") {
		switch {
		case strings.Contains(document, "kind: ClusterRole\n"):
			role := &rbacv1.ClusterRole{}
			must(t, yaml.UnmarshalStrict([]byte(document), role))
			config, err := cluster.AddUser(t.Context(), "controller", role.Rules...)
			must(t, err)
			data, err := cluster.Kubeconfig(config)
			must(t, err)
			path = filepath.Join(t.TempDir(), "kubeconfig")
			must(t, os.WriteFile(path, data, 0o600))
		case strings.Contains(document, "kind: Role\n"):
			role := &rbacv1.Role{}
			must(t, yaml.UnmarshalStrict([]byte(document), role))
			must(t, admin.Create(t.Context(), role))
			must(t, admin.Create(t.Context(), &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: role.Name, Namespace: role.Namespace},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
				Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "controller"}},
			}))
		}
	}
	return path
}
