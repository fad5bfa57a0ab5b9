//go:build linux

package torture_test

import (
	"context"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

// manualEdits changes, deletes and labels owned objects while a commit is applied.
func manualEdits(inj *injection) func() {
	for _, c := range inj.someClusters() {
		c.edit(inj, 1+inj.random.IntN(4), false)
	}
	inj.commit(inj.number)
	for _, c := range inj.clusters {
		inj.pause(0, 400*time.Millisecond)
		c.edit(inj, inj.random.IntN(3), true)
	}
	return func() {}
}

// edit makes n edits of owned objects. With exportedOnly it selects objects that the current commit
// contains. Only these may lose our label: without the label, an object is not pruned if it leaves
// the repository at the same time.
func (c *cluster) edit(inj *injection, n int, exportedOnly bool) {
	owned, err := c.owned(inj.Context())
	must(inj.T, err)
	exported := c.git.exported(inj.T, c.name)
	maps.DeleteFunc(owned, func(key string, _ *unstructured.Unstructured) bool { return exportedOnly && exported[key] == nil })
	keys := slices.Sorted(maps.Keys(owned))
	for range n {
		object := owned[pick(inj, keys)]
		allowed := slices.DeleteFunc(slices.Clone(edits), func(e edit) bool { return e.removesRequiredHost(object) || e.removesLabel && !exportedOnly })
		edit := pick(inj, allowed)
		err := edit.do(c, inj.Context(), object.DeepCopy())
		if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) && !apierrors.IsInvalid(err) {
			inj.Fatalf("%s of %s: %v", edit.name, keyOf(object), err)
		}
		inj.note("%s: %s of %s (%v)", c.name, edit.name, keyOf(object), err)
	}
}

// edit is a manual edit of an object.
type edit struct {
	name string
	do   func(*cluster, context.Context, *unstructured.Unstructured) error
	// deletes: the edit removes the hosts of a ServiceEntry.
	deletes bool
	// removesLabel: the edit removes our label.
	removesLabel bool
}

var edits = []edit{
	{name: "mark", do: (*cluster).mark},
	{name: "deletion", do: func(c *cluster, ctx context.Context, o *unstructured.Unstructured) error {
		return c.admin.Delete(ctx, o, client.Preconditions{ResourceVersion: &[]string{o.GetResourceVersion()}[0]})
	}, deletes: true},
	{name: "removal of our label", removesLabel: true, do: func(c *cluster, ctx context.Context, o *unstructured.Unstructured) error {
		labels := o.GetLabels()
		delete(labels, partOf)
		o.SetLabels(labels)
		return c.admin.Update(ctx, o, client.FieldOwner("kubectl-edit"))
	}},
	{name: "removal of all labels", removesLabel: true, do: func(c *cluster, ctx context.Context, o *unstructured.Unstructured) error {
		labels := o.GetLabels()
		maps.DeleteFunc(labels, func(name, _ string) bool { return name != foreignMark })
		o.SetLabels(labels)
		return c.admin.Update(ctx, o, client.FieldOwner("kubectl-edit"))
	}},
	{name: "change", do: func(c *cluster, ctx context.Context, o *unstructured.Unstructured) error {
		tamper(o)
		return c.admin.Update(ctx, o, client.FieldOwner("kubectl-edit"))
	}},
}

// removesRequiredHost reports whether the edit would remove a required host.
func (e edit) removesRequiredHost(object *unstructured.Unstructured) bool {
	return e.deletes && slices.ContainsFunc(requiredServices, func(name string) bool { return slices.Contains(gitops.HostsOf(object), hostOf(name)) })
}

// mark adds a foreign label and annotation to an owned object.
func (c *cluster) mark(ctx context.Context, object *unstructured.Unstructured) error {
	labels, annotations := map[string]string{foreignMark: "yes"}, map[string]string{foreignMark: "yes"}
	maps.Copy(labels, object.GetLabels())
	maps.Copy(annotations, object.GetAnnotations())
	object.SetLabels(labels)
	object.SetAnnotations(annotations)
	if err := c.admin.Update(ctx, object, client.FieldOwner("kubectl-edit")); err != nil {
		return err
	}
	c.marked[keyOf(object)] = string(object.GetUID())
	return nil
}

// tamper changes the spec of an object.
func tamper(object *unstructured.Unstructured) {
	spec := object.Object["spec"].(map[string]any)
	switch object.GetKind() {
	case "ServiceEntry", "VirtualService":
		of, _, _ := unstructured.NestedStringSlice(spec, "hosts")
		_ = unstructured.SetNestedStringSlice(spec, append(of, "edited.example.com"), "hosts")
	case "DestinationRule":
		spec["host"] = "edited.example.com"
	case "AuthorizationPolicy":
		delete(spec, "rules")
	case "Service":
		spec["selector"] = map[string]any{"app": "edited"}
	default:
		spec["selector"] = map[string]any{"edited": "yes"}
	}
}

// objectReplaced replaces an owned object by a foreign one with the same name, as the restore of a
// backup does. At the end it deletes the foreign object.
func objectReplaced(inj *injection) func() {
	type replacement struct {
		c      *cluster
		object *unstructured.Unstructured
	}
	var replaced []replacement
	for _, c := range inj.someClusters() {
		owned, err := c.owned(inj.Context())
		must(inj.T, err)
		maps.DeleteFunc(owned, func(_ string, o *unstructured.Unstructured) bool {
			return (edit{deletes: true}).removesRequiredHost(o) || o.GetKind() == "Service"
		})
		object := owned[pick(inj, slices.Sorted(maps.Keys(owned)))]
		foreign := foreignObject(kindOf(object.GetKind()), object.GetNamespace(), object.GetName())
		must(inj.T, client.IgnoreNotFound(c.admin.Delete(inj.Context(), object)))
		err = c.admin.Create(inj.Context(), foreign, client.FieldOwner("kubectl-create"))
		inj.note("%s: %s (%v)", c.name, keyOf(object), err)
		must(inj.T, client.IgnoreAlreadyExists(err))
		if err == nil {
			replaced = append(replaced, replacement{c, foreign})
		}
	}
	return func() {
		for _, r := range replaced {
			now := &unstructured.Unstructured{}
			now.SetGroupVersionKind(r.object.GroupVersionKind())
			must(inj.T, r.c.admin.Get(inj.Context(), client.ObjectKeyFromObject(r.object), now))
			if gitops.Version(now) != gitops.Version(r.object) {
				inj.Errorf("%s: the foreign object %s was written", r.c.name, keyOf(r.object))
			}
			must(inj.T, r.c.admin.Delete(inj.Context(), now))
		}
	}
}

func kindOf(name string) istio.Kind {
	for _, kind := range istio.Kinds {
		if kind.Kind == name {
			return kind
		}
	}
	return istio.Kind{}
}
