package e2e_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

// The marks, as the specification of ApplySets and the documentation of Isthmus name them; not taken from the code under test.
const (
	partOf  = "applyset.kubernetes.io/part-of"
	manager = "isthmus-controller"
)

// exported are the resources of a commit for a cluster, by the real cue command in a checkout.
func exported(git *gitops.Repository, commit, cluster string) map[string]*unstructured.Unstructured {
	git.T.Helper()
	checkout := filepath.Join(git.T.TempDir(), "checkout")
	git.Run(git.Clone, "worktree", "add", "-q", "--detach", "--force", checkout, commit)
	defer git.Run(git.Clone, "worktree", "remove", "--force", checkout)
	cmd := exec.Command(cue, "export", "-t", "cluster="+cluster, "-e", "resources", "./services")
	cmd.Dir = checkout
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		git.T.Fatalf("cue export of %s: %v\n%s", commit, err, stderr.String())
	}
	var resources map[string]map[string]any
	must(git.T, json.Unmarshal(out, &resources))
	objects := map[string]*unstructured.Unstructured{}
	for key, object := range resources {
		objects[key] = &unstructured.Unstructured{Object: object}
	}
	return objects
}

// content is what is compared of an object: all that the repository says, without the marks.
type content struct {
	APIVersion  string
	Labels      map[string]string
	Annotations map[string]string
	Spec        any
}

func contentOf(t *testing.T, object *unstructured.Unstructured) content {
	t.Helper()
	c := content{APIVersion: object.GetAPIVersion(), Labels: map[string]string{}, Annotations: map[string]string{}}
	maps.Copy(c.Labels, object.GetLabels())
	maps.Copy(c.Annotations, object.GetAnnotations())
	delete(c.Labels, partOf)
	// Through JSON, so that a number is the same number whoever read it.
	text, err := json.Marshal(object.Object["spec"])
	must(t, err)
	must(t, json.Unmarshal(text, &c.Spec))
	return c
}

func contents(t *testing.T, objects map[string]*unstructured.Unstructured) map[string]content {
	t.Helper()
	out := map[string]content{}
	for key, object := range objects {
		out[key] = contentOf(t, object)
	}
	return out
}

// ours reports whether an object carries both marks of a MeshSync that there is.
func (w *world) ours() map[string]*unstructured.Unstructured {
	w.T.Helper()
	syncs := &v1alpha1.MeshSyncList{}
	must(w.T, w.Admin.List(w.T.Context(), syncs))
	out := map[string]*unstructured.Unstructured{}
	for key, object := range w.Objects() {
		for i := range syncs.Items {
			if id := syncs.Items[i].Labels["applyset.kubernetes.io/id"]; id != "" && object.GetLabels()[partOf] == id && managed(object) {
				out[key] = object
			}
		}
	}
	return out
}

func managed(object *unstructured.Unstructured) bool {
	for _, entry := range object.GetManagedFields() {
		if entry.Manager == manager {
			return true
		}
	}
	return false
}

// differs holds the objects with both marks against what cue exports from the commit.
func (w *world) differs(commit string) string {
	w.T.Helper()
	return cmp.Diff(contents(w.T, exported(w.Git, commit, w.Cluster.Name)), contents(w.T, w.ours()))
}

// restored waits for the cluster to be as cue exports the commit, which nothing in the status announces.
func (w *world) restored(commit string) {
	w.T.Helper()
	want := contents(w.T, exported(w.Git, commit, w.Cluster.Name))
	w.Until("the cluster is again as "+commit+" says", func() (bool, string) {
		diff := cmp.Diff(want, contents(w.T, w.ours()))
		return diff == "", diff
	})
}

// read gets an object as it is now.
func (w *world) read(object *unstructured.Unstructured) *unstructured.Unstructured {
	w.T.Helper()
	gvk, err := apiutil.GVKForObject(object, w.Admin.Scheme())
	must(w.T, err)
	now := &unstructured.Unstructured{}
	now.SetGroupVersionKind(gvk)
	must(w.T, w.Admin.Get(w.T.Context(), client.ObjectKeyFromObject(object), now))
	return now
}
