//go:build linux

package torture_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// environment consists of three clusters with their controllers, and the repository.
type environment struct {
	seed     uint64
	git      *repository
	clusters []*cluster
	disk     *disk
	// state is the number of the mesh state on the branch.
	state    int
	password string
	// recoveries are the times from the end of a fault to convergence, by kind of fault.
	recoveries map[string][]time.Duration
	started    time.Time
}

// newEnvironment returns after the first sync of all clusters.
func newEnvironment(t *testing.T, seed uint64) *environment {
	t.Helper()
	env := &environment{seed: seed, git: newRepository(t), disk: newDisk(t), password: "secret", recoveries: map[string][]time.Duration{}, started: time.Now()}
	env.git.proxy.setPassword(env.password)
	t.Cleanup(func() {
		if t.Failed() {
			for _, c := range env.clusters {
				t.Log(c.describe())
			}
		}
	})
	env.git.commit(t, meshOf(seed, 0))
	for _, server := range suite.Fleet.Clusters() {
		c := install(t, server, env.git)
		env.clusters = append(env.clusters, c)
		c.setPassword(t, env.password)
		if c.name == "east" {
			// The lease is short, but a busy machine still renews it in time.
			lease := []string{"--leader-election-lease-duration=5s", "--leader-election-renew-deadline=4s", "--leader-election-retry-period=500ms"}
			for i := range 2 {
				c.controllers = append(c.controllers, c.start(t, fmt.Sprintf("%s-%d", c.name, i), env.disk.path, lease...))
			}
		} else {
			c.controllers = append(c.controllers, c.start(t, c.name, env.disk.path, "--enable-leader-election=false"))
		}
		c.createMeshSync(t)
	}
	env.converge(t, "the first sync")
	for _, c := range env.clusters {
		var required []string
		for _, name := range requiredServices {
			required = append(required, hostOf(name))
		}
		c.hosts.Require(required...)
	}
	return env
}

// converge waits until every cluster equals the branch. It fails if a required host was absent.
func (env *environment) converge(t *testing.T, after string) {
	t.Helper()
	commit := env.git.head(t)
	for _, c := range env.clusters {
		until(t, fmt.Sprintf("after %s %s equals the repository", after, c.name), func() string { return c.wrong(t, commit) })
	}
	for _, c := range env.clusters {
		// The cluster may have changed while another one was awaited.
		if wrong := c.wrong(t, commit); wrong != "" {
			t.Errorf("after %s %s equalled the repository and then no longer did: %s", after, c.name, wrong)
		}
		if absent := c.hosts.Absences(); len(absent) > 0 {
			t.Errorf("after %s a required host was absent in %s:\n%s", after, c.name, strings.Join(absent, "\n"))
		}
	}
}

// disturbed is the number of requests to API servers that did not pass unchanged.
func (env *environment) disturbed() (n int64) {
	for _, k := range env.controllers() {
		n += k.relay.disturbed.Load()
	}
	return n
}

// controllers returns the controllers of all clusters.
func (env *environment) controllers() []*controller {
	var out []*controller
	for _, c := range env.clusters {
		out = append(out, c.controllers...)
	}
	return out
}

// checkIdle checks that nothing is written while nothing happens, and that controllers do not
// reconcile much more often than their interval.
func (env *environment) checkIdle(t *testing.T) {
	t.Helper()
	before := map[string]map[string]string{}
	logged, written := map[string]int64{}, map[string]int64{}
	for _, c := range env.clusters {
		var err error
		before[c.name], err = c.versions(t.Context())
		must(t, err)
	}
	for _, k := range env.controllers() {
		logged[k.name], written[k.name] = k.logSize(), k.relay.written.Load()
	}
	const intervals = 10
	time.Sleep(intervals * interval)
	for _, c := range env.clusters {
		after, err := c.versions(t.Context())
		must(t, err)
		if diff := cmp.Diff(before[c.name], after); diff != "" {
			t.Errorf("without any change, objects were written in %s: -before, +after:\n%s", c.name, diff)
		}
	}
	for _, k := range env.controllers() {
		if runs := strings.Count(k.logged(logged[k.name]), runEnds); runs > 3*intervals {
			t.Errorf("without any change, %s reconciled %d times in %d intervals", k.name, runs, intervals)
		}
		// The last status update may still be pending.
		if writes := k.relay.written.Load() - written[k.name]; writes > 2 {
			t.Errorf("without any change, %s wrote %d times in %d intervals", k.name, writes, intervals)
		}
	}
}
