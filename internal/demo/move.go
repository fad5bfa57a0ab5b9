package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	placementFile = "services/placement.cue"
	checkoutFile  = "services/checkout.cue"
	// ledgerEntry has the addresses of the ledger in clusters that call it and do not run it.
	ledgerEntry = "ServiceEntry/ledger/ledger.shop.example.com-remote"
)

// move changes the placement of a service.
func (d *demo) move(ctx context.Context) error {
	d.out.title("1. A service moves: the ledger, from use1-b to euw1-a. The manifests of its callers do not change.")
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
		return fmt.Errorf("%s in %s should have the gateways of euw1-a, %q, as endpoints, but has %q",
			ledgerEntry, caller.cluster.name, gateways, is)
	}
	d.out.line("   A removal that follows an addition waits --settle-time (5 s), so that proxies know the new route first.")
	d.out.passed("checkout in %s reaches the ledger at %s (euw1-a); before, at %s (use1-b)",
		caller.cluster.name, strings.Join(is, " and "), strings.Join(was, " and "))
	return nil
}

// addresses returns the endpoint addresses of a ServiceEntry, sorted.
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

// remove removes a service and the call to it.
func (d *demo) remove(ctx context.Context) error {
	d.out.title("2. A service is removed: recommend, and the call from storefront to it.")
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
		was, err := mentioning(before[r.cluster.name], "recommend")
		if err != nil {
			return err
		}
		is, err := mentioning(r.live, "recommend")
		if err != nil {
			return err
		}
		if len(was) == 0 || len(is) > 0 {
			return fmt.Errorf("cluster %s had %d resources that mention recommend, want at least one; it has %d now, want none: %s",
				r.cluster.name, len(was), len(is), abbreviate(is))
		}
		counts = append(counts, fmt.Sprintf("%d in %s", len(was), r.cluster.name))
	}
	d.out.passed("no resource mentions recommend any more; before, %s", strings.Join(counts, ", "))
	return nil
}

// mentioning returns the keys of the objects that contain a word.
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
