package apiserver_test

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
)

func TestClustersAreIsolatedAndUsersHaveOnlyTheirRights(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	fleet, err := apiserver.Start(ctx, apiserver.Options{Clusters: []string{"a", "b"}, CRDs: istio.CRDs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 {
			if err := fleet.Stop(); err != nil {
				t.Error(err)
			}
		}
	})

	a, b := connect(t, fleet.Cluster("a")), connect(t, fleet.Cluster("b"))
	gateway := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "Gateway",
		"metadata": map[string]any{"name": "only-in-a", "namespace": "default"}, "spec": map[string]any{},
	}}
	if err := a.Create(ctx, gateway); err != nil {
		t.Fatalf("creating a Gateway in a: %v", err)
	}
	if err := b.Get(ctx, client.ObjectKeyFromObject(gateway), gateway.DeepCopy()); !apierrors.IsNotFound(err) {
		t.Errorf("reading the Gateway of a in b: %v, want NotFound", err)
	}

	config, err := fleet.Cluster("a").AddUser(ctx, "reader", rbacv1.PolicyRule{
		APIGroups: []string{"networking.istio.io"}, Resources: []string{"gateways"}, Verbs: []string{"get"},
	})
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := fleet.Cluster("a").Kubeconfig(config)
	if err != nil {
		t.Fatal(err)
	}
	config, err = clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.Get(ctx, client.ObjectKeyFromObject(gateway), gateway); err != nil {
		t.Errorf("the reader cannot get: %v", err)
	}
	if err := reader.Delete(ctx, gateway); !apierrors.IsForbidden(err) {
		t.Errorf("the reader can delete: %v", err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "x"}}
	if err := reader.Create(ctx, namespace); !apierrors.IsForbidden(err) {
		t.Errorf("the reader can create namespaces: %v", err)
	}
}

func connect(t *testing.T, cluster *apiserver.Cluster) client.Client {
	t.Helper()
	connection, err := client.New(cluster.Config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return connection
}
