package execute

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/isthmus-mesh/isthmus/internal/merge"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/plantest"
)

// A run that ends after any of its writes, heard or unheard, is finished by the next one, with nothing left
// over, nothing half owned, and nothing foreign touched.
func TestRunAfterCrashConverges(t *testing.T) {
	c := newCluster(t)
	first := istiotest.Bundle(append(istiotest.Services("stays", "changes", "goes"), istiotest.DestinationRule("pay", "goes-too"))...)
	changed := append(istiotest.Service("stays"), istiotest.ServiceEntry("shop", "changes", "192.0.2.9"), istiotest.DestinationRule("shop", "changes"), istiotest.VirtualService("shop", "changes", "9s"))
	changed = append(changed, istiotest.Services("comes")...)

	gone := ownership.Owner{ID: ownership.ApplySetID("gone", "isthmus-system", "MeshSync", "isthmus.dev")}
	foreign := []*unstructured.Unstructured{istiotest.VirtualService("shop", "foreign", "1s"), istiotest.ServiceEntry("pay", "foreign", "203.0.113.1")}

	for _, unheard := range []bool{false, true} {
		finished := false
		for writes := int64(0); !finished; writes++ {
			t.Run(fmt.Sprintf("write %d, unheard %v", writes, unheard), func(t *testing.T) {
				c := &testCluster{t: t, config: c.config, admin: c.admin, owner: c.owner}
				c.clear()
				// Nothing removes a namespace here, so each run needs one of its own.
				namespace := fmt.Sprintf("comes-%d-%v", writes, unheard)
				second := istiotest.Bundle(append(slices.Clone(changed), istiotest.DestinationRule(namespace, "comes-too"))...)
				second.Namespaces = []string{namespace, "shop"}
				c.start().sync(first)
				// A backup without our manager, which is claimed, and an orphan of another MeshSync, which is pruned.
				backup := c.get(istiotest.DestinationRule("shop", "stays"))
				c.remove(backup)
				backup.SetManagedFields(nil)
				backup.SetResourceVersion("")
				backup.SetUID("")
				c.make(backup, "velero-server")
				c.make(merge.CreateBody(istiotest.DestinationRule("shop", "orphan"), gone.ID), ownership.FieldManager)
				untouched := map[render.Key]string{}
				for _, object := range foreign {
					made := c.make(object, "kubectl-create")
					untouched[render.KeyOf(made)] = made.GetResourceVersion()
				}

				var sent atomic.Int64
				killed := rest.CopyConfig(c.config)
				killed.Wrap(killAfter(writes, unheard, &sent))
				k := c.start()
				k.options.MaxPrunePercent = 100
				k.applier = NewApplier(c.connect(killed), k.live)
				k.applier.clock = (&fastClock{}).clock()
				_, err := k.apply(k.plan(second))
				finished = err == nil
				if !finished && sent.Load() < writes {
					t.Fatalf("failed before it was killed: %v", err)
				}

				for key, object := range c.all() {
					possession := c.owner.Ownership(object)
					if possession == ownership.ManagerOnly || possession == ownership.LabelOnly && key != render.KeyOf(backup) {
						t.Errorf("%s is half owned after the kill", key)
					}
				}

				fresh := c.start()
				fresh.options.MaxPrunePercent = 100
				fresh.sync(second)
				c.equal(second)
				if plan := fresh.plan(second); plan.Writes() {
					t.Errorf("not at rest: %v", plantest.Verbs(plan))
				}
				for _, object := range foreign {
					if c.get(object).GetResourceVersion() != untouched[render.KeyOf(object)] {
						t.Errorf("%s was touched", render.KeyOf(object))
					}
				}
			})
			if t.Failed() || writes > 100 {
				t.Fatalf("stopped at write %d", writes)
			}
		}
	}
}
