package order_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/sandbox"
	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
)

// clusterNames are the clusters of the inventory. Each has an API server.
var clusterNames = []string{"east", "north", "west"}

var servers struct {
	once  sync.Once
	fleet *apiserver.Fleet
	err   error
}

func TestMain(m *testing.M) {
	sandbox.Main() // this binary is also the child process of the evaluation
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

// fleet returns the API servers. The first call starts them.
func fleet(t *testing.T) *apiserver.Fleet {
	t.Helper()
	servers.once.Do(func() {
		servers.fleet, servers.err = apiserver.Start(context.Background(), apiserver.Options{Clusters: clusterNames, CRDs: istio.CRDs()})
		if servers.err == nil {
			servers.err = warm(servers.fleet)
		}
	})
	if servers.err != nil {
		t.Fatal(servers.err)
	}
	return servers.fleet
}

// warm lists all kinds in parallel. The first list of a kind takes an API server a second.
func warm(fleet *apiserver.Fleet) error {
	var group errgroup.Group
	for _, cluster := range fleet.Clusters() {
		client, err := dynamic.NewForConfig(cluster.Config)
		if err != nil {
			return err
		}
		for _, kind := range istio.Kinds {
			group.Go(func() error {
				_, err := client.Resource(kind.GroupVersion().WithResource(kind.Resource)).List(context.Background(), metav1.ListOptions{})
				return err
			})
		}
	}
	return group.Wait()
}
