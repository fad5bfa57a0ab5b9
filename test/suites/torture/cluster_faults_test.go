//go:build linux

package torture_test

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// leaseLost makes the leader lose its lease: the lease is deleted, another holder is written, or
// the renewals fail.
func leaseLost(inj *injection) func() {
	c := inj.clusters[0]
	k := c.leader()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "isthmus-controller-leader-election"}}
	switch inj.random.IntN(3) {
	case 0:
		inj.note("deleted")
		must(inj.T, client.IgnoreNotFound(c.admin.Delete(inj.Context(), lease)))
		return func() {}
	case 1:
		inj.note("another holder")
		c.retry(inj.T, "the lease has another holder", func(ctx context.Context) error {
			if err := c.admin.Get(ctx, client.ObjectKeyFromObject(lease), lease); err != nil {
				return err
			}
			holder, seconds := "another-controller", int32(2)
			lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds = &holder, &seconds
			lease.Spec.RenewTime = &metav1.MicroTime{Time: time.Now()}
			return c.admin.Update(ctx, lease)
		})
		return func() {}
	default:
		inj.note("not renewed by %s", k.name)
		k.relay.set(func(sent request) treatment {
			if sent.Lease() {
				return status500
			}
			return pass
		})
		return func() {
			until(inj.T, "the other controller is the leader", func() string {
				if c.leader() == k {
					return k.name + " renewed the lease last"
				}
				return ""
			})
			k.relay.set(nil)
		}
	}
}

// meshSyncRecreated deletes the MeshSync, which orphans its objects, and creates it again, often
// with another name.
func meshSyncRecreated(inj *injection) func() {
	affected := inj.someClusters()
	for _, c := range affected {
		c.retry(inj.T, "the MeshSync is deleted", func(ctx context.Context) error {
			ms, err := c.get(ctx)
			if err != nil {
				return client.IgnoreNotFound(err)
			}
			return client.IgnoreNotFound(c.admin.Delete(ctx, ms))
		})
	}
	return func() {
		for _, c := range affected {
			until(inj.T, "the MeshSync of "+c.name+" is gone", func() string {
				_, err := c.get(inj.Context())
				if apierrors.IsNotFound(err) {
					return ""
				}
				return fmt.Sprint(err)
			})
			if inj.chance(0.6) {
				c.meshSync = fmt.Sprintf("mesh-%d", inj.number)
			}
			inj.note("%s: %s", c.name, c.meshSync)
			c.createMeshSync(inj.T)
		}
	}
}
