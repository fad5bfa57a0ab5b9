package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/testcluster"
)

const (
	namespace = "isthmus-system"
	syncName  = "mesh"
	user      = "isthmus-controller"
	// interval at which a controller looks for commits that are not announced, such as those that a
	// user pushes with --keep.
	interval = 10 * time.Second
	// stopGrace is the time that a controller has to end its run and release its lease.
	stopGrace = 20 * time.Second
)

// objects are the resources of a cluster by "Kind/namespace/name".
type objects map[string]*unstructured.Unstructured

// cluster is one API server and its controller.
type cluster struct {
	name string
	// admin checks and edits the cluster. The controller has an account of its own, with fewer
	// rights.
	admin      client.Client
	server     *testcluster.Cluster
	kubeconfig string
	controller *testcluster.Process
}

// prepare creates the namespaces that an installation expects, and writes the administrator's
// kubeconfig to dir.
func prepare(ctx context.Context, server *testcluster.Cluster, dir string) (*cluster, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	admin, err := client.New(server.Config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to cluster %s: %w", server.Name, err)
	}
	c := &cluster{name: server.Name, admin: admin, server: server, kubeconfig: filepath.Join(dir, server.Name+".kubeconfig")}
	// Istio is installed before Isthmus. Its namespace holds the Gateway of the cluster.
	for _, name := range []string{"istio-system", namespace} {
		if err := admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			return nil, fmt.Errorf("creating namespace %s in cluster %s: %w", name, c.name, err)
		}
	}
	if err := c.writeKubeconfig(c.kubeconfig, server.Config); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *cluster) writeKubeconfig(path string, config *rest.Config) error {
	text, err := c.server.Kubeconfig(config)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// run starts the controller with exactly the rights of config/rbac.
func (c *cluster) run(ctx context.Context, program, dir string) error {
	config, err := c.server.AddController(ctx, user)
	if err != nil {
		return err
	}
	kubeconfig := filepath.Join(dir, c.name+"-controller.kubeconfig")
	if err := c.writeKubeconfig(kubeconfig, config); err != nil {
		return err
	}
	c.controller, err = testcluster.StartProcess(program,
		// No ports: three controllers share this machine, and the default ports may be in use.
		[]string{"--kubeconfig=" + kubeconfig, "--namespace=" + namespace, "--metrics-addr=0", "--health-addr=0"},
		[]string{"HOME=" + dir}, filepath.Join(dir, c.name+"-controller.log"))
	return err
}

// follow creates the MeshSync, which names the repository and the cluster in its inventory.
func (c *cluster) follow(ctx context.Context, url string) error {
	err := c.admin.Create(ctx, &v1alpha1.MeshSync{
		ObjectMeta: metav1.ObjectMeta{Name: syncName, Namespace: namespace},
		Spec: v1alpha1.MeshSyncSpec{
			Cluster:  c.name,
			Source:   v1alpha1.Source{URL: url, Ref: &v1alpha1.Ref{Branch: branch}},
			Interval: metav1.Duration{Duration: interval},
			// The demo does not wait an hour for removals, and announces each commit to all
			// clusters at once.
			RoutingDelay: &metav1.Duration{}, WithdrawAfter: &metav1.Duration{},
		},
	})
	if err != nil {
		return fmt.Errorf("creating MeshSync %s/%s in cluster %s: %w", namespace, syncName, c.name, err)
	}
	return nil
}

// announce requests a reconciliation, as a webhook of the Git host would.
func (c *cluster) announce(ctx context.Context) error {
	sync, err := c.sync(ctx)
	if err != nil {
		return err
	}
	before := sync.DeepCopy()
	metav1.SetMetaDataAnnotation(&sync.ObjectMeta, meta.ReconcileRequestAnnotation, time.Now().Format(time.RFC3339Nano))
	if err := c.admin.Patch(ctx, sync, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("annotating MeshSync %s/%s in cluster %s: %w", namespace, syncName, c.name, err)
	}
	return nil
}

// sync reads the MeshSync of the cluster.
func (c *cluster) sync(ctx context.Context) (*v1alpha1.MeshSync, error) {
	sync := &v1alpha1.MeshSync{}
	if err := c.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: syncName}, sync); err != nil {
		return nil, fmt.Errorf("reading MeshSync %s/%s of cluster %s: %w", namespace, syncName, c.name, err)
	}
	return sync, nil
}

// ready returns the condition Ready, empty if there is none yet.
func ready(sync *v1alpha1.MeshSync) metav1.Condition {
	if condition := apimeta.FindStatusCondition(sync.Status.Conditions, meta.ReadyCondition); condition != nil {
		return *condition
	}
	return metav1.Condition{}
}

// isReady follows kstatus: an object that is reconciling or stalled is not ready.
func isReady(sync *v1alpha1.MeshSync) bool {
	conditions := sync.Status.Conditions
	return apimeta.IsStatusConditionTrue(conditions, meta.ReadyCondition) &&
		!apimeta.IsStatusConditionTrue(conditions, meta.ReconcilingCondition) && !apimeta.IsStatusConditionTrue(conditions, meta.StalledCondition)
}

// live reads all objects of the managed kinds from the API server. It leaves out the Service of the
// API server itself.
func (c *cluster) live(ctx context.Context) (objects, error) {
	lists := make([]unstructured.UnstructuredList, len(istio.Kinds))
	group, ctx := errgroup.WithContext(ctx)
	for i, kind := range istio.Kinds {
		// In parallel: an API server takes a second for the first request of each custom kind.
		group.Go(func() error {
			lists[i].SetGroupVersionKind(kind.GroupVersionKind)
			if err := c.admin.List(ctx, &lists[i]); err != nil {
				return fmt.Errorf("listing the %s of cluster %s: %w", kind.Resource, c.name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	live := objects{}
	for _, list := range lists {
		for i := range list.Items {
			o := &list.Items[i]
			o.SetManagedFields(nil)
			live[render.Key{Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName()}.String()] = o
		}
	}
	delete(live, render.Key{Kind: "Service", Namespace: metav1.NamespaceDefault, Name: "kubernetes"}.String())
	return live, nil
}

// applySetID is the value of the label applyset.kubernetes.io/part-of on every object.
func applySetID() string {
	return ownership.ApplySetID(syncName, namespace, v1alpha1.MeshSyncKind, v1alpha1.GroupVersion.Group)
}
