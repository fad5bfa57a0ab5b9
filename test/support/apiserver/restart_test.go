package apiserver_test

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
)

func TestRestartKeepsObjectsAndConnections(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	fleet, err := apiserver.Start(ctx, apiserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fleet.Stop(); err != nil {
			t.Error(err)
		}
	})
	cluster := fleet.Clusters()[0]
	before := connect(t, cluster)
	kept := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kept"}}
	if err := before.Create(ctx, kept); err != nil {
		t.Fatal(err)
	}
	// Twice, because a restarted process can be killed again.
	for range 2 {
		if err := fleet.RestartEtcd(ctx, 0); err != nil {
			t.Fatal(err)
		}
		if err := cluster.Restart(ctx, 0); err != nil {
			t.Fatal(err)
		}
		for name, connection := range map[string]client.Client{"old": before, "new": connect(t, cluster)} {
			if err := connection.Get(ctx, client.ObjectKeyFromObject(kept), &corev1.ConfigMap{}); err != nil {
				t.Errorf("the %s connection does not find the ConfigMap: %v", name, err)
			}
		}
	}
}
