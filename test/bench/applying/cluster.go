package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/test/bench/figure"
	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
)

// cluster is the API server of both sides.
type cluster struct {
	fleet  *apiserver.Fleet
	config *rest.Config
	admin  dynamic.Interface
	// servers are the process IDs of kube-apiserver and etcd.
	servers []int
}

func startCluster(ctx context.Context) (*cluster, error) {
	fleet, err := apiserver.Start(ctx, apiserver.Options{CRDs: istio.CRDs()})
	if err != nil {
		return nil, err
	}
	c := &cluster{fleet: fleet, config: fleet.Clusters()[0].Config}
	c.admin, err = dynamic.NewForConfig(c.config)
	if err == nil {
		c.servers, err = children("kube-apiserver", "etcd")
	}
	if err != nil {
		return nil, errors.Join(err, fleet.Stop())
	}
	return c, nil
}

// children returns the process IDs of this process's children with the names.
func children(names ...string) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		parent, _ := figure.ParentAndTime(pid)
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if parent == os.Getpid() && slices.Contains(names, strings.TrimSpace(string(name))) {
			pids = append(pids, pid)
		}
	}
	if len(pids) != len(names) {
		return nil, fmt.Errorf("of %s only %d are running", strings.Join(names, " and "), len(pids))
	}
	return pids, nil
}

// busy is the processor time of the API server and etcd.
func (c *cluster) busy() time.Duration {
	var sum time.Duration
	for _, pid := range c.servers {
		_, cpu := figure.ParentAndTime(pid)
		sum += cpu
	}
	return sum
}

var namespaceResource = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}

// prepare creates namespaces, which ApplyAll does not.
func (c *cluster) prepare(ctx context.Context, names []string) error {
	for _, name := range names {
		object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name}}}
		_, err := c.admin.Resource(namespaceResource).Create(ctx, object, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	return nil
}

// clear deletes all Istio objects.
func (c *cluster) clear(ctx context.Context) error {
	namespaces, err := c.admin.Resource(namespaceResource).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, kind := range istio.Kinds {
		if kind.BuiltIn() {
			continue
		}
		resource := c.admin.Resource(kind.GroupVersion().WithResource(kind.Resource))
		for _, namespace := range namespaces.Items {
			if err := resource.Namespace(namespace.GetName()).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
				return err
			}
		}
		left, err := resource.List(ctx, metav1.ListOptions{Limit: 1})
		if err == nil && len(left.Items) > 0 {
			err = fmt.Errorf("%s/%s is still there", left.Items[0].GetNamespace(), left.Items[0].GetName())
		}
		if err != nil {
			return fmt.Errorf("deleting all %s: %w", kind.Resource, err)
		}
	}
	return nil
}
