package syncrun

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ClusterIdentity identifies the cluster by the uid of the namespace kube-system, which never
// changes. The uid is read once.
type ClusterIdentity struct {
	Reader client.Reader

	mutex sync.Mutex
	uid   string
}

// UID returns the uid of the namespace kube-system.
func (c *ClusterIdentity) UID(ctx context.Context) (string, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.uid != "" {
		return c.uid, nil
	}
	system := &corev1.Namespace{}
	if err := c.Reader.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, system); err != nil {
		return "", fmt.Errorf("cannot read the uid of the namespace kube-system, which identifies the cluster: %w", err)
	}
	c.uid = string(system.UID)
	return c.uid, nil
}

// Identifier returns the uid of the cluster.
type Identifier interface {
	UID(ctx context.Context) (string, error)
}
