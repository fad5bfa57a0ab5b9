//go:build linux

package torture_test

import (
	"sync/atomic"
	"syscall"
	"time"
)

// faults are all kinds of faults. A seed repeats a run only with the same order and weights.
var faults = []fault{
	{name: "api-server-killed", weight: 1, slow: true, inject: apiServerKilled},
	{name: "clock-jumps", weight: 3, inject: clockJumps, tolerated: true, exclusive: true, idles: true},
	{name: "commit-broken", weight: 2, inject: commitBroken},
	{name: "commits-fast", weight: 2, inject: commitsFast},
	{name: "connections-cut", weight: 4, inject: connectionsCut},
	{name: "controller-killed", weight: 4, inject: controllerKilled},
	{name: "disk-full", weight: 2, inject: diskFull, tolerated: true, overlaps: true, exclusive: true},
	{name: "manual-edits", weight: 3, inject: manualEdits},
	{name: "etcd-killed", weight: 1, slow: true, inject: etcdKilled},
	{name: "git-cut", weight: 1, inject: gitCut, overlaps: true, exclusive: true},
	{name: "git-down", weight: 1, inject: gitDown, overlaps: true, exclusive: true},
	{name: "git-force-pushed", weight: 2, inject: gitForcePushed, exclusive: true},
	{name: "git-revoked", weight: 2, inject: gitRevoked, exclusive: true},
	{name: "git-slow", weight: 1, inject: gitSlow, tolerated: true, exclusive: true},
	{name: "git-truncated", weight: 2, inject: gitTruncated, overlaps: true, exclusive: true},
	{name: "leader-killed", weight: 2, inject: leaderKilled},
	{name: "leader-paused", weight: 1, inject: leaderPaused},
	{name: "lease-lost", weight: 2, inject: leaseLost},
	{name: "meshsync-recreated", weight: 2, inject: meshSyncRecreated},
	{name: "partition", weight: 2, inject: partition},
	{name: "policy-denies", weight: 1, inject: policyDenies},
	{name: "object-replaced", weight: 1, inject: objectReplaced},
	{name: "error-429", weight: 2, inject: errorResponses(status429)},
	{name: "error-500", weight: 2, inject: errorResponses(status500)},
	{name: "webhook-hangs", weight: 2, inject: webhookHangs, exclusive: true},
	{name: "webhook-denies", weight: 2, inject: webhookDenies, exclusive: true},
}

// controllerKilled kills processes at one of their next writes or after a random time.
func controllerKilled(inj *injection) func() {
	var armed []*controller
	for _, c := range inj.someClusters() {
		k := c.leader()
		if inj.chance(0.3) {
			after := time.Duration(inj.random.IntN(1500)) * time.Millisecond
			inj.note("%s after %s", k.name, after)
			time.AfterFunc(after, k.kill)
			continue
		}
		how, at := killBefore, 1+inj.random.IntN(12)
		if inj.chance(0.5) {
			how = killAfter
		}
		inj.note("%s at write %d, performed: %v", k.name, at, how == killAfter)
		k.relay.set(nth(at, how))
		armed = append(armed, k)
	}
	return func() {
		inj.pause(200*time.Millisecond, 1500*time.Millisecond)
		for _, k := range armed {
			k.relay.set(nil)
		}
	}
}

// nth applies a treatment to the n-th write from now.
func nth(n int, how treatment) func(request) treatment {
	var seen atomic.Int64
	return func(sent request) treatment {
		if sent.Writes() && seen.Add(1) == int64(n) {
			return how
		}
		return pass
	}
}

// leaderKilled kills the leader at a write, and sometimes the next leader too.
func leaderKilled(inj *injection) func() {
	c := inj.clusters[0]
	k := c.leader()
	how := []treatment{killBefore, killAfter}[inj.random.IntN(2)]
	at := 1 + inj.random.IntN(6)
	inj.note("%s at write %d, performed: %v", k.name, at, how == killAfter)
	k.relay.set(nth(at, how))
	return func() {
		k.relay.set(nil)
		if inj.chance(0.5) {
			inj.note("%s at once", c.leader().name)
			c.leader().kill()
		}
	}
}

// leaderPaused stops the leader's process during writes and for longer than its lease. When the
// process continues, it does not know that it lost the lease.
func leaderPaused(inj *injection) func() {
	c := inj.clusters[0]
	k := c.leader()
	setBack := inj.chance(0.5)
	inj.note("%s, its clock set back by the pause: %v", k.name, setBack)
	inj.commit(inj.number)
	inj.pause(0, 1500*time.Millisecond)
	k.signal(syscall.SIGSTOP)
	stopped := time.Now()
	return func() {
		until(inj.T, "the other controller is the leader", func() string {
			if c.leader() == k {
				return k.name + " renewed the lease last"
			}
			return ""
		})
		inj.pause(0, time.Second)
		if setBack {
			k.clock.set(k.clock.offset() - time.Since(stopped))
		}
		k.signal(syscall.SIGCONT)
	}
}

// errorResponses makes the relay respond with an error to a share of the requests.
func errorResponses(how treatment) func(*injection) func() {
	return func(inj *injection) func() {
		share := []float64{0.2, 0.5, 1}[inj.random.IntN(3)]
		onlyWrites := inj.chance(0.5)
		hit := inj.someClusters()
		inj.note("%.0f %% of the requests, only writes: %v", 100*share, onlyWrites)
		random := inj.concurrentRandom()
		for _, c := range hit {
			c.setTreatment(func(sent request) treatment {
				if sent.Lease() || onlyWrites && !sent.Writes() || random() >= share {
					return pass
				}
				return how
			})
		}
		return func() {
			inj.pause(200*time.Millisecond, 2*time.Second)
			stopDisturbing(hit)
		}
	}
}

// connectionsCut breaks connections during a share of the writes.
func connectionsCut(inj *injection) func() {
	share := []float64{0.2, 0.5, 0.9}[inj.random.IntN(3)]
	how := cuts[inj.random.IntN(len(cuts))]
	any := inj.chance(0.3)
	hit := inj.someClusters()
	inj.note("%.0f %% of the writes, treatment %d, or random: %v", 100*share, how, any)
	random := inj.concurrentRandom()
	for _, c := range hit {
		c.setTreatment(func(sent request) treatment {
			if !sent.Writes() || random() >= share {
				return pass
			}
			if any {
				return cuts[int(random()*float64(len(cuts)))]
			}
			return how
		})
	}
	return func() {
		inj.pause(200*time.Millisecond, 2*time.Second)
		stopDisturbing(hit)
	}
}

// partition separates controllers from their API servers: requests hang, or every connection
// breaks.
func partition(inj *injection) func() {
	how := []treatment{hang, cutBefore}[inj.random.IntN(2)]
	hit := inj.someClusters()
	inj.note("requests hang: %v", how == hang)
	for _, c := range hit {
		c.setTreatment(func(request) treatment { return how })
		c.closeConnections()
	}
	return func() {
		inj.pause(200*time.Millisecond, 3*time.Second)
		stopDisturbing(hit)
		for _, c := range hit {
			c.closeConnections()
		}
	}
}

func stopDisturbing(clusters []*cluster) {
	for _, c := range clusters {
		c.setTreatment(nil)
	}
}

// apiServerKilled restarts API servers while their controllers write.
func apiServerKilled(inj *injection) func() {
	hit := inj.someClusters()
	inj.commit(inj.number)
	inj.pause(0, 1500*time.Millisecond)
	for _, c := range hit {
		must(inj.T, c.server.Restart(inj.Context(), inj.upTo(time.Second)))
	}
	return func() {}
}

// etcdKilled restarts the etcd of all clusters while their controllers write.
func etcdKilled(inj *injection) func() {
	inj.commit(inj.number)
	inj.pause(0, 1500*time.Millisecond)
	must(inj.T, suite.Fleet.RestartEtcd(inj.Context(), inj.upTo(2*time.Second)))
	return func() {}
}

// diskFull fills the disk of caches and temporary files. Sometimes a process starts on the full
// disk.
func diskFull(inj *injection) func() {
	inj.disk.fill(inj.T, inj.controllers())
	if inj.chance(0.5) {
		c := inj.clusters[1+inj.random.IntN(2)]
		inj.note("%s starts on the full disk", c.name)
		c.leader().kill()
	}
	return func() { inj.disk.clear(inj.T, inj.controllers()) }
}
