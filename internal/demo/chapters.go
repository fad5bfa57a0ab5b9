package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

const (
	placementFile = "services/placement.cue"
	checkoutFile  = "services/checkout.cue"
	// ledgerEntry is where a cluster that calls the ledger and does not run it has the ledger's addresses.
	ledgerEntry = "ServiceEntry/ledger/ledger.shop.example.com-remote"
)

func (d *demo) move(ctx context.Context) error {
	d.tell.title("1. A service moves: the ledger, from use1-b to euw1-a. No manifest of a caller changes.")
	before, results, want, err := d.commit(ctx, "Move the ledger to euw1-a", edit{
		placementFile,
		`ledger: placement: "use1-b": {}`,
		`ledger: placement: "euw1-a": {}`,
	})
	if err != nil {
		return err
	}
	if err := allChanged(results); err != nil {
		return err
	}
	caller := results[0]
	was, is := addresses(before[caller.cluster.name][ledgerEntry]), addresses(caller.live[ledgerEntry])
	var gateways []string
	for _, g := range want[caller.cluster.name].mesh.Clusters["euw1-a"].Gateways {
		gateways = append(gateways, g.Address)
	}
	slices.Sort(gateways)
	if len(is) == 0 || !slices.Equal(is, gateways) {
		return fmt.Errorf("%s in %s should lead to the gateways of euw1-a, %q, but leads to %q", ledgerEntry, caller.cluster.name, gateways, is)
	}
	d.tell.line("   5 s of it is --settle-time: callers keep both ways until their proxies know the new one")
	d.tell.held("checkout in %s reaches the ledger at %s (euw1-a), before at %s (use1-b)",
		caller.cluster.name, strings.Join(is, " and "), strings.Join(was, " and "))
	return nil
}

// addresses are those of a ServiceEntry, sorted.
func addresses(entry *unstructured.Unstructured) []string {
	if entry == nil {
		return nil
	}
	endpoints, _, _ := unstructured.NestedSlice(entry.Object, "spec", "endpoints")
	var found []string
	for _, e := range endpoints {
		if endpoint, ok := e.(map[string]any); ok {
			found = append(found, fmt.Sprint(endpoint["address"]))
		}
	}
	slices.Sort(found)
	return found
}

func (d *demo) remove(ctx context.Context) error {
	d.tell.title("2. A service is removed: recommend, and the line of storefront that calls it.")
	before, results, _, err := d.commit(ctx, "Remove recommend",
		edit{file: "services/recommend.cue"},
		edit{
			placementFile,
			"\trecommend: placement: {\n\t\t\"use1-b\": versions: [\"stable\", \"trial\"]\n\t\t\"euw1-b\": versions: [\"stable\"]\n\t}\n",
			"",
		},
		edit{
			"services/storefront.cue",
			"egress: {catalog: {}, search: {}, recommend: {}, cart: {}, checkout: {}}",
			"egress: {catalog: {}, search: {}, cart: {}, checkout: {}}",
		})
	if err != nil {
		return err
	}
	if err := allChanged(results); err != nil {
		return err
	}
	var counts []string
	for _, r := range results {
		spoke, err := mentioning(before[r.cluster.name], "recommend")
		if err != nil {
			return err
		}
		speak, err := mentioning(r.live, "recommend")
		if err != nil {
			return err
		}
		if len(spoke) == 0 || len(speak) > 0 {
			return fmt.Errorf("cluster %s should have had resources that speak of recommend, and have none now; it had %d and has %s",
				r.cluster.name, len(spoke), few(append(speak, fmt.Sprintf("%d in all", len(speak)))))
		}
		counts = append(counts, fmt.Sprintf("%d in %s", len(spoke), r.cluster.name))
	}
	d.tell.held("no resource speaks of recommend any more; before, %s did", strings.Join(counts, ", "))
	return nil
}

// mentioning are the keys of the objects in which a word stands anywhere.
func mentioning(all objects, word string) ([]string, error) {
	var found []string
	for key, o := range all {
		text, err := json.Marshal(o.Object)
		if err != nil {
			return nil, err
		}
		if strings.Contains(string(text), word) {
			found = append(found, key)
		}
	}
	slices.Sort(found)
	return found, nil
}

// meddling is what a person does to a cluster by hand.
type meddling struct {
	cluster *cluster
	what    string
	object  *unstructured.Unstructured
	// patch is a JSON merge patch; without one the object is deleted.
	patch string
}

func (d *demo) drift(ctx context.Context) error {
	d.tell.title("3. Edits by hand: somebody changes a field, adds one, and deletes a resource. Git stays as it is.")
	want, err := expect(ctx, d.repository.dir, d.validator, d.clusters)
	if err != nil {
		return err
	}
	before, err := d.look(ctx)
	if err != nil {
		return err
	}
	edits, err := d.meddle(before)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	took := map[string]time.Duration{}
	done := d.tell.doing("waiting for the edits to be undone")
	err = d.each(ctx, func(ctx context.Context, c *cluster) error {
		for _, m := range edits {
			if m.cluster != c {
				continue
			}
			t, err := d.undone(ctx, m, want[c.name].objects)
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
	d.tell.table("CLUSTER\tEDIT\tUNDONE AFTER", rows)
	d.tell.held("each API server took the edit, and holds again exactly what the repository says")
	return nil
}

// meddle chooses three edits, one for each cluster.
func (d *demo) meddle(live map[string]objects) ([]meddling, error) {
	a, b, e := d.clusters[0], d.clusters[1], d.clusters[2]
	entry, rule, gone := live[a.name][ledgerEntry], firstOf(live[b.name], "DestinationRule"), firstOf(live[e.name], "ServiceEntry")
	if entry == nil || rule == nil || gone == nil {
		return nil, errors.New("examples/shop has changed under the demo: the resources that it edits are not there")
	}
	endpoints, _, _ := unstructured.NestedSlice(entry.Object, "spec", "endpoints")
	endpoints[0].(map[string]any)["address"] = "203.0.113.66"
	spec, err := json.Marshal(map[string]any{"spec": map[string]any{"endpoints": endpoints}})
	if err != nil {
		return nil, err
	}
	return []meddling{
		{a, "an address of ServiceEntry " + entry.GetName() + " changed to 203.0.113.66", entry, string(spec)},
		{b, "a workloadSelector added to DestinationRule " + rule.GetName(), rule, `{"spec": {"workloadSelector": {"matchLabels": {"app": "mine"}}}}`},
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

// undone makes an edit, sees that the API server took it, and waits until it is as if it had never been.
func (d *demo) undone(ctx context.Context, m meddling, want objects) (time.Duration, error) {
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
		// The answer, not another look: the controller may be faster than that.
		if len(differences(objects{key: want[key]}, objects{key: o})) == 0 {
			return 0, fmt.Errorf("the edit of %s in cluster %s changed nothing, so there was nothing to undo", key, m.cluster.name)
		}
	}
	return d.await(ctx, m.cluster, "undo this: "+m.what, func(ctx context.Context) (string, error) {
		live, err := m.cluster.live(ctx)
		if err != nil {
			return "", err
		}
		return few(differences(want, live)), nil
	})
}

func (d *demo) broken(ctx context.Context) error {
	d.tell.title("4. A broken commit: checkout is to call search, and the name is misspelt.")
	const (
		calls    = "egress: {cart: {}, orders: {}, ledger: {}, stripe: {}}"
		misspelt = "egress: {cart: {}, orders: {}, ledger: {}, stripe: {}, serach: {}}"
		right    = "egress: {cart: {}, orders: {}, ledger: {}, stripe: {}, search: {}}"
	)
	before, err := d.look(ctx)
	if err != nil {
		return err
	}
	good := d.repository.head()
	if err := d.edit([]edit{{checkoutFile, calls, misspelt}}); err != nil {
		return err
	}
	line, err := d.repository.line(checkoutFile, misspelt)
	if err != nil {
		return err
	}
	pushed, err := d.publish(ctx, "Let checkout call search")
	if err != nil {
		return err
	}
	if err := d.frozen(ctx, pushed, good, line); err != nil {
		return err
	}
	after, err := d.look(ctx)
	if err != nil {
		return err
	}
	total := 0
	for _, c := range d.clusters {
		if touched := changed(before[c.name], after[c.name]); touched != (change{}) {
			return fmt.Errorf("the broken commit should leave cluster %s as it was, but %d resources were created, %d updated, %d deleted",
				c.name, touched.created, touched.updated, touched.deleted)
		}
		total += len(after[c.name])
	}
	d.tell.held("not one of the %d resources was written: each has the resourceVersion that it had before", total)

	d.tell.line("   Then somebody mends it:")
	_, results, _, err := d.commit(ctx, "Spell search right", edit{checkoutFile, misspelt, right})
	if err != nil {
		return err
	}
	if results[0].change == (change{}) {
		return fmt.Errorf("checkout in %s calls search now, but nothing was written there", results[0].cluster.name)
	}
	return nil
}

// frozen waits until every cluster that has to do with checkout says that it is kept as it was, and where it is wrong.
func (d *demo) frozen(ctx context.Context, pushed time.Time, good string, line int32) error {
	done := d.tell.doing("waiting for three clusters to look at the commit")
	defer done()
	bad := d.repository.head()
	said := map[string]v1alpha1.SyncError{}
	took := map[string]time.Duration{}
	var mu sync.Mutex
	err := d.each(ctx, func(ctx context.Context, c *cluster) error {
		_, err := d.await(ctx, c, fmt.Sprintf("freeze checkout in commit %s because of %s:%d", short(bad), checkoutFile, line), func(ctx context.Context) (string, error) {
			sync, err := c.sync(ctx)
			if err != nil {
				return "", err
			}
			wrong, blamed := notFrozen(sync, good, bad, line)
			mu.Lock()
			defer mu.Unlock()
			said[c.name], took[c.name] = blamed, time.Since(pushed)
			return wrong, nil
		})
		return err
	})
	done()
	if err != nil {
		return err
	}
	var rows []string
	blamed := 0
	for _, c := range d.clusters {
		told := "fine: checkout is not called from there and does not run there"
		if e := said[c.name]; e.Message != "" {
			told = fmt.Sprintf("%s:%d: %s", e.File, e.Line, printable(e.Message))
			blamed++
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s", c.name, told, seconds(took[c.name])))
	}
	if blamed == 0 {
		return errors.New("no cluster says what is wrong with the commit")
	}
	d.tell.table("CLUSTER\tSTATUS OF THE MESHSYNC\tTOOK", rows)
	return nil
}

// notFrozen is what a status lacks to tell that checkout is kept as it was and where it is wrong, and the error that does. A cluster that
// has nothing to do with it has the commit applied.
func notFrozen(sync *v1alpha1.MeshSync, good, bad string, line int32) (wrong string, blamed v1alpha1.SyncError) {
	status := sync.Status
	switch reason := conditions.GetReason(sync, meta.ReadyCondition); {
	case status.LastAppliedRevision != revision(bad):
		return fmt.Sprintf("status.lastAppliedRevision is %q", status.LastAppliedRevision), blamed
	case conditions.IsTrue(sync, meta.ReadyCondition) && status.ErrorCount == 0:
		return "", blamed
	case !conditions.IsFalse(sync, meta.ReadyCondition) || reason != v1alpha1.ReasonServicesFrozen:
		return fmt.Sprintf("Ready is not False with the reason %s, but has the reason %q", v1alpha1.ReasonServicesFrozen, reason), blamed
	case len(status.Frozen) != 1 || status.Frozen[0] != v1alpha1.FrozenService{Service: "checkout", Revision: revision(good)}:
		return fmt.Sprintf("status.frozen is not checkout as of commit %s, but %v", good, status.Frozen), blamed
	}
	var places []string
	for _, e := range status.Errors {
		if e.File == checkoutFile && e.Line == line && strings.Contains(e.Message, "serach") {
			return "", e
		}
		places = append(places, fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Message))
	}
	return "status.errors does not name the place; it has " + few(places), blamed
}
