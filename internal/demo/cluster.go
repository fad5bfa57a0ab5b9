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
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
)

const (
	namespace = "isthmus-system"
	syncName  = "mesh"
	// interval is how soon a commit is seen that nobody announces, such as those that a person makes after --keep.
	interval = 10 * time.Second
)

// objects are the resources of a cluster by "Kind/namespace/name".
type objects map[string]*unstructured.Unstructured

// cluster is one API server and the controller that keeps it.
type cluster struct {
	name string
	// admin reads and edits as a person would; the controller has its own, lesser rights.
	admin      client.Client
	server     *apiserver.Cluster
	kubeconfig string
	controller *process
}

// prepare makes of an API server a cluster that a controller can be installed in, and writes both kubeconfigs below dir.
func prepare(ctx context.Context, server *apiserver.Cluster, dir string) (*cluster, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, rbacv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	admin, err := client.New(server.Config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to cluster %s: %w", server.Name, err)
	}
	c := &cluster{name: server.Name, admin: admin, server: server, kubeconfig: filepath.Join(dir, server.Name+".kubeconfig")}
	// Istio's own namespace is there before Isthmus comes; its Gateway lies in it.
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

// run starts the cluster's controller, with the rights of config/rbac and no others.
func (c *cluster) run(ctx context.Context, program, dir string) error {
	user, err := c.controllerUser(ctx)
	if err != nil {
		return err
	}
	kubeconfig := filepath.Join(dir, c.name+"-controller.kubeconfig")
	if err := c.writeKubeconfig(kubeconfig, user); err != nil {
		return err
	}
	c.controller, err = startProcess(program,
		// No ports: three controllers share this machine, and their defaults may be taken.
		[]string{"--kubeconfig=" + kubeconfig, "--namespace=" + namespace, "--metrics-addr=0", "--health-addr=0"},
		[]string{"HOME=" + dir}, filepath.Join(dir, c.name+"-controller.log"))
	return err
}

// follow tells the controller which repository to follow, and as which cluster of its inventory.
func (c *cluster) follow(ctx context.Context, url string) error {
	err := c.admin.Create(ctx, &v1alpha1.MeshSync{
		ObjectMeta: metav1.ObjectMeta{Name: syncName, Namespace: namespace},
		Spec: v1alpha1.MeshSyncSpec{
			Cluster:  c.name,
			Source:   v1alpha1.Source{URL: url, Ref: &v1alpha1.Ref{Branch: branch}},
			Interval: metav1.Duration{Duration: interval},
			// Nobody waits an hour to see what goes, and the clusters are told of a commit at the same moment.
			RoutingDelay: &metav1.Duration{}, WithdrawAfter: &metav1.Duration{},
		},
	})
	if err != nil {
		return fmt.Errorf("creating MeshSync %s/%s in cluster %s: %w", namespace, syncName, c.name, err)
	}
	return nil
}

// announce tells the controller that there is a new commit, as a webhook of the Git host would.
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

// sync is the cluster's MeshSync.
func (c *cluster) sync(ctx context.Context) (*v1alpha1.MeshSync, error) {
	sync := &v1alpha1.MeshSync{}
	if err := c.admin.Get(ctx, client.ObjectKey{Namespace: namespace, Name: syncName}, sync); err != nil {
		return nil, fmt.Errorf("reading MeshSync %s/%s of cluster %s: %w", namespace, syncName, c.name, err)
	}
	return sync, nil
}

// live reads all objects of all managed kinds from the API server, whoever made them, but for the one Service that it makes itself.
func (c *cluster) live(ctx context.Context) (objects, error) {
	lists := make([]unstructured.UnstructuredList, len(istio.Kinds))
	group, ctx := errgroup.WithContext(ctx)
	for i, kind := range istio.Kinds {
		// All at once: an API server takes a second for the first request of each custom kind.
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
			// Who wrote what is of no interest here.
			o.SetManagedFields(nil)
			live[render.Key{Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName()}.String()] = o
		}
	}
	delete(live, render.Key{Kind: "Service", Namespace: metav1.NamespaceDefault, Name: "kubernetes"}.String())
	return live, nil
}

// applySetID is what every object of the cluster must be labelled with.
func applySetID() string {
	return ownership.ApplySetID(syncName, namespace, v1alpha1.MeshSyncKind, v1alpha1.GroupVersion.Group)
}
