package meshsync_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	"k8s.io/client-go/rest"

	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

// death blocks status writes of a controller after it was armed and a ServiceEntry was created.
type death struct {
	armed, came atomic.Bool
	unheard     atomic.Int64
}

func (d *death) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPost && strings.Contains(r.URL.Path, "/serviceentries") && d.armed.Load() {
			d.came.Store(true)
		}
		if r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/meshsyncs/") && d.came.Load() {
			d.unheard.Add(1)
			return nil, errors.New("the process is dead")
		}
		return next.RoundTrip(r)
	})
}

// A process dies after it wrote the objects of a commit and before it wrote the status. The next
// process finds a later commit, which it cannot fully apply.
func TestPartlyAppliedCommitIsKeptAfterACrash(t *testing.T) {
	two := gitops.Service{Name: "two", In: []string{"west"}}.String()
	tests := map[string]map[string]string{
		"the service is broken":   {"services/two.cue": strings.Replace(two, "egress: {}", "egress: {}\n\troutes: [{timeout: \"soon\"}]", 1)},
		"the inventory is broken": {"clusters.cue": "package config\n\nclusters: east: nonsense: 1\n"},
	}
	for name, broken := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, withIstio)
			w.stop()
			death := &death{}
			config := rest.CopyConfig(w.user())
			config.Wrap(death.wrap)
			w.startAs(config)
			w.Create("mesh")
			w.Applied("mesh", w.Git.First)

			death.armed.Store(true)
			w.Git.Commit(map[string]string{
				"services/two.cue": two,
				"services/web.cue": gitops.Service{Name: "web", In: []string{"east"}, Egress: []string{"cart", "stock", "two"}}.String(),
			})
			brought := func() (keys []string) {
				for key := range w.Objects() {
					if strings.Contains(key, "two") {
						keys = append(keys, key)
					}
				}
				return keys
			}
			w.Until("the commit is written", func() (bool, string) {
				keys := brought()
				return len(keys) > 0 && death.unheard.Load() > 0, fmt.Sprint(keys)
			})
			w.stop()
			before := brought()

			third := w.Git.Commit(broken)
			w.start()
			w.Until("the third commit is tried", func() (bool, string) {
				ms := w.Get("mesh")
				return strings.HasSuffix(ms.Status.LastAttemptedRevision, third) && conditions.IsFalse(ms, meta.ReadyCondition) && !conditions.IsReconciling(ms), describe(ms)
			})
			w.Polled(2)
			if after := brought(); len(after) != len(before) {
				t.Errorf("objects before: %v, after: %v:%s", before, after, describe(w.Get("mesh")))
			}
		})
	}
}
