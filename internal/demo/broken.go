package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
)

// broken commits a mistake, checks that only the broken service is frozen, and corrects the
// mistake.
func (d *demo) broken(ctx context.Context) error {
	d.out.title("4. A broken commit: checkout is to call search, but the name is misspelled.")
	const (
		calls      = "egress: {cart: {}, orders: {}, ledger: {}, stripe: {}}"
		misspelled = "egress: {cart: {}, orders: {}, ledger: {}, stripe: {}, serach: {}}"
		right      = "egress: {cart: {}, orders: {}, ledger: {}, stripe: {}, search: {}}"
	)
	before, err := d.read(ctx)
	if err != nil {
		return err
	}
	good := d.repository.head()
	if err := d.edit([]edit{{checkoutFile, calls, misspelled}}); err != nil {
		return err
	}
	line, err := d.repository.line(checkoutFile, misspelled)
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
	after, err := d.read(ctx)
	if err != nil {
		return err
	}
	total := 0
	for _, c := range d.clusters {
		if touched := changed(before[c.name], after[c.name]); touched != (change{}) {
			return fmt.Errorf("the broken commit must not change cluster %s, but %d resources were created, %d updated, %d deleted",
				c.name, touched.created, touched.updated, touched.deleted)
		}
		total += len(after[c.name])
	}
	d.out.passed("none of the %d resources was written: every resourceVersion is the same as before", total)

	d.out.line("   A second commit corrects the name:")
	_, results, _, err := d.commit(ctx, "Correct the name of search", edit{checkoutFile, misspelled, right})
	if err != nil {
		return err
	}
	if results[0].change == (change{}) {
		return fmt.Errorf("checkout in %s calls search now, but nothing was written to that cluster", results[0].cluster.name)
	}
	return nil
}

// frozen waits until every cluster that runs or calls checkout reports that it is frozen, and the
// line of the mistake.
func (d *demo) frozen(ctx context.Context, pushed time.Time, good string, line int32) error {
	done := d.out.running("waiting for three clusters")
	defer done()
	bad := d.repository.head()
	reported := map[string]v1alpha1.SyncError{}
	took := map[string]time.Duration{}
	var mu sync.Mutex
	err := d.each(ctx, func(ctx context.Context, c *cluster) error {
		what := fmt.Sprintf("freeze checkout in commit %s because of %s:%d", short(bad), checkoutFile, line)
		_, err := d.await(ctx, c, what, func(ctx context.Context) (string, error) {
			sync, err := c.sync(ctx)
			if err != nil {
				return "", err
			}
			problem, cause := notFrozen(sync, good, bad, line)
			mu.Lock()
			defer mu.Unlock()
			reported[c.name], took[c.name] = cause, time.Since(pushed)
			return problem, nil
		})
		return err
	})
	done()
	if err != nil {
		return err
	}
	var rows []string
	frozen := 0
	for _, c := range d.clusters {
		status := "Ready: checkout neither runs in this cluster nor is called from it"
		if e := reported[c.name]; e.Message != "" {
			status = fmt.Sprintf("%s:%d: %s", e.File, e.Line, printable(e.Message))
			frozen++
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s", c.name, status, seconds(took[c.name])))
	}
	if frozen == 0 {
		return errors.New("no cluster reports the mistake in the commit")
	}
	d.out.table("CLUSTER\tSTATUS OF THE MESHSYNC\tTOOK", rows)
	return nil
}

// notFrozen returns why a status does not report that checkout is frozen at the commit good, or the
// error that names the mistake. A cluster that neither runs nor calls checkout is Ready at the
// commit bad, and has no error.
func notFrozen(sync *v1alpha1.MeshSync, good, bad string, line int32) (problem string, cause v1alpha1.SyncError) {
	status := sync.Status
	switch condition := ready(sync); {
	case status.LastAppliedRevision != revision(bad):
		return fmt.Sprintf("status.lastAppliedRevision is %q", status.LastAppliedRevision), cause
	case isReady(sync) && status.ErrorCount == 0:
		return "", cause
	case condition.Status != metav1.ConditionFalse || condition.Reason != v1alpha1.ReasonServicesFrozen:
		return fmt.Sprintf("Ready is not False with the reason %s, but has the reason %q", v1alpha1.ReasonServicesFrozen, condition.Reason), cause
	case len(status.Frozen) != 1 || status.Frozen[0] != v1alpha1.FrozenService{Service: "checkout", Revision: revision(good)}:
		return fmt.Sprintf("status.frozen is not checkout as of commit %s, but %v", good, status.Frozen), cause
	}
	var places []string
	for _, e := range status.Errors {
		if e.File == checkoutFile && e.Line == line && strings.Contains(e.Message, "serach") {
			return "", e
		}
		places = append(places, fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Message))
	}
	return "status.errors does not name the line; it has " + abbreviate(places), cause
}
