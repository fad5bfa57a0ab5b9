package app

import (
	"context"
	"errors"
	"strings"
	"testing"

	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/isthmus-mesh/isthmus/internal/execute"
)

// fakeLock is a lock of the identity "me" with a fixed record.
type fakeLock struct {
	resourcelock.Interface
	holder string
	err    error
}

func (l fakeLock) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	return &resourcelock.LeaderElectionRecord{HolderIdentity: l.holder}, nil, l.err
}

func (l fakeLock) Identity() string { return "me" }

func TestLeaderCheck(t *testing.T) {
	down := errors.New("the API server is down")
	for name, tc := range map[string]struct {
		reason string
		lock   fakeLock
		want   error
		text   string
	}{
		"Leader":     {"this process holds the lease", fakeLock{holder: "me"}, nil, ""},
		"Other":      {"the error names the leader", fakeLock{holder: "other"}, execute.ErrNotLeading, "other"},
		"Released":   {"a free lease has no holder", fakeLock{}, execute.ErrNotLeading, ""},
		"Unreadable": {"an unreadable lease is not proof of another leader", fakeLock{err: down}, down, "lease cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			err := leaderCheck(tc.lock)(t.Context())
			if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Fatalf("%s: got %v, want %v", tc.reason, err, tc.want)
			}
			if err != nil && !strings.Contains(err.Error(), tc.text) {
				t.Errorf("%s: %q does not contain %q", tc.reason, err, tc.text)
			}
			if errors.Is(tc.want, down) && errors.Is(err, execute.ErrNotLeading) {
				t.Errorf("%s: got %v", tc.reason, err)
			}
		})
	}
}

func TestReadyWhenCachesAreSynced(t *testing.T) {
	for _, synced := range []bool{true, false} {
		check := &cacheCheck{waitForSync: func(context.Context) bool { return synced }}
		if err := check.check(nil); err == nil {
			t.Error("ready before the start")
		}
		if err := check.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := check.check(nil); (err == nil) != synced {
			t.Errorf("synced is %v, but the check returns %v", synced, err)
		}
	}
}
