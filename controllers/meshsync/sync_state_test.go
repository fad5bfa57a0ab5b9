package meshsync

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRetriesBackOffExponentially(t *testing.T) {
	now := time.Unix(0, 0)
	var r retries
	var waits []time.Duration
	for range 6 {
		waits = append(waits, r.failed(now, 750*time.Millisecond, 10*time.Second).Sub(now))
	}
	want := []time.Duration{750 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second, 6 * time.Second, 10 * time.Second, 10 * time.Second}
	if diff := cmp.Diff(want, waits); diff != "" {
		t.Errorf("waits: -want, +got:\n%s", diff)
	}
	for range 100 {
		if wait := r.failed(now, 750*time.Millisecond, time.Hour).Sub(now); wait <= 0 || wait > time.Hour {
			t.Fatalf("after many failures the wait is %s", wait)
		}
	}
}

func TestRenderResultIsValidForItsCommitOnly(t *testing.T) {
	now := time.Unix(1000, 0)
	key := renderKey{revision: "main@sha1:a", cluster: "east"}
	cases := map[string]struct {
		reason   string
		rendered renderResult
		asked    renderKey
		want     bool
	}{
		"Same":           {"the same commit gives the same bundle", renderResult{key: key}, key, true},
		"AnotherCommit":  {"another commit may give another", renderResult{key: key}, renderKey{revision: "main@sha1:b", cluster: "east"}, false},
		"AnotherCluster": {"and so may another cluster", renderResult{key: key}, renderKey{revision: "main@sha1:a", cluster: "west"}, false},
		"Nothing":        {"nothing was rendered yet", renderResult{}, key, false},
		"FailureToRetry": {"a failure that is not in the commit is tried again when that is due", renderResult{key: key, until: now}, key, false},
		"FailureTooSoon": {"and not before", renderResult{key: key, until: now.Add(time.Second)}, key, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := tc.rendered.answers(tc.asked, now); got != tc.want {
				t.Errorf("answers: got %v, want %v: %s", got, tc.want, tc.reason)
			}
		})
	}
}
