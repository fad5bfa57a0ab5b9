//go:build linux

package torture_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

const (
	// The marks, as the specification of ApplySets and the documentation of Isthmus name them; not taken from the code under test.
	partOf  = "applyset.kubernetes.io/part-of"
	manager = "isthmus-controller"
	// interval of a MeshSync: short, so that faults are.
	interval = 300 * time.Millisecond
	// foreignMark is the label and the annotation that editors leave on our objects, and that must stay.
	foreignMark = "torture.example.com/keep"
	secretName  = "mesh-repository"
)

// cluster is one of the three, with the controllers that keep it.
type cluster struct {
	name   string
	server *apiserver.Cluster
	admin  client.Client
	git    *repository
	hosts  *hosts
	// controllers are one, or two of which one leads.
	controllers []*controller
	// sync is the name of the MeshSync.
	sync string
	// foreign are the objects of somebody else, by key, with what tells whether anybody wrote them.
	foreign map[string]string
	// marked are our objects that an editor has put its own mark on, by key, with their uids.
	marked map[string]string
}

// install makes a cluster of an API server, with what an installation with kustomize makes before the Deployment, and with foreign objects.
func install(t *testing.T, server *apiserver.Cluster, git *repository) *cluster {
	t.Helper()
	c := &cluster{name: server.Name, server: server, git: git, sync: "mesh", foreign: map[string]string{}, marked: map[string]string{}}
	c.admin = connect(t, server.Config)
	must(t, gitops.Install(t.Context(), c.admin, root))
	for _, name := range []string{"cart", "a"} {
		must(t, c.admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))
	}
	c.settle(t)
	c.hosts = watchHosts(t, server)
	return c
}

func connect(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	made, err := gitops.Connect(config)
	must(t, err)
	return made
}

// settle plants one object of every kind, in namespaces that the mesh uses, too.
func (c *cluster) settle(t *testing.T) {
	t.Helper()
	for _, kind := range istio.Kinds {
		for _, in := range []string{"cart", "a", "istio-system"} {
			object := stranger(kind, in, "foreign")
			must(t, c.admin.Create(t.Context(), object, client.FieldOwner("kubectl-create")))
			c.foreign[keyOf(object)] = versionOf(object)
		}
	}
}

// stranger is an object that Isthmus has nothing to do with.
func stranger(kind istio.Kind, namespace, name string) *unstructured.Unstructured {
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

// token is one of the controller's ServiceAccount, as a pod gets it.
func (c *cluster) token(t *testing.T) string {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "isthmus-controller"}}
	request := &authenticationv1.TokenRequest{}
	must(t, c.admin.SubResource("token").Create(t.Context(), account, request))
	return request.Status.Token
}

// follow makes the MeshSync.
func (c *cluster) follow(t *testing.T) {
	t.Helper()
	percent := int32(100)
	c.retry(t, "the MeshSync is made", func(ctx context.Context) error {
		return c.admin.Create(ctx, &v1alpha1.MeshSync{
			ObjectMeta: metav1.ObjectMeta{Name: c.sync, Namespace: namespace},
			Spec: v1alpha1.MeshSyncSpec{
				Cluster: c.name,
				Source: v1alpha1.Source{
					URL: c.git.url(), Ref: &v1alpha1.Ref{Branch: "main"}, SecretRef: &meta.LocalObjectReference{Name: secretName},
				},
				Interval:      metav1.Duration{Duration: interval},
				RetryInterval: &metav1.Duration{Duration: interval},
				// What hangs is given up soon.
				Timeout:      metav1.Duration{Duration: 10 * time.Second},
				RoutingDelay: &metav1.Duration{}, WithdrawAfter: &metav1.Duration{},
				Prune:          v1alpha1.Prune{MaxPercent: &percent},
				DeletionPolicy: v1alpha1.DeletionOrphan,
			},
		})
	})
}

// letIn writes the password of the repository down for the controllers.
func (c *cluster) letIn(t *testing.T, password string) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: secretName}}
	secret.StringData = map[string]string{"username": "mesh", "password": password, "ca.crt": string(authorityOf(c.git.front))}
	c.retry(t, "the Secret is written", func(ctx context.Context) error {
		err := c.admin.Create(ctx, secret.DeepCopy())
		if apierrors.IsAlreadyExists(err) {
			err = c.admin.Update(ctx, secret.DeepCopy())
		}
		return err
	})
}

// change changes the MeshSync.
func (c *cluster) change(t *testing.T, f func(*v1alpha1.MeshSync)) {
	t.Helper()
	c.retry(t, "the MeshSync is changed", func(ctx context.Context) error {
		ms, err := c.get(ctx)
		if err != nil {
			return err
		}
		before := ms.DeepCopy()
		f(ms)
		return c.admin.Patch(ctx, ms, client.MergeFrom(before))
	})
}

func (c *cluster) get(ctx context.Context) (*v1alpha1.MeshSync, error) {
	ms := &v1alpha1.MeshSync{}
	return ms, c.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: c.sync}, ms)
}

// retry does something that an API server which has just come back may refuse once.
func (c *cluster) retry(t *testing.T, what string, do func(context.Context) error) {
	t.Helper()
	until(t, "in "+c.name+" "+what, func() string {
		if err := do(t.Context()); err != nil {
			return err.Error()
		}
		return ""
	})
}

// until polls until nothing is wrong any more, and fails with what last was.
func until(t *testing.T, what string, wrong func() string) {
	t.Helper()
	var last string
	for end := time.Now().Add(deadline); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if last = wrong(); last == "" {
			return
		}
	}
	t.Fatalf("waited %s in vain until %s; last: %s", deadline, what, last)
}

// live are all objects of the managed kinds, whoever made them, but for the one Service that an API server makes itself.
func (c *cluster) live(ctx context.Context) (map[string]*unstructured.Unstructured, error) {
	out := map[string]*unstructured.Unstructured{}
	for _, kind := range istio.Kinds {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind.GroupVersionKind)
		if err := c.admin.List(ctx, list); err != nil {
			return nil, err
		}
		for i := range list.Items {
			out[keyOf(&list.Items[i])] = &list.Items[i]
		}
	}
	delete(out, "Service/default/kubernetes")
	return out, nil
}

// ours are the live objects that are not foreign.
func (c *cluster) ours(ctx context.Context) (map[string]*unstructured.Unstructured, error) {
	live, err := c.live(ctx)
	maps.DeleteFunc(live, func(key string, _ *unstructured.Unstructured) bool { return c.foreign[key] != "" })
	return live, err
}

func keyOf(object *unstructured.Unstructured) string {
	return object.GetKind() + "/" + object.GetNamespace() + "/" + object.GetName()
}

// versionOf is another one after any write.
func versionOf(object *unstructured.Unstructured) string {
	return string(object.GetUID()) + " " + object.GetResourceVersion()
}

// wrong says what of the cluster is not as it must be at this commit, "" if everything is.
func (c *cluster) wrong(t *testing.T, commit string) string {
	t.Helper()
	ms, err := c.get(t.Context())
	if err != nil {
		return err.Error()
	}
	if !conditions.IsReady(ms) || !strings.HasSuffix(ms.Status.LastAppliedRevision, commit) || ms.Status.ObservedGeneration != ms.Generation {
		return "the MeshSync does not say that " + commit + " is applied: " + conditions.GetMessage(ms, meta.ReadyCondition)
	}
	if ms.Status.WithdrawingCount > 0 {
		return fmt.Sprintf("%d objects still stay until others know that they go", ms.Status.WithdrawingCount)
	}
	live, err := c.live(t.Context())
	if err != nil {
		return err.Error()
	}
	return c.differs(live, c.git.exported(t, c.name), ms.Labels[v1alpha1.ApplySetIDLabel])
}

// differs says how the live objects differ from what they must be.
func (c *cluster) differs(live, exported map[string]*unstructured.Unstructured, set string) string {
	var wrong []string
	for key, version := range c.foreign {
		if object := live[key]; object == nil {
			wrong = append(wrong, key+" is somebody else's and gone")
		} else if versionOf(object) != version {
			wrong = append(wrong, key+" is somebody else's and was written")
		}
	}
	for key, uid := range c.marked {
		if object := live[key]; object == nil || string(object.GetUID()) != uid {
			// It was deleted meanwhile, and the mark with it.
			delete(c.marked, key)
		} else if object.GetLabels()[foreignMark] == "" || object.GetAnnotations()[foreignMark] == "" {
			wrong = append(wrong, key+" lost the label or annotation of somebody else")
		}
	}
	for key, object := range live {
		switch {
		case c.foreign[key] != "":
		case exported[key] == nil:
			wrong = append(wrong, key+" is left over")
		case object.GetLabels()[partOf] != set || !managed(object):
			wrong = append(wrong, fmt.Sprintf("%s lacks a mark: %v, written by us: %v", key, object.GetLabels(), managed(object)))
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

func managed(object *unstructured.Unstructured) bool {
	return slices.ContainsFunc(object.GetManagedFields(), func(entry metav1.ManagedFieldsEntry) bool { return entry.Manager == manager })
}

// content is what is compared of an object: all that the repository says, without the marks.
type content struct {
	APIVersion  string
	Labels      map[string]string
	Annotations map[string]string
	Spec        any
}

func contentOf(object *unstructured.Unstructured) content {
	c := content{APIVersion: object.GetAPIVersion(), Labels: map[string]string{}, Annotations: map[string]string{}}
	maps.Copy(c.Labels, object.GetLabels())
	maps.Copy(c.Annotations, object.GetAnnotations())
	delete(c.Labels, partOf)
	delete(c.Labels, foreignMark)
	delete(c.Annotations, foreignMark)
	spec := object.Object["spec"]
	if object.GetKind() == "Service" {
		// The API server gives it addresses and much else; what it is called by is its ports and pods.
		var service corev1.ServiceSpec
		_ = runtime.DefaultUnstructuredConverter.FromUnstructured(spec.(map[string]any), &service)
		ports := map[string]int32{}
		for _, port := range service.Ports {
			ports[port.Name] = port.Port
		}
		spec = map[string]any{"ports": ports, "selector": service.Selector}
	}
	// Through JSON, so that a number is the same number whoever read it.
	text, err := json.Marshal(spec)
	if err == nil {
		err = json.Unmarshal(text, &c.Spec)
	}
	if err != nil {
		c.Spec = err.Error()
	}
	return c
}

// versions are equal if nobody wrote anything.
func (c *cluster) versions(ctx context.Context) (map[string]string, error) {
	live, err := c.live(ctx)
	out := map[string]string{}
	for key, object := range live {
		out[key] = versionOf(object)
	}
	return out, err
}

// leader is the controller whose lease was renewed last; the only one leads always.
func (c *cluster) leader() *controller {
	return slices.MaxFunc(c.controllers, func(a, b *controller) int { return int(a.relay.leased.Load() - b.relay.leased.Load()) })
}

// each does something to the relays of all controllers.
func (c *cluster) each(do func(*controller)) {
	for _, k := range c.controllers {
		do(k)
	}
}

// describe is what a person needs to find out why.
func (c *cluster) describe() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	ms, err := c.get(ctx)
	text, _ := yaml.Marshal(ms.Status)
	out := fmt.Sprintf("MeshSync %s of %s (%v):\n%s\n", c.sync, c.name, err, text)
	for _, k := range c.controllers {
		out += fmt.Sprintf("the end of the log of %s:\n%s\n", k.name, k.tail())
	}
	return out
}

// timing sets how long what newly leads elsewhere waits, and what leaves the repository stays.
func (c *cluster) timing(t *testing.T, settle, withdraw time.Duration) {
	t.Helper()
	c.change(t, func(ms *v1alpha1.MeshSync) {
		ms.Spec.RoutingDelay, ms.Spec.WithdrawAfter = &metav1.Duration{Duration: settle}, &metav1.Duration{Duration: withdraw}
	})
}
