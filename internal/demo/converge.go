package demo

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
)

// result of a commit in one cluster.
type result struct {
	cluster *cluster
	sync    *v1alpha1.MeshSync
	live    objects
	change  change
	// took is the time from the push until the API server had the new state.
	took time.Duration
}

// read returns the objects of all clusters.
func (d *demo) read(ctx context.Context) (map[string]objects, error) {
	var mu sync.Mutex
	all := map[string]objects{}
	return all, d.each(ctx, func(ctx context.Context, c *cluster) error {
		live, err := c.live(ctx)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		all[c.name] = live
		return nil
	})
}

// publish commits and pushes the edits, announces the commit, and returns the time of the push.
func (d *demo) publish(ctx context.Context, message string) (time.Time, error) {
	if err := d.repository.push(ctx, message); err != nil {
		return time.Time{}, err
	}
	pushed := time.Now()
	return pushed, d.each(ctx, func(ctx context.Context, c *cluster) error { return c.announce(ctx) })
}

// converge waits until every API server has exactly the wanted objects and every MeshSync is ready
// at the latest commit.
func (d *demo) converge(ctx context.Context, since time.Time, want map[string]expectation, before map[string]objects) ([]result, error) {
	defer d.out.running("waiting for three clusters")()
	results := make([]result, len(d.clusters))
	at := map[string]int{}
	for i, c := range d.clusters {
		at[c.name] = i
	}
	err := d.each(ctx, func(ctx context.Context, c *cluster) error {
		r := &results[at[c.name]]
		r.cluster = c
		return d.convergeOne(ctx, r, since, want[c.name], before[c.name])
	})
	return results, err
}

func (d *demo) convergeOne(ctx context.Context, r *result, since time.Time, want expectation, before objects) error {
	c, commit := r.cluster, d.repository.head()
	what := "have exactly the resources that `isthmus render` returns for commit " + short(commit)
	_, err := d.await(ctx, c, what, func(ctx context.Context) (string, error) {
		live, err := c.live(ctx)
		if err != nil {
			return "", err
		}
		return abbreviate(differences(want.objects, live)), nil
	})
	if err != nil {
		return err
	}
	r.took = time.Since(since)
	_, err = d.await(ctx, c, "report that it is ready at commit "+short(commit), func(ctx context.Context) (string, error) {
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
	// Read again: writes after this point must not change the result.
	if r.live, err = c.live(ctx); err != nil {
		return err
	}
	if problem := abbreviate(differences(want.objects, r.live)); problem != "" {
		return c.explain(ctx, fmt.Sprintf("cluster %s had exactly the resources of commit %s, and then changed", c.name, short(commit)), problem)
	}
	r.change = changed(before, r.live)
	return nil
}

// notReady returns why the status does not report that the whole commit is applied, or "".
func notReady(sync *v1alpha1.MeshSync, commit string, want expectation) string {
	status := sync.Status
	switch {
	case status.LastAppliedRevision != revision(commit):
		return fmt.Sprintf("status.lastAppliedRevision is %q", status.LastAppliedRevision)
	case !isReady(sync):
		return "it is not ready: " + ready(sync).Message
	case status.Services != int64(want.services) || status.Resources != int64(len(want.objects)):
		return fmt.Sprintf("the status counts %d services and %d resources, `isthmus render` %d and %d",
			status.Services, status.Resources, want.services, len(want.objects))
	}
	return ""
}

// revision is a commit of the branch in Flux's format.
func revision(commit string) string { return branch + "@sha1:" + commit }

func (d *demo) printResults(results []result) {
	var rows []string
	total := 0
	for _, r := range results {
		total += len(r.live)
		rows = append(rows, fmt.Sprintf("%s\t%s@%s\t%d\t%d\t%d\t%d\t%d\t%s", r.cluster.name, branch, short(d.repository.head()),
			r.sync.Status.Services, len(r.live), r.change.created, r.change.updated, r.change.deleted, seconds(r.took)))
	}
	d.out.table("CLUSTER\tREVISION\tSERVICES\tRESOURCES\tCREATED\tUPDATED\tDELETED\tTOOK", rows)
	d.out.passed("the three API servers have exactly the %d resources that `isthmus render` returns for this commit", total)
}

// allChanged fails if a commit wrote nothing to one of the clusters.
func allChanged(results []result) error {
	for _, r := range results {
		if r.change == (change{}) {
			return fmt.Errorf("the commit should change all three clusters, but nothing was written in %s", r.cluster.name)
		}
	}
	return nil
}
