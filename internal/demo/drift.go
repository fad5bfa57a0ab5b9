package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

// manualEdit is an edit of a cluster by hand.
type manualEdit struct {
	cluster *cluster
	what    string
	object  *unstructured.Unstructured
	// patch is a JSON merge patch. Without one the object is deleted.
	patch string
}

// drift edits the clusters by hand, and waits until the controllers have corrected the edits.
func (d *demo) drift(ctx context.Context) error {
	d.out.title("3. Manual edits: a user changes a field, adds a field, and deletes a resource. Git does not change.")
	want, err := d.expect(ctx)
	if err != nil {
		return err
	}
	before, err := d.read(ctx)
	if err != nil {
		return err
	}
	edits, err := d.chooseEdits(before)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	took := map[string]time.Duration{}
	done := d.out.running("waiting until the edits are corrected")
	err = d.each(ctx, func(ctx context.Context, c *cluster) error {
		for _, m := range edits {
			if m.cluster != c {
				continue
			}
			t, err := d.corrected(ctx, m, want[c.name].objects)
			if err != nil {
				return err
			}
			mu.Lock()
			took[c.name] = t
			mu.Unlock()
		}
		return nil
	})
	done()
	if err != nil {
		return err
	}
	var rows []string
	for _, m := range edits {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s", m.cluster.name, m.what, seconds(took[m.cluster.name])))
	}
	d.out.table("CLUSTER\tEDIT\tCORRECTED AFTER", rows)
	d.out.passed("each API server accepted the edit, and again has exactly the resources of the repository")
	return nil
}

// chooseEdits returns one edit for each cluster.
func (d *demo) chooseEdits(live map[string]objects) ([]manualEdit, error) {
	a, b, e := d.clusters[0], d.clusters[1], d.clusters[2]
	entry, rule, gone := live[a.name][ledgerEntry], firstOf(live[b.name], "DestinationRule"), firstOf(live[e.name], "ServiceEntry")
	if entry == nil || rule == nil || gone == nil {
		return nil, errors.New("the demo does not match examples/shop: the resources that it edits do not exist")
	}
	endpoints, _, _ := unstructured.NestedSlice(entry.Object, "spec", "endpoints")
	endpoints[0].(map[string]any)["address"] = "203.0.113.66"
	spec, err := json.Marshal(map[string]any{"spec": map[string]any{"endpoints": endpoints}})
	if err != nil {
		return nil, err
	}
	const selector = `{"spec": {"workloadSelector": {"matchLabels": {"app": "mine"}}}}`
	return []manualEdit{
		{a, "an address of ServiceEntry " + entry.GetName() + " changed to 203.0.113.66", entry, string(spec)},
		{b, "a workloadSelector added to DestinationRule " + rule.GetName(), rule, selector},
		{e, "ServiceEntry " + gone.GetName() + " deleted", gone, ""},
	}, nil
}

func firstOf(live objects, kind string) *unstructured.Unstructured {
	for _, key := range slices.Sorted(maps.Keys(live)) {
		if live[key].GetKind() == kind {
			return live[key]
		}
	}
	return nil
}

// corrected makes an edit, checks that the API server accepted it, and waits until the controller
// has corrected it.
func (d *demo) corrected(ctx context.Context, m manualEdit, want objects) (time.Duration, error) {
	o := m.object.DeepCopy()
	key := render.Key{Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName()}.String()
	if m.patch == "" {
		if err := m.cluster.admin.Delete(ctx, o); err != nil {
			return 0, fmt.Errorf("deleting %s by hand: %w", key, err)
		}
	} else {
		patch := client.RawPatch(types.MergePatchType, []byte(m.patch))
		if err := m.cluster.admin.Patch(ctx, o, patch, client.FieldOwner("kubectl-edit")); err != nil {
			return 0, fmt.Errorf("editing %s by hand: %w", key, err)
		}
		// Compare the response: the controller may correct the object before another read.
		if len(differences(objects{key: want[key]}, objects{key: o})) == 0 {
			return 0, fmt.Errorf("the edit of %s in cluster %s changed nothing, so there is no drift", key, m.cluster.name)
		}
	}
	return d.await(ctx, m.cluster, "correct this edit: "+m.what, func(ctx context.Context) (string, error) {
		live, err := m.cluster.live(ctx)
		if err != nil {
			return "", err
		}
		return abbreviate(differences(want, live)), nil
	})
}
