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

func TestClusterRemovedFromTheInventoryIsStalledAndUnchanged(t *testing.T) {
	env := newEnvironment(t)
	env.start()
	env.Create("mesh")
	env.ready("mesh", env.Git.First)
	before := env.versions()
	gone := env.Git.Commit(map[string]string{
		"clusters.cue":       "package config\n\nclusters: west: {\n\tregion: \"us-west1\"\n\tgateways: [{address: \"192.0.2.20\"}]\n}\n",
		"services/cart.cue":  gitops.Service{Name: "cart", In: []string{west}}.String(),
		"services/web.cue":   gitops.Service{Name: "web", In: []string{west}, Egress: []string{"cart"}}.String(),
		"services/stock.cue": "",
	})
	ms := env.notReadyAt("mesh", v1alpha1.ReasonUnknownCluster, gone)
	if !stalled(ms) || !strings.Contains(message(ms), `"east"`) || !strings.Contains(message(ms), "inventory") {
		t.Errorf("stalled, and the message names the cluster: %s", describe(ms))
	}
	// Drift is not corrected either, because the cluster may no longer belong to the mesh.
	victim := env.Objects()["ServiceEntry/cart/cart.cart.global-local"]
	must(t, env.Admin.Delete(t.Context(), victim))
	delete(before, gitops.Key(victim))
	env.Polled(4)
	if diff := cmp.Diff(before, env.versions()); diff != "" {
		t.Errorf("the cluster was changed: -before, +after:\n%s", diff)
	}
	env.ready("mesh", env.Git.Restore(env.Git.First))
}

func TestClusterWithAnotherUIDIsStalledAndUnchanged(t *testing.T) {
	env := newEnvironment(t)
	env.Git.Commit(map[string]string{"uid.cue": "package config\n\nclusters: east: uid: \"6f1c1bd1-0000-4000-8000-000000000000\"\n"})
	c := env.start()
	env.Create("mesh")
	ms := env.NotReady("mesh", v1alpha1.ReasonWrongCluster)
	system := &corev1.Namespace{}
	must(t, env.Admin.Get(t.Context(), client.ObjectKey{Name: metav1.NamespaceSystem}, system))
	if !stalled(ms) || !strings.Contains(message(ms), string(system.UID)) || !strings.Contains(message(ms), "6f1c1bd1") {
		t.Errorf("stalled, and the message contains both UIDs: %s", describe(ms))
	}
	env.Polled(3)
	if writes := c.recorder.requests(istioWrites); len(writes) > 0 || len(env.Objects()) > 0 {
		t.Errorf("the cluster was changed; sent %q", writes)
	}
	env.ready("mesh", env.Git.Commit(map[string]string{"uid.cue": "package config\n\nclusters: east: uid: \"" + string(system.UID) + "\"\n"}))
}
