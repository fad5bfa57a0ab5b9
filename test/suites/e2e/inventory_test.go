package e2e_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

func TestAClusterThatLeavesTheInventoryIsStalledAndNothingIsTouched(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.Create("mesh")
	w.ready("mesh", w.Git.First)
	before := w.versions()
	gone := w.Git.Commit(map[string]string{
		"clusters.cue":       "package config\n\nclusters: west: {\n\tregion: \"us-west1\"\n\tgateways: [{address: \"192.0.2.20\"}]\n}\n",
		"services/cart.cue":  gitops.Service{Name: "cart", In: []string{west}}.String(),
		"services/web.cue":   gitops.Service{Name: "web", In: []string{west}, Egress: []string{"cart"}}.String(),
		"services/stock.cue": "",
	})
	ms := w.refuses("mesh", v1alpha1.ReasonUnknownCluster, gone)
	if !stalled(ms) || !strings.Contains(message(ms), `"east"`) || !strings.Contains(message(ms), "inventory") {
		t.Errorf("stalled, and the message names the cluster: %s", describe(ms))
	}
	// Not even drift is undone: this cluster may be none of the mesh's business.
	victim := w.Objects()["ServiceEntry/cart/cart.cart.global-local"]
	must(t, w.Admin.Delete(t.Context(), victim))
	delete(before, gitops.Key(victim))
	w.Polled(4)
	if diff := cmp.Diff(before, w.versions()); diff != "" {
		t.Errorf("the cluster was touched: -before, +after:\n%s", diff)
	}
	w.ready("mesh", w.Git.Restore(w.Git.First))
}

func TestAnotherClusterUnderTheSameNameIsStalledAndNothingIsTouched(t *testing.T) {
	w := newWorld(t)
	w.Git.Commit(map[string]string{"uid.cue": "package config\n\nclusters: east: uid: \"6f1c1bd1-0000-4000-8000-000000000000\"\n"})
	c := w.start()
	w.Create("mesh")
	ms := w.NotReady("mesh", v1alpha1.ReasonWrongCluster)
	system := &corev1.Namespace{}
	must(t, w.Admin.Get(t.Context(), client.ObjectKey{Name: metav1.NamespaceSystem}, system))
	if !stalled(ms) || !strings.Contains(message(ms), string(system.UID)) || !strings.Contains(message(ms), "6f1c1bd1") {
		t.Errorf("stalled, and the message has both uids: %s", describe(ms))
	}
	w.Polled(3)
	if writes := c.wire.requests(func(r request) bool { return r.writes() && r.resources() }); len(writes) > 0 || len(w.Objects()) > 0 {
		t.Errorf("nothing is touched; sent %q", writes)
	}
	w.ready("mesh", w.Git.Commit(map[string]string{"uid.cue": "package config\n\nclusters: east: uid: \"" + string(system.UID) + "\"\n"}))
}
