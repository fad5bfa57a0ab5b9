package e2e_test

import (
	"path/filepath"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/test/support/cuecmd"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

// exported returns the cue export of a commit for a cluster.
func exported(git *gitops.Repository, commit, cluster string) map[string]*unstructured.Unstructured {
	git.T.Helper()
	checkout := filepath.Join(git.T.TempDir(), "checkout")
	git.Run(git.Clone, "worktree", "add", "-q", "--detach", "--force", checkout, commit)
	defer git.Run(git.Clone, "worktree", "remove", "--force", checkout)
	objects, err := cuecmd.Export(git.T.Context(), suite.Cue, checkout, cluster)
	must(git.T, err)
	return objects
}

// owned returns the objects with both ownership marks of an existing MeshSync.
func (env *environment) owned() map[string]*unstructured.Unstructured {
	env.T.Helper()
	syncs := &v1alpha1.MeshSyncList{}
	must(env.T, env.Admin.List(env.T.Context(), syncs))
	out := map[string]*unstructured.Unstructured{}
	for key, object := range env.Objects() {
		for i := range syncs.Items {
			if id := syncs.Items[i].Labels["applyset.kubernetes.io/id"]; id != "" && object.GetLabels()[partOf] == id && gitops.Managed(object) {
				out[key] = object
			}
		}
	}
	return out
}

// diff compares the cue export of a commit with the owned objects.
func (env *environment) diff(commit string) string {
	env.T.Helper()
	return cmp.Diff(gitops.Contents(exported(env.Git, commit, env.Cluster.Name)), gitops.Contents(env.owned()))
}

// restored waits until the owned objects equal the cue export of a commit. Use it where the status
// does not change, for example after drift.
func (env *environment) restored(commit string) {
	env.T.Helper()
	want := gitops.Contents(exported(env.Git, commit, env.Cluster.Name))
	env.Until("the cluster equals "+commit+" again", func() (bool, string) {
		diff := cmp.Diff(want, gitops.Contents(env.owned()))
		return diff == "", diff
	})
}

// read reads the current state of an object.
func (env *environment) read(object *unstructured.Unstructured) *unstructured.Unstructured {
	env.T.Helper()
	gvk, err := apiutil.GVKForObject(object, env.Admin.Scheme())
	must(env.T, err)
	now := &unstructured.Unstructured{}
	now.SetGroupVersionKind(gvk)
	must(env.T, env.Admin.Get(env.T.Context(), client.ObjectKeyFromObject(object), now))
	return now
}
