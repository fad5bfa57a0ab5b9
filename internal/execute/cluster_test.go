package execute

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/merge"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
	"github.com/isthmus-mesh/isthmus/test/support/plantest"
)

// deadline bounds every wait in these tests; the machine may be busy.
const deadline = 60 * time.Second

var servers struct {
	once  sync.Once
	fleet *apiserver.Fleet
	err   error
}

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	code := m.Run()
	if servers.fleet != nil {
		if err := servers.fleet.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// server starts two API servers when the first test needs one: "full" has all CRDs, "bare" has none.
func server(t *testing.T, name string) *apiserver.Cluster {
	t.Helper()
	servers.once.Do(func() {
		servers.fleet, servers.err = apiserver.Start(context.Background(), apiserver.Options{Clusters: []string{"full", "bare"}})
		if servers.err == nil {
			servers.err = servers.fleet.Cluster("full").Install(istio.CRDs())
		}
	})
	if servers.err != nil {
		t.Fatal(servers.err)
	}
	return servers.fleet.Cluster(name)
}

// cluster is an empty API server, and a controller's view of it.
type testCluster struct {
	t      *testing.T
	config *rest.Config
	admin  dynamic.Interface
	owner  ownership.Owner
}

func newCluster(t *testing.T) *testCluster {
	t.Helper()
	c := &testCluster{t: t, config: server(t, "full").Config, owner: plantest.Owner}
	c.admin = c.connect(c.config)
	for _, name := range []string{"shop", "pay"} {
		c.namespace(name, nil)
	}
	c.clear()
	return c
}

func (c *testCluster) connect(config *rest.Config) dynamic.Interface {
	c.t.Helper()
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		c.t.Fatal(err)
	}
	return client
}

func (c *testCluster) namespace(name string, labels map[string]string) {
	c.t.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name}}}
	object.SetLabels(labels)
	_, err := c.admin.Resource(clustercache.NamespaceResource).Create(c.t.Context(), object, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		c.t.Fatal(err)
	}
}

// clear removes what an earlier test left.
func (c *testCluster) clear() {
	c.t.Helper()
	for _, object := range c.all() {
		if len(object.GetFinalizers()) > 0 {
			c.patch(object, `{"metadata":{"finalizers":null}}`)
		}
		err := c.of(object).Delete(c.t.Context(), object.GetName(), metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			c.t.Fatal(err)
		}
	}
}

// all reads every object of the managed kinds from the API server itself, but for the one Service that it always makes.
func (c *testCluster) all() map[render.Key]*unstructured.Unstructured {
	c.t.Helper()
	objects := map[render.Key]*unstructured.Unstructured{}
	for _, kind := range istio.Kinds {
		list, err := c.admin.Resource(kind.GroupVersion().WithResource(kind.Resource)).List(context.Background(), metav1.ListOptions{})
		if err != nil {
			c.t.Fatal(err)
		}
		for _, object := range list.Items {
			objects[render.KeyOf(&object)] = &object
		}
	}
	delete(objects, render.Key{Kind: "Service", Namespace: "default", Name: "kubernetes"})
	return objects
}

func (c *testCluster) of(object *unstructured.Unstructured) dynamic.ResourceInterface {
	return c.admin.Resource(resourceOf(object.GroupVersionKind())).Namespace(object.GetNamespace())
}

func (c *testCluster) get(object *unstructured.Unstructured) *unstructured.Unstructured {
	c.t.Helper()
	live, err := c.of(object).Get(c.t.Context(), object.GetName(), metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return live
}

func (c *testCluster) exists(object *unstructured.Unstructured) bool {
	c.t.Helper()
	_, err := c.of(object).Get(c.t.Context(), object.GetName(), metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		c.t.Fatal(err)
	}
	return err == nil
}

// make creates an object as somebody else.
func (c *testCluster) make(object *unstructured.Unstructured, manager string) *unstructured.Unstructured {
	c.t.Helper()
	made, err := c.of(object).Create(c.t.Context(), object.DeepCopy(), metav1.CreateOptions{FieldManager: manager})
	if err != nil {
		c.t.Fatal(err)
	}
	return made
}

// patch edits an object as a person.
func (c *testCluster) patch(object *unstructured.Unstructured, patch string) *unstructured.Unstructured {
	c.t.Helper()
	edited, err := c.of(object).Patch(context.Background(), object.GetName(), types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "kubectl-edit"})
	if err != nil {
		c.t.Fatal(err)
	}
	return edited
}

func (c *testCluster) remove(object *unstructured.Unstructured) {
	c.t.Helper()
	if err := c.of(object).Delete(c.t.Context(), object.GetName(), metav1.DeleteOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

// equal fails the test unless the cluster has exactly the bundle, and nothing else that is marked.
func (c *testCluster) equal(bundle *render.Bundle) {
	c.t.Helper()
	objects := c.all()
	for _, resource := range bundle.Resources {
		live, ok := objects[resource.Key]
		if !ok {
			c.t.Errorf("%s is missing", resource.Key)
			continue
		}
		if fields := merge.Differences(resource.Object(), live, c.owner.ID); len(fields) > 0 {
			c.t.Errorf("%s differs in %v", resource.Key, fields)
		}
		if c.owner.Ownership(live) != ownership.Owned {
			c.t.Errorf("%s lacks a mark: labels %v, managers %v", resource.Key, live.GetLabels(), managers(live))
		}
		delete(objects, resource.Key)
	}
	for key, object := range objects {
		if c.owner.Ownership(object) != ownership.Foreign {
			c.t.Errorf("%s is left over", key)
		}
	}
}

func managers(object *unstructured.Unstructured) []string {
	var names []string
	for _, entry := range object.GetManagedFields() {
		names = append(names, entry.Manager+"/"+string(entry.Operation))
	}
	return names
}
