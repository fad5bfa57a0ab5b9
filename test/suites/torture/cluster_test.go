//go:build linux

package torture_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
	"github.com/isthmus-mesh/isthmus/test/support/relay"
)

const (
	// interval of a MeshSync. It is short to keep faults short.
	interval = 300 * time.Millisecond
	// foreignMark is a label and an annotation that users put on our objects. They must be kept.
	foreignMark = "torture.example.com/keep"
	secretName  = "mesh-repository"
)

// cluster is one of the three clusters with its controllers.
type cluster struct {
	name   string
	server *apiserver.Cluster
	admin  client.Client
	git    *repository
	hosts  *gitops.HostWatch
	// controllers has one controller, or two of which one is the leader.
	controllers []*controller
	// meshSync is the name of the MeshSync.
	meshSync string
	// foreign are the versions of objects of other owners, by key.
	foreign map[string]string
	// marked are the UIDs of our objects with foreignMark, by key.
	marked map[string]string
}

// install installs everything but the Deployment in an API server, and creates foreign objects.
func install(t *testing.T, server *apiserver.Cluster, git *repository) *cluster {
	t.Helper()
	c := &cluster{name: server.Name, server: server, git: git, meshSync: "mesh", foreign: map[string]string{}, marked: map[string]string{}}
	c.admin = connect(t, server.Config)
	must(t, gitops.Install(t.Context(), c.admin, root))
	for _, name := range []string{"cart", "a"} {
		must(t, c.admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))
	}
	c.createForeign(t)
	c.hosts = gitops.WatchHosts(t, server.Config)
	return c
}

func connect(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	connected, err := gitops.Connect(config)
	must(t, err)
	return connected
}

// createForeign creates an object of every kind, also in namespaces that the mesh uses.
func (c *cluster) createForeign(t *testing.T) {
	t.Helper()
	for _, kind := range istio.Kinds {
		for _, in := range []string{"cart", "a", "istio-system"} {
			object := foreignObject(kind, in, "foreign")
			must(t, c.admin.Create(t.Context(), object, client.FieldOwner("kubectl-create")))
			c.foreign[keyOf(object)] = gitops.Version(object)
		}
	}
}

// foreignObject returns an object that Isthmus does not own.
func foreignObject(kind istio.Kind, namespace, name string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{}}}
	object.SetGroupVersionKind(kind.GroupVersionKind)
	object.SetNamespace(namespace)
	object.SetName(name)
	host := name + "." + namespace + ".example.com"
	switch kind.Kind {
	case "Service":
		object.Object["spec"] = map[string]any{"ports": []any{map[string]any{"name": "http", "port": int64(80)}}}
	case "ServiceEntry":
		object.Object["spec"] = map[string]any{"hosts": []any{host}, "resolution": "NONE", "location": "MESH_EXTERNAL"}
	case "DestinationRule":
		object.Object["spec"] = map[string]any{"host": host}
	case "VirtualService":
		object.Object["spec"] = map[string]any{"hosts": []any{host}}
	}
	return object
}

// createMeshSync creates the MeshSync.
func (c *cluster) createMeshSync(t *testing.T) {
	t.Helper()
	percent := int32(100)
	c.retry(t, "the MeshSync is created", func(ctx context.Context) error {
		return c.admin.Create(ctx, &v1alpha1.MeshSync{
			ObjectMeta: metav1.ObjectMeta{Name: c.meshSync, Namespace: namespace},
			Spec: v1alpha1.MeshSyncSpec{
				Cluster: c.name,
				Source: v1alpha1.Source{
					URL: c.git.url(), Ref: &v1alpha1.Ref{Branch: "main"}, SecretRef: &meta.LocalObjectReference{Name: secretName},
				},
				Interval:      metav1.Duration{Duration: interval},
				RetryInterval: &metav1.Duration{Duration: interval},
				// Short, because some faults make requests hang.
				Timeout:      metav1.Duration{Duration: 10 * time.Second},
				RoutingDelay: &metav1.Duration{}, WithdrawAfter: &metav1.Duration{},
				Prune:          v1alpha1.Prune{MaxPercent: &percent},
				DeletionPolicy: v1alpha1.DeletionOrphan,
			},
		})
	})
}

// setPassword writes the Secret for the repository.
func (c *cluster) setPassword(t *testing.T, password string) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: secretName}}
	secret.StringData = map[string]string{"username": "mesh", "password": password, "ca.crt": string(relay.Certificate(c.git.front))}
	c.retry(t, "the Secret is written", func(ctx context.Context) error {
		err := c.admin.Create(ctx, secret.DeepCopy())
		if apierrors.IsAlreadyExists(err) {
			err = c.admin.Update(ctx, secret.DeepCopy())
		}
		return err
	})
}

// setDelays sets spec.routingDelay and spec.withdrawAfter.
func (c *cluster) setDelays(t *testing.T, routing, withdraw time.Duration) {
	t.Helper()
	c.retry(t, "the MeshSync is changed", func(ctx context.Context) error {
		ms, err := c.get(ctx)
		if err != nil {
			return err
		}
		before := ms.DeepCopy()
		ms.Spec.RoutingDelay, ms.Spec.WithdrawAfter = &metav1.Duration{Duration: routing}, &metav1.Duration{Duration: withdraw}
		return c.admin.Patch(ctx, ms, client.MergeFrom(before))
	})
}

func (c *cluster) get(ctx context.Context) (*v1alpha1.MeshSync, error) {
	ms := &v1alpha1.MeshSync{}
	return ms, c.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: c.meshSync}, ms)
}

// retry repeats a request that an API server may reject shortly after its restart.
func (c *cluster) retry(t *testing.T, what string, do func(context.Context) error) {
	t.Helper()
	until(t, "in "+c.name+" "+what, func() string {
		if err := do(t.Context()); err != nil {
			return err.Error()
		}
		return ""
	})
}

// until polls until wrong returns "". After the deadline it fails with the last text.
func until(t *testing.T, what string, wrong func() string) {
	t.Helper()
	var last string
	for end := time.Now().Add(deadline); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if last = wrong(); last == "" {
			return
		}
	}
	t.Fatalf("timed out after %s waiting until %s; last: %s", deadline, what, last)
}

// live returns all objects of the managed kinds by key.
func (c *cluster) live(ctx context.Context) (map[string]*unstructured.Unstructured, error) {
	return gitops.List(ctx, c.admin, nil)
}

// owned returns the live objects that are not foreign.
func (c *cluster) owned(ctx context.Context) (map[string]*unstructured.Unstructured, error) {
	live, err := c.live(ctx)
	maps.DeleteFunc(live, func(key string, _ *unstructured.Unstructured) bool { return c.foreign[key] != "" })
	return live, err
}

// wrong describes how the cluster differs from a commit, "" if it does not.
func (c *cluster) wrong(t *testing.T, commit string) string {
	t.Helper()
	ms, err := c.get(t.Context())
	if err != nil {
		return err.Error()
	}
	if !conditions.IsReady(ms) || !strings.HasSuffix(ms.Status.LastAppliedRevision, commit) || ms.Status.ObservedGeneration != ms.Generation {
		return "the status does not say that " + commit + " is applied: " + conditions.GetMessage(ms, meta.ReadyCondition)
	}
	if ms.Status.WithdrawingCount > 0 {
		return fmt.Sprintf("%d withdrawals are pending", ms.Status.WithdrawingCount)
	}
	live, err := c.live(t.Context())
	if err != nil {
		return err.Error()
	}
	return c.diff(live, c.git.exported(t, c.name), ms.Labels[v1alpha1.ApplySetIDLabel])
}

// diff describes how live objects differ from the export and the foreign objects.
func (c *cluster) diff(live, exported map[string]*unstructured.Unstructured, set string) string {
	var wrong []string
	for key, version := range c.foreign {
		if object := live[key]; object == nil {
			wrong = append(wrong, "the foreign object "+key+" is gone")
		} else if gitops.Version(object) != version {
			wrong = append(wrong, "the foreign object "+key+" was written")
		}
	}
	for key, uid := range c.marked {
		if object := live[key]; object == nil || string(object.GetUID()) != uid {
			// The object was deleted with its mark.
			delete(c.marked, key)
		} else if object.GetLabels()[foreignMark] == "" || object.GetAnnotations()[foreignMark] == "" {
			wrong = append(wrong, key+" lost a foreign label or annotation")
		}
	}
	for key, object := range live {
		switch {
		case c.foreign[key] != "":
		case exported[key] == nil:
			wrong = append(wrong, key+" is left over")
		case object.GetLabels()[partOf] != set || !gitops.Managed(object):
			wrong = append(wrong, fmt.Sprintf("%s lacks an ownership mark: labels %v, our field manager: %v", key, object.GetLabels(), gitops.Managed(object)))
		}
	}
	for key, want := range exported {
		if live[key] == nil {
			wrong = append(wrong, key+" is missing")
		} else if diff := cmp.Diff(contentOf(want), contentOf(live[key])); diff != "" {
			wrong = append(wrong, key+" differs, -want, +got:\n"+diff)
		}
	}
	slices.Sort(wrong)
	return strings.Join(wrong, "\n")
}

func contentOf(object *unstructured.Unstructured) gitops.Content {
	return gitops.ContentOf(object, foreignMark)
}

// versions returns the versions of all live objects. They change with every write.
func (c *cluster) versions(ctx context.Context) (map[string]string, error) {
	live, err := c.live(ctx)
	out := map[string]string{}
	for key, object := range live {
		out[key] = gitops.Version(object)
	}
	return out, err
}

// leader returns the controller that renewed its lease last.
func (c *cluster) leader() *controller {
	return slices.MaxFunc(c.controllers, func(a, b *controller) int { return int(a.relay.leased.Load() - b.relay.leased.Load()) })
}

// setTreatment sets the treatment in the relays of all controllers.
func (c *cluster) setTreatment(treat func(request) treatment) {
	for _, k := range c.controllers {
		k.relay.set(treat)
	}
}

// closeConnections closes all connections of all controllers, also watches.
func (c *cluster) closeConnections() {
	for _, k := range c.controllers {
		k.relay.CloseClientConnections()
	}
}

// describe returns the status and the ends of the logs.
func (c *cluster) describe() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	ms, err := c.get(ctx)
	out := fmt.Sprintf("MeshSync %s of %s (%v):%s\n", c.meshSync, c.name, err, gitops.Describe(ms))
	for _, k := range c.controllers {
		out += fmt.Sprintf("end of the log of %s:\n%s\n", k.name, k.tail())
	}
	return out
}
