package meshsync

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/execute"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/source"
	"github.com/isthmus-mesh/isthmus/internal/syncrun"
)

func TestEveryOutcomeHasAReasonAndSaysWhatIsUnchanged(t *testing.T) {
	ms := &v1alpha1.MeshSync{ObjectMeta: metav1.ObjectMeta{Namespace: "isthmus-system", Name: "mesh"}, Spec: v1alpha1.MeshSyncSpec{Cluster: "east"}}
	snapshot := &source.Snapshot{Revision: "main@sha1:abc", Commit: "abc"}
	bundle := &render.Bundle{Cluster: "east", UID: "right", Revision: "main@sha1:abc"}
	finding := manifest.Findings{{Service: "web", File: "services/web.cue", Line: 7, Message: "service web calls unknown service carts"}}
	invalid, invalidErr := source.New(source.Options{URL: "ftp://example.com"})
	if invalid != nil || invalidErr == nil {
		t.Fatal("a URL of FTP is accepted, so a case below cannot fail")
	}
	conflict := &execute.Failure{Class: execute.Conflict, Verb: plans.Update, Key: render.Key{Kind: "Gateway", Namespace: "a", Name: "b"}, Err: errors.New("newer")}
	forbidden := &execute.Failure{Class: execute.Forbidden, Verb: plans.Create, Key: render.Key{Kind: "Gateway", Namespace: "a", Name: "c"}, Err: errors.New("no")}

	cases := map[string]struct {
		why      string
		got      outcome
		want     conclusion
		reason   string
		mentions []string
	}{
		"Outage":         {"the network may come back by itself", fetchFailed(errors.New("connection refused")), retrying, v1alpha1.ReasonFetchFailed, []string{"connection refused", untouched}},
		"BadURL":         {"only a user can change the spec", fetchFailed(invalidErr), stalled, v1alpha1.ReasonSourceInvalid, []string{"ftp", untouched}},
		"NoSecret":       {"only a user can create the Secret", fetchFailed(&secretError{errors.New("secret a/b does not exist")}), stalled, v1alpha1.ReasonSourceInvalid, []string{"a/b", untouched}},
		"BadCommit":      {"only a new commit can fix the error", renderFailed(snapshot, finding), stalled, v1alpha1.ReasonInvalidContent, []string{"services/web.cue:7", "carts", "main@sha1:abc", untouched}},
		"EvaluationSlow": {"the machine may have been busy", renderFailed(snapshot, fmt.Errorf("too long: %w", context.DeadlineExceeded)), retrying, v1alpha1.ReasonTimeout, []string{"spec.timeout", untouched}},
		"EvaluationBug":  {"an error outside the commit is retried", renderFailed(snapshot, errors.New("no memory")), retrying, v1alpha1.ReasonEvaluationFailed, []string{"no memory", untouched}},
		"UnknownCluster": {"only a user knows which cluster this is", unknownCluster(ms, snapshot, finding), stalled, v1alpha1.ReasonUnknownCluster, []string{`"east"`, "Nothing is touched"}},
		"WrongCluster":   {"only a user knows which cluster this is", wrongCluster(bundle, "wrong"), stalled, v1alpha1.ReasonWrongCluster, []string{"right", "wrong", "Nothing is touched"}},
		"KindMissing":    {"the CRDs may be installed a minute later", planFailed(bundle, &syncrun.UnavailableError{Err: errors.New("no gateways.networking.istio.io")}), retrying, v1alpha1.ReasonKindUnavailable, []string{"gateways", "Nothing was written"}},
		"Held": {
			"only a user can acknowledge a loss", held(ms, bundle, &plans.Plan{Guard: &plans.Guard{Kind: plans.EmptyBundle, Digest: "d1", Reason: "12 would go"}}), stalled, plans.EmptyBundle,
			[]string{"12 would go", "kubectl -n isthmus-system annotate --overwrite meshsync mesh isthmus.dev/acknowledge=d1", `in Git, for each held cluster with its own digest (status.held.digest): settings: acknowledge: ["d1"]`, untouched},
		},
		"WriteForbidden": {"rights may be given", applied(bundle, &plans.Plan{}, execute.Result{}, errors.Join(forbidden, conflict)), retrying, v1alpha1.ReasonApplyFailed, []string{"Gateway/a/c", "and 1 more", "nothing was deleted"}},
		"RunTooShort":    {"the next run goes on", applied(bundle, &plans.Plan{}, execute.Result{}, errors.Join(context.DeadlineExceeded)), retrying, v1alpha1.ReasonTimeout, []string{"spec.timeout"}},
		"Done":           {"no user must act", applied(bundle, &plans.Plan{}, execute.Result{}, nil), succeeded, meta.ReconciliationSucceededReason, []string{"main@sha1:abc"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if tc.got.conclusion != tc.want || tc.got.reason != tc.reason {
				t.Errorf("%s: got conclusion %d, reason %s; want %d, %s", tc.why, tc.got.conclusion, tc.got.reason, tc.want, tc.reason)
			}
			for _, mention := range tc.mentions {
				if !strings.Contains(tc.got.message, mention) {
					t.Errorf("the message does not say %q: %s", mention, tc.got.message)
				}
			}
		})
	}
	if o := applied(bundle, &plans.Plan{}, execute.Result{}, errors.Join(conflict, conflict)); !o.lostRace {
		t.Error("lost races must not raise an alarm")
	}
	if o := applied(bundle, &plans.Plan{}, execute.Result{}, errors.Join(conflict, forbidden)); o.lostRace {
		t.Error("a failure in addition to a lost race must raise an alarm")
	}
}

func TestMessagesCountUnnamedItems(t *testing.T) {
	bundle := &render.Bundle{Revision: "main@sha1:abc"}
	plan := func(verb plans.Verb, n int) *plans.Plan {
		plan := &plans.Plan{}
		for i := range n {
			key := render.Key{Kind: "Gateway", Namespace: "a", Name: fmt.Sprintf("g%02d", i)}
			plan.Actions = append(plan.Actions, plans.Action{Verb: verb, Key: key, Reason: testReason("owned by argocd")})
		}
		return plan
	}
	held := func(n int) outcome {
		plan := plan(plans.Delete, n)
		plan.Guard = &plans.Guard{Kind: plans.MassDeletion, Reason: "many would go"}
		return held(&v1alpha1.MeshSync{}, bundle, plan)
	}
	refused := func(n int) outcome { return applied(bundle, plan(plans.Refuse, n), execute.Result{}, nil) }
	cases := map[string]struct {
		reason string
		got    outcome
		ends   string
	}{
		"HeldWhole":  {"the status has room for twenty", held(20), " status.pending lists the planned writes."},
		"HeldMore":   {"the status has not all of them", held(21), " status.pending lists the first 20 of 21 planned writes; the controller's log lists all."},
		"RefusedOne": {"it is named", refused(1), "except for 1 resource: Gateway/a/g00: owned by argocd."},
		"RefusedAll": {"one is named", refused(3), "except for 3 resources: Gateway/a/g00: owned by argocd; and 2 more."},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if !strings.HasSuffix(tc.got.message, tc.ends) {
				t.Errorf("%s: got %q, want it to end with %q", tc.reason, tc.got.message, tc.ends)
			}
		})
	}
}

func TestConditionsFollowTheConclusion(t *testing.T) {
	cases := map[string]struct {
		reason                      string
		verdict                     conclusion
		ready, reconciling, stalled bool
	}{
		"Done":     {"kstatus reads it as Current", succeeded, true, false, false},
		"Retrying": {"kstatus reads it as InProgress", retrying, false, true, false},
		"Waiting":  {"kstatus reads it as Failed", stalled, false, false, true},
	}
	r := &Reconciler{}
	for name, tc := range cases {
		for before, previous := range map[string]conclusion{"AfterDone": succeeded, "AfterRetrying": retrying, "AfterWaiting": stalled} {
			t.Run(name+before, func(t *testing.T) {
				ms := &v1alpha1.MeshSync{}
				r.writeConditions(ms, outcome{conclusion: previous, reason: "Before", message: "before"})
				r.writeConditions(ms, outcome{conclusion: tc.verdict, reason: "Now", message: "100% now"})
				got := []bool{conditions.IsReady(ms), conditions.IsReconciling(ms), conditions.IsStalled(ms)}
				if diff := cmp.Diff([]bool{tc.ready, tc.reconciling, tc.stalled}, got); diff != "" {
					t.Errorf("%s: ready, reconciling, stalled: -want, +got:\n%s", tc.reason, diff)
				}
				if message := conditions.GetMessage(ms, meta.ReadyCondition); message != "100% now" {
					t.Errorf("the message was used as a format: %q", message)
				}
			})
		}
	}
}

func TestBranchIsAheadWhileACommitIsNotApplied(t *testing.T) {
	now := time.Unix(1000, 0)
	bundle := &render.Bundle{Revision: "main@sha1:a"}
	succeeded := outcome{conclusion: succeeded, reason: meta.ReconciliationSucceededReason, bundle: bundle}
	create := plans.Action{Verb: plans.Create, Key: render.Key{Kind: "Gateway", Namespace: "a", Name: "new"}}
	foreign := plans.Action{Verb: plans.Refuse, Key: render.Key{Kind: "Gateway", Namespace: "a", Name: "foreign"}, Reason: plans.ForeignObject{}}
	observing := func(actions ...plans.Action) outcome { return observed(bundle, &plans.Plan{Actions: actions}) }
	cases := map[string]struct {
		reason             string
		attempted, applied string
		outcome            outcome
		ahead              bool
	}{
		"Refused":      {"what is refused while it is fetched leaves no snapshot, and the branch is ahead", "main@sha1:b", "main@sha1:a", outcome{conclusion: stalled, reason: v1alpha1.ReasonContentRefused}, true},
		"Invalid":      {"a commit with errors is not applied", "main@sha1:b", "main@sha1:a", outcome{conclusion: stalled, reason: v1alpha1.ReasonInvalidContent}, true},
		"Outage":       {"while Git is down, newer commits are unknown", "main@sha1:a", "main@sha1:a", outcome{conclusion: retrying, reason: v1alpha1.ReasonFetchFailed}, false},
		"NeverFetched": {"there is nothing to be behind of", "", "", outcome{conclusion: retrying, reason: v1alpha1.ReasonFetchFailed}, false},
		"Applied":      {"the cluster has what the branch has", "main@sha1:a", "main@sha1:a", succeeded, false},
		"ToCreate":     {"what is only observed is not in the cluster", "main@sha1:a", "", observing(create), true},
		"ToRefuse":     {"what would be refused does not get into the cluster", "main@sha1:a", "", observing(foreign), true},
		"Drifted":      {"mode Observe does not correct drift", "main@sha1:a", "main@sha1:a", observing(create), true},
		"InPlace":      {"there is nothing to write", "main@sha1:a", "", observing(), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := &Reconciler{now: func() time.Time { return now }, metrics: NewMetrics(func() time.Time { return now })}
			ms, m := &v1alpha1.MeshSync{}, &syncState{}
			ms.Status.LastAttemptedRevision, ms.Status.LastAppliedRevision = tc.attempted, tc.applied
			r.writeLag(ms, m, tc.outcome)
			if got := !m.behindSince.IsZero(); got != tc.ahead {
				t.Errorf("%s: ahead is %v, want %v", tc.reason, got, tc.ahead)
			}
		})
	}
}

func TestObservedInSyncClusterIsNotBehindDuringAnOutage(t *testing.T) {
	create := plans.Action{Verb: plans.Create, Key: render.Key{Kind: "Gateway", Namespace: "a", Name: "new"}}
	at := func(revision string, actions ...plans.Action) outcome {
		return observed(&render.Bundle{Revision: revision}, &plans.Plan{Actions: actions})
	}
	outage := outcome{conclusion: retrying, reason: v1alpha1.ReasonFetchFailed, saysNothing: true}
	steps := []struct {
		reason    string
		attempted string
		outcome   outcome
		ahead     bool
	}{
		{"there is nothing to write", "main@sha1:a", at("main@sha1:a"), false},
		{"newer commits are unknown", "main@sha1:a", outage, false},
		{"a newer one was fetched, and cannot be compared", "main@sha1:b", outcome{conclusion: stalled, reason: v1alpha1.ReasonInvalidContent}, true},
		{"it is reverted", "main@sha1:c", at("main@sha1:c"), false},
		{"a newer one is not written", "main@sha1:d", at("main@sha1:d", create), true},
		{"which an outage does not change", "main@sha1:d", outage, true},
	}
	r := &Reconciler{now: time.Now, metrics: NewMetrics(time.Now)}
	ms, m := &v1alpha1.MeshSync{Spec: v1alpha1.MeshSyncSpec{Mode: v1alpha1.ModeObserve}}, &syncState{}
	for _, step := range steps {
		ms.Status.LastAttemptedRevision = step.attempted
		r.writeLag(ms, m, step.outcome)
		if got := !m.behindSince.IsZero(); got != step.ahead {
			t.Errorf("%s: ahead is %v, want %v", step.reason, got, step.ahead)
		}
	}
}

func TestHealthyIsFalseWhileObserveModeHasPendingWrites(t *testing.T) {
	key := render.Key{Kind: "Gateway", Namespace: "a", Name: "g"}
	cases := map[string]struct {
		reason  string
		plan    plans.Plan
		healthy bool
		want    string
	}{
		"ToWrite": {
			"one of three is there",
			plans.Plan{Unchanged: 1, Actions: []plans.Action{{Verb: plans.Create, Key: key}, {Verb: plans.Update, Key: key}}},
			false,
			"1 of 3 resources of main@sha1:a are in place; 1 to create, 1 to update. Nothing is written, because spec.mode is Observe",
		},
		"ToDelete": {
			"all are there, and one too many",
			plans.Plan{Unchanged: 3, Actions: []plans.Action{{Verb: plans.Delete, Key: key}}},
			false,
			"3 of 3 resources of main@sha1:a are in place; 1 to delete. Nothing is written, because spec.mode is Observe",
		},
		"InPlace": {"there is nothing to write", plans.Plan{Unchanged: 3}, true, "All resources of main@sha1:a are in place"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ms := &v1alpha1.MeshSync{}
			// The condition from before mode Observe.
			conditions.MarkTrue(ms, meta.HealthyCondition, meta.SucceededReason, "All resources of main@sha1:b are in place")
			(&Reconciler{}).writeConditions(ms, observed(&render.Bundle{Revision: "main@sha1:a", Resources: make([]render.Resource, 3)}, &tc.plan))
			if got := conditions.GetMessage(ms, meta.HealthyCondition); got != tc.want || conditions.IsTrue(ms, meta.HealthyCondition) != tc.healthy {
				t.Errorf("%s: got %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

func TestHealthyNamesTheRevisionAndSkippedObjects(t *testing.T) {
	commit := "main@sha1:0123456789abcdef0123456789abcdef01234567"
	cases := map[string]struct {
		reason string
		plan   plans.Plan
		want   string
	}{
		"All":     {"the cluster is in sync", plans.Plan{}, "All resources of main@sha1:0123456789ab are in place"},
		"Skipped": {"two objects are skipped", plans.Plan{Actions: []plans.Action{{Verb: plans.Skip, Reason: testReason("opted out")}, {Verb: plans.Report, Reason: testReason("not in the repository")}}}, "All resources of main@sha1:0123456789ab are in place, except 2 skipped"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ms := &v1alpha1.MeshSync{}
			(&Reconciler{}).writeConditions(ms, applied(&render.Bundle{Revision: commit}, &tc.plan, execute.Result{}, nil))
			if got := conditions.GetMessage(ms, meta.HealthyCondition); got != tc.want {
				t.Errorf("%s: got %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

func TestObservedPlanIsNamed(t *testing.T) {
	commit := "main@sha1:0123456789abcdef0123456789abcdef01234567"
	plan := plans.Plan{Namespaces: []string{"shop"}, Actions: []plans.Action{
		{Verb: plans.Refuse, Key: render.Key{Kind: "Gateway", Namespace: "a", Name: "foreign"}, Reason: testReason("owned by argocd")},
		{Verb: plans.Refuse, Key: render.Key{Kind: "Gateway", Namespace: "a", Name: "other"}, Reason: testReason("owned by argocd")},
	}}
	for i := range 25 {
		key := render.Key{Kind: "Gateway", Namespace: "a", Name: fmt.Sprintf("g%02d", i)}
		plan.Actions = append(plan.Actions, plans.Action{Verb: plans.Update, Key: key, Fields: []string{"spec.servers"}})
	}
	o := observed(&render.Bundle{Revision: commit}, &plan)
	want := "Observed main@sha1:0123456789ab: 1 to create, 25 to update, 2 refused. Nothing is written, because spec.mode is Observe. " +
		"Mode Apply would: create Namespace/shop; update Gateway/a/g00; update Gateway/a/g01; "
	if !strings.HasPrefix(o.message, want) || !strings.HasSuffix(o.message, "update Gateway/a/g08; and 16 more. Refused: Gateway/a/foreign: owned by argocd; and 1 more.") {
		t.Errorf("got %q, want it to begin with %q", o.message, want)
	}
	ms := &v1alpha1.MeshSync{}
	r := &Reconciler{now: time.Now}
	r.writeStatus(ms, &syncState{}, o)
	if got := ms.Status.Pending; len(got) != 20 || cmp.Diff(v1alpha1.Pending{Verb: "update", Resource: "Gateway/a/g00", Fields: []string{"spec.servers"}}, got[1]) != "" {
		t.Errorf("the status does not list the first twenty: %+v", got)
	}
	if o := observed(&render.Bundle{Revision: commit}, &plans.Plan{}); o.message != "Observed main@sha1:0123456789ab: nothing to change." {
		t.Errorf("without a plan: %q", o.message)
	}
	if o := observed(&render.Bundle{Revision: commit}, &plans.Plan{Actions: plan.Actions[:1]}); o.message != "Observed main@sha1:0123456789ab: 1 refused. Refused: Gateway/a/foreign: owned by argocd." {
		t.Errorf("with refusals only: %q", o.message)
	}
}

func TestDeferredAndWithdrawingAreSortedByTime(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 7, time.UTC)
	plan := plans.Plan{}
	for i := range 25 {
		key := render.Key{Kind: "ServiceEntry", Namespace: "a", Name: fmt.Sprintf("e%02d", i)}
		for _, verb := range []plans.Verb{plans.Defer, plans.Withdraw} {
			// The last one is due first.
			plan.Actions = append(plan.Actions, plans.Action{Verb: verb, Key: key, Service: "cart", Until: start.Add(-time.Duration(i) * time.Minute)})
		}
	}
	plan.Actions = append(plan.Actions, plans.Action{Verb: plans.Create, Key: render.Key{Kind: "ServiceEntry", Namespace: "a", Name: "now"}})
	ms := &v1alpha1.MeshSync{}
	r, m := &Reconciler{now: time.Now}, &syncState{fetched: fetched{snapshot: &source.Snapshot{Revision: "main@sha1:a"}}}
	bundle := &render.Bundle{Revision: "main@sha1:a"}
	r.writeStatus(ms, m, applied(bundle, &plan, execute.Result{}, nil))
	var settling []v1alpha1.Deferred
	var withdrawing []v1alpha1.Withdrawal
	for i := range 20 {
		resource, until := fmt.Sprintf("ServiceEntry/a/e%02d", 24-i), metav1.NewTime(start.Truncate(time.Second).Add(time.Duration(i-24)*time.Minute))
		settling = append(settling, v1alpha1.Deferred{Service: "cart", Resource: resource, Until: until})
		withdrawing = append(withdrawing, v1alpha1.Withdrawal{Service: "cart", Resource: resource, Until: until})
	}
	if diff := cmp.Diff(settling, ms.Status.Deferred); diff != "" || ms.Status.DeferredCount != 25 {
		t.Errorf("%d deferred: -want, +got:\n%s", ms.Status.DeferredCount, diff)
	}
	if diff := cmp.Diff(withdrawing, ms.Status.Withdrawing); diff != "" || ms.Status.WithdrawingCount != 25 {
		t.Errorf("%d withdrawing: -want, +got:\n%s", ms.Status.WithdrawingCount, diff)
	}
	r.writeStatus(ms, m, applied(bundle, &plans.Plan{}, execute.Result{}, nil))
	if len(ms.Status.Deferred) > 0 || ms.Status.DeferredCount > 0 {
		t.Errorf("a finished deferral is still listed: %+v", ms.Status.Deferred)
	}
}

func TestNextRunIsAlwaysScheduledInTheFuture(t *testing.T) {
	now := time.Unix(1000, 0)
	r := &Reconciler{now: func() time.Time { return now }}
	at := now.Add
	ms := &v1alpha1.MeshSync{Spec: v1alpha1.MeshSyncSpec{Interval: metav1.Duration{Duration: time.Hour}}}
	cases := map[string]struct {
		reason  string
		memory  syncState
		outcome outcome
		want    time.Duration
	}{
		"Done":            {"Git is asked when that is due", syncState{fetched: fetched{due: at(time.Minute)}}, outcome{conclusion: succeeded}, time.Minute},
		"Overdue":         {"what is overdue is not for never, which zero would mean", syncState{fetched: fetched{due: at(-time.Minute)}}, outcome{conclusion: succeeded}, 10 * time.Millisecond},
		"Retry":           {"a retry comes before the interval ends", syncState{fetched: fetched{due: at(time.Minute)}, retry: retries{due: at(time.Second)}}, outcome{conclusion: retrying}, time.Second},
		"OldRetry":        {"a retry that is past is not due again and again", syncState{fetched: fetched{due: at(time.Minute)}, retry: retries{due: at(-time.Second)}}, outcome{conclusion: retrying}, time.Minute},
		"NothingFetched":  {"a run that failed before the fetch does not spin", syncState{retry: retries{due: at(time.Second)}}, outcome{conclusion: retrying}, time.Second},
		"AnotherMeshSync": {"a younger MeshSync is woken when the older goes", syncState{}, outcome{conclusion: stalled, reason: v1alpha1.ReasonAnotherMeshSync}, time.Hour},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := r.nextRun(ms, &tc.memory, tc.outcome); got != tc.want {
				t.Errorf("%s: got %s, want %s", tc.reason, got, tc.want)
			}
		})
	}
}

func TestOldestMeshSyncManagesTheCluster(t *testing.T) {
	at := func(seconds int64, namespace, name string) *v1alpha1.MeshSync {
		return &v1alpha1.MeshSync{ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, UID: types.UID(namespace + name), CreationTimestamp: metav1.Unix(seconds, 0),
		}}
	}
	cases := map[string]struct {
		reason string
		a, b   *v1alpha1.MeshSync
		want   bool
	}{
		"Older":         {"age comes first", at(1, "z", "z"), at(2, "a", "a"), true},
		"Younger":       {"age comes first", at(2, "a", "a"), at(1, "z", "z"), false},
		"SameNamespace": {"names tell those of the same second apart", at(1, "a", "a"), at(1, "a", "b"), true},
		"Namespaces":    {"namespaces come before names", at(1, "b", "a"), at(1, "a", "b"), false},
		"Itself":        {"nothing is older than itself", at(1, "a", "a"), at(1, "a", "a"), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := syncrun.IsOlder(tc.a, tc.b); got != tc.want {
				t.Errorf("%s: got %v", tc.reason, got)
			}
		})
	}
}

func TestWaitForAStaleCacheIsLimited(t *testing.T) {
	now := time.Unix(1000, 0)
	ms := &v1alpha1.MeshSync{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "9"}}
	cases := map[string]struct {
		reason  string
		written written
		want    bool
	}{
		"NothingWritten": {"after a restart the cache is all there is", written{}, false},
		"Behind":         {"9 is before 10, as numbers", written{"10", now}, true},
		"Same":           {"the cache has caught up", written{"9", now}, false},
		"Ahead":          {"another client wrote since", written{"8", now}, false},
		"BehindForLong":  {"drift must not wait for a watch that is broken", written{"10", now.Add(-time.Minute)}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := tc.written.stale(ms, now); got != tc.want {
				t.Errorf("%s: got %v", tc.reason, got)
			}
		})
	}
}

func TestLongMessagesFitIntoTheStatus(t *testing.T) {
	long := strings.Repeat("ü", 100_000)
	r := &Reconciler{now: time.Now}
	ms := &v1alpha1.MeshSync{}
	o := fitToStatus(outcome{conclusion: stalled, reason: "Long", message: long, errors: []v1alpha1.SyncError{{Message: long}}})
	r.writeConditions(ms, o)
	r.writeStatus(ms, &syncState{}, o)
	// The API server takes 32,768 characters in a condition, and etcd 1.5 MiB in all.
	for _, c := range ms.Status.Conditions {
		if len(c.Message) > 32_768 || !strings.HasPrefix(c.Message, "ü") || !strings.HasSuffix(c.Message, "log.") {
			t.Errorf("condition %s: %d bytes", c.Type, len(c.Message))
		}
	}
	if n := len(ms.Status.Errors[0].Message); n > 10_000 {
		t.Errorf("the error in the status has %d bytes", n)
	}
	if short := fitToStatus(outcome{message: "short"}); short.message != "short" {
		t.Errorf("a short message is changed: %q", short.message)
	}
}

// testReason is the reason of an action.
type testReason string

func (r testReason) String() string { return string(r) }
