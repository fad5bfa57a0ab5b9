package testcluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/config"
)

// MeshSyncCRD returns the CRD that an installation of Isthmus creates.
func MeshSyncCRD() (*apiextensionsv1.CustomResourceDefinition, error) {
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(config.CRD, crd); err != nil {
		return nil, fmt.Errorf("the CRD of MeshSync: %w", err)
	}
	return crd, nil
}

// Install creates or updates CRDs and waits until the API server serves them.
func (c *Cluster) Install(ctx context.Context, crds []*apiextensionsv1.CustomResourceDefinition) error {
	if len(crds) == 0 {
		return nil
	}
	scheme := runtime.NewScheme()
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		return err
	}
	admin, err := client.New(c.Config, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("connecting to cluster %s: %w", c.Name, err)
	}
	var group errgroup.Group
	for _, crd := range crds {
		group.Go(func() error { return c.install(ctx, admin, crd) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return c.waitForKinds(ctx, crds)
}

func (c *Cluster) install(ctx context.Context, admin client.Client, crd *apiextensionsv1.CustomResourceDefinition) error {
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		live := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: crd.Name}}
		_, err := controllerutil.CreateOrUpdate(ctx, admin, live, func() error {
			live.Labels, live.Annotations, live.Spec = crd.Labels, crd.Annotations, *crd.Spec.DeepCopy()
			return nil
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("installing CRD %s in cluster %s: %w", crd.Name, c.Name, err)
	}
	return nil
}

// waitForKinds waits until the API server lists the kinds, which takes longer than the condition
// Established.
func (c *Cluster) waitForKinds(ctx context.Context, crds []*apiextensionsv1.CustomResourceDefinition) error {
	api, err := discovery.NewDiscoveryClientForConfig(c.Config)
	if err != nil {
		return err
	}
	missing := map[schema.GroupVersion]sets.Set[string]{}
	for _, crd := range crds {
		for _, version := range crd.Spec.Versions {
			if !version.Served {
				continue
			}
			gv := schema.GroupVersion{Group: crd.Spec.Group, Version: version.Name}
			if missing[gv] == nil {
				missing[gv] = sets.New[string]()
			}
			missing[gv].Insert(crd.Spec.Names.Plural)
		}
	}
	var last error
	err = wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		for gv, kinds := range missing {
			var list *metav1.APIResourceList
			if list, last = api.ServerResourcesForGroupVersionWithContext(ctx, gv.String()); last != nil {
				return false, nil
			}
			for _, kind := range list.APIResources {
				kinds.Delete(kind.Name)
			}
			if kinds.Len() == 0 {
				delete(missing, gv)
			}
		}
		return len(missing) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("cluster %s does not serve %v: %w", c.Name, missing, errors.Join(err, last))
	}
	return nil
}
