package gitops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/testcluster"
	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
)

// Start starts API servers with the CRDs of Istio and MeshSync.
func Start(ctx context.Context, options apiserver.Options) (*apiserver.Fleet, error) {
	own, err := testcluster.MeshSyncCRD()
	if err != nil {
		return nil, err
	}
	options.CRDs = append(istio.CRDs(), own)
	return apiserver.Start(ctx, options)
}

// Connect creates a client for MeshSyncs and for the kinds of Kubernetes that tests use.
func Connect(config *rest.Config) (client.WithWatch, error) {
	scheme := runtime.NewScheme()
	err := errors.Join(corev1.AddToScheme(scheme), rbacv1.AddToScheme(scheme), coordinationv1.AddToScheme(scheme), authenticationv1.AddToScheme(scheme),
		authorizationv1.AddToScheme(scheme), apiextensionsv1.AddToScheme(scheme), admissionv1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme))
	if err != nil {
		return nil, err
	}
	return client.NewWithWatch(config, client.Options{Scheme: scheme})
}

// Namespaces creates the namespaces of Isthmus and Istio, unless they exist.
func Namespaces(ctx context.Context, admin client.Client) error {
	for _, name := range []string{Namespace, "istio-system"} {
		err := admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
		if client.IgnoreAlreadyExists(err) != nil {
			return err
		}
	}
	return nil
}

// Install creates the namespaces and applies the files of config/ that an installation applies
// before the Deployment.
func Install(ctx context.Context, admin client.Client, checkout string) error {
	if err := Namespaces(ctx, admin); err != nil {
		return err
	}
	for _, file := range []string{"manager/namespace.yaml", "rbac/service_account.yaml", "rbac/role.yaml", "rbac/role_binding.yaml"} {
		if err := Apply(ctx, admin, filepath.Join(checkout, "config", file)); err != nil {
			return err
		}
	}
	return nil
}

// Token returns a token of the controller's ServiceAccount, as a pod gets it.
func Token(ctx context.Context, admin client.Client) (string, error) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: "isthmus-controller"}}
	request := &authenticationv1.TokenRequest{}
	err := admin.SubResource("token").Create(ctx, account, request)
	return request.Status.Token, err
}

// Apply creates or replaces all objects of a YAML file.
func Apply(ctx context.Context, admin client.Client, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(object); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("%s: %w", file, err)
		}
		if len(object.Object) == 0 {
			continue
		}
		err := admin.Create(ctx, object.DeepCopy())
		if apierrors.IsAlreadyExists(err) {
			err = admin.Update(ctx, object)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
}
