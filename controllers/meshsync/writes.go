package meshsync

import (
	"fmt"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/apply"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// writes counts what a run wrote, or, in mode Observe, would have.
type writes struct {
	namespaces, created, updated, claimed, deleted, failed int
	// drifted are the objects among them that somebody had changed.
	drifted []render.Key
}

// wrote counts what was carried out.
func wrote(result apply.Result) writes {
	w := writes{
		namespaces: len(result.Namespaces), created: result.Created, updated: result.Updated,
		claimed: result.Claimed, deleted: result.Deleted, failed: result.Failed,
	}
	for _, o := range result.Outcomes {
		if o.Action.Drift && o.Failure == nil && o.Skipped == "" {
			w.drifted = append(w.drifted, o.Action.Key)
		}
	}
	return w
}

// planned counts what a plan would write.
func planned(plan *apply.Plan) writes {
	w := writes{
		namespaces: len(plan.Namespaces), created: plan.Count(apply.Create), updated: plan.Count(apply.Update),
		claimed: plan.Count(apply.Claim), deleted: plan.Count(apply.Delete),
	}
	for _, action := range plan.Actions {
		if action.Drift {
			w.drifted = append(w.drifted, action.Key)
		}
	}
	return w
}

// any reports whether the cluster is, or would be, another than before.
func (w writes) any() bool { return w.namespaces+w.created+w.updated+w.claimed+w.deleted > 0 }

func (w writes) String() string {
	var parts []string
	for _, part := range []struct {
		count int
		what  string
	}{{w.created, "created"}, {w.updated, "updated"}, {w.claimed, "claimed"}, {w.deleted, "deleted"}} {
		if part.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.count, part.what))
		}
	}
	if w.namespaces > 0 {
		parts = append(parts, count(w.namespaces, "namespace")+" made")
	}
	if len(parts) == 0 {
		return "nothing to change"
	}
	return strings.Join(parts, ", ")
}
