package demo

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
)

// result is what became of one cluster.
type result struct {
	cluster *cluster
	sync    *v1alpha1.MeshSync
	live    objects
	change  change
	// took is the time from the push until the API server held the new state.
	took time.Duration
}

// look reads all clusters.
func (d *demo) look(ctx context.Context) (map[string]objects, error) {
	var mu sync.Mutex
	seen := map[string]objects{}
	return seen, d.each(ctx, func(ctx context.Context, c *cluster) error {
		live, err := c.live(ctx)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		seen[c.name] = live
		return nil
	})
}

// publish commits the edits, pushes them and tells the controllers, as the webhook of a Git host would. It returns the
// time of the push.
func (d *demo) publish(ctx context.Context, message string) (time.Time, error) {
	if err := d.repository.push(ctx, message); err != nil {
		return time.Time{}, err
	}
	pushed := time.Now()
	return pushed, d.each(ctx, func(ctx context.Context, c *cluster) error { return c.announce(ctx) })
}

// converge waits until every API server holds exactly what is wanted and every MeshSync is ready at the latest commit.
func (d *demo) converge(ctx context.Context, since time.Time, want map[string]expectation, before map[string]objects) ([]result, error) {
	defer d.tell.doing("waiting for three clusters to follow")()
	results := make([]result, len(d.clusters))
	at := map[string]int{}
	for i, c := range d.clusters {
		at[c.name] = i
	}
	err := d.each(ctx, func(ctx context.Context, c *cluster) error {
		r := &results[at[c.name]]
		r.cluster = c
		return d.follows(ctx, r, since, want[c.name], before[c.name])
	})
	return results, err
}

func (d *demo) follows(ctx context.Context, r *result, since time.Time, want expectation, before objects) error {
	c, commit := r.cluster, d.repository.head()
	_, err := d.await(ctx, c, "hold exactly what `isthmus render` says of commit "+short(commit), func(ctx context.Context) (string, error) {
		live, err := c.live(ctx)
		if err != nil {
			return "", err
		}
		return few(differences(want.objects, live)), nil
	})
	if err != nil {
		return err
	}
	r.took = time.Since(since)
	_, err = d.await(ctx, c, "say that it is ready at commit "+short(commit), func(ctx context.Context) (string, error) {
		var err error
		r.sync, err = c.sync(ctx)
		if err != nil {
			return "", err
		}
		return notReady(r.sync, commit, want), nil
	})
	if err != nil {
		return err
	}
	// Once more: whatever is done after the new state was reached must not spoil it.
	if r.live, err = c.live(ctx); err != nil {
		return err
	}
	if spoilt := few(differences(want.objects, r.live)); spoilt != "" {
		return c.explain(ctx, fmt.Sprintf("cluster %s held exactly what commit %s says, and then no longer", c.name, short(commit)), spoilt)
	}
	r.change = changed(before, r.live)
	return nil
}

// notReady is what the status says other than that all of a commit is applied.
func notReady(sync *v1alpha1.MeshSync, commit string, want expectation) string {
	status := sync.Status
	switch {
	case status.LastAppliedRevision != revision(commit):
		return fmt.Sprintf("status.lastAppliedRevision is %q", status.LastAppliedRevision)
	case !conditions.IsReady(sync):
		return "Ready is not True: " + conditions.GetMessage(sync, meta.ReadyCondition)
	case status.Services != int64(want.services) || status.Resources != int64(len(want.objects)):
		return fmt.Sprintf("the status counts %d services and %d resources, `isthmus render` %d and %d",
			status.Services, status.Resources, want.services, len(want.objects))
	}
	return ""
}

// revision is a commit of the branch as Flux writes it.
func revision(commit string) string { return branch + "@sha1:" + commit }

// tellResults writes what became of the clusters.
func (d *demo) tellResults(results []result) {
	var rows []string
	total := 0
	for _, r := range results {
		total += len(r.live)
		rows = append(rows, fmt.Sprintf("%s\t%s@%s\t%d\t%d\t%d\t%d\t%d\t%s", r.cluster.name, branch, short(d.repository.head()),
			r.sync.Status.Services, len(r.live), r.change.created, r.change.updated, r.change.deleted, seconds(r.took)))
	}
	d.tell.table("CLUSTER\tREVISION\tSERVICES\tRESOURCES\tCREATED\tUPDATED\tDELETED\tTOOK", rows)
	d.tell.held("the three API servers hold exactly what `isthmus render` says of this commit, %d resources", total)
}

// allChanged makes sure that a commit that is to show something in every cluster wrote to each of them.
func allChanged(results []result) error {
	for _, r := range results {
		if r.change == (change{}) {
			return fmt.Errorf("the commit should change all three clusters, but nothing was written in %s", r.cluster.name)
		}
	}
	return nil
}
