//go:build linux

package torture_test

import (
	"sync/atomic"
	"time"
)

// faults are all sorts, in the order of the report's table.
var faults = []fault{
	{name: "api-server-killed", weight: 1, slow: true, begin: apiServerKilled},
	{name: "clock-jumps", weight: 3, begin: clockJumps, through: true, apart: true, rests: true},
	{name: "commit-broken", weight: 2, begin: commitBroken},
	{name: "commits-fast", weight: 2, begin: commitsFast},
	{name: "connections-cut", weight: 4, begin: connectionsCut},
	{name: "controller-killed", weight: 4, begin: controllerKilled},
	{name: "disk-full", weight: 2, begin: diskFull, through: true, beside: true, apart: true},
	{name: "editors", weight: 3, begin: editors},
	{name: "etcd-killed", weight: 1, slow: true, begin: etcdKilled},
	{name: "git-cut", weight: 1, begin: gitCut, beside: true, apart: true},
	{name: "git-down", weight: 1, begin: gitDown, beside: true, apart: true},
	{name: "git-force-pushed", weight: 2, begin: gitForcePushed, apart: true},
	{name: "git-revoked", weight: 2, begin: gitRevoked, apart: true},
	{name: "git-slow", weight: 1, begin: gitSlow, through: true, apart: true},
	{name: "git-truncated", weight: 2, begin: gitTruncated, beside: true, apart: true},
	{name: "leader-killed", weight: 2, begin: leaderKilled},
	{name: "leader-paused", weight: 1, begin: leaderPaused},
	{name: "lease-lost", weight: 2, begin: leaseLost},
	{name: "meshsync-recreated", weight: 2, begin: meshSyncRecreated},
	{name: "partition", weight: 2, begin: partition},
	{name: "policy-refuses", weight: 1, begin: policyRefuses},
	{name: "squatter", weight: 1, begin: squatter},
	{name: "storm-429", weight: 2, begin: storm(tooMany)},
	{name: "storm-500", weight: 2, begin: storm(broken)},
	{name: "webhook-hangs", weight: 2, begin: webhookHangs, apart: true},
	{name: "webhook-refuses", weight: 2, begin: webhookRefuses, apart: true},
}

// controllerKilled ends processes at one of their next writes or at an instant that has to do with nothing.
func controllerKilled(w *trial) func() {
	var armed []*controller
	for _, c := range w.someClusters() {
		k := c.leader()
		if w.chance(0.3) {
			after := time.Duration(w.random.IntN(1500)) * time.Millisecond
			w.tell("%s after %s", k.name, after)
			time.AfterFunc(after, k.kill)
			continue
		}
		how, at := killBefore, 1+w.random.IntN(12)
		if w.chance(0.5) {
			how = killHeard
		}
		w.tell("%s at write %d, heard: %v", k.name, at, how == killHeard)
		k.relay.set(nth(at, how))
		armed = append(armed, k)
	}
	return func() {
		w.pause(200*time.Millisecond, 1500*time.Millisecond)
		for _, k := range armed {
			k.relay.set(nil)
		}
	}
}

// nth treats one write, counted from now.
func nth(n int, how treatment) func(request) treatment {
	var seen atomic.Int64
	return func(sent request) treatment {
		if sent.writes() && seen.Add(1) == int64(n) {
			return how
		}
		return pass
	}
}

// leaderKilled kills the leader while it writes, and again whoever leads then.
func leaderKilled(w *trial) func() {
	c := w.clusters[0]
	k := c.leader()
	how := []treatment{killBefore, killHeard}[w.random.IntN(2)]
	at := 1 + w.random.IntN(6)
	w.tell("%s at write %d, heard: %v", k.name, at, how == killHeard)
	k.relay.set(nth(at, how))
	return func() {
		k.relay.set(nil)
		if w.chance(0.5) {
			w.tell("%s at once", c.leader().name)
			c.leader().kill()
		}
	}
}

// leaderPaused stops the leader's process for longer than its lease, while it writes; when it goes on it still believes that it leads.
func leaderPaused(w *trial) func() {
	c := w.clusters[0]
	k := c.leader()
	setBack := w.chance(0.5)
	w.tell("%s, its clock set back by as long: %v", k.name, setBack)
	w.commit(w.number)
	w.pause(0, 1500*time.Millisecond)
	k.signal(stopSignal)
	stopped := time.Now()
	return func() {
		until(w.T, "the other one leads", func() string {
			if c.leader() == k {
				return k.name + " was the last to hold the lease"
			}
			return ""
		})
		w.pause(0, time.Second)
		if setBack {
			k.clock.set(k.clock.wrongBy() - time.Since(stopped))
		}
		k.signal(goOnSignal)
	}
}

// storm lets the relay answer for the API server.
func storm(how treatment) func(*trial) func() {
	return func(w *trial) func() {
		share := []float64{0.2, 0.5, 1}[w.random.IntN(3)]
		onlyWrites := w.chance(0.5)
		hit := w.someClusters()
		w.tell("%.0f %% of the requests, only writes: %v", 100*share, onlyWrites)
		dice := w.dice()
		for _, c := range hit {
			c.each(func(k *controller) {
				k.relay.set(func(sent request) treatment {
					if sent.lease() || onlyWrites && !sent.writes() || dice() >= share {
						return pass
					}
					return how
				})
			})
		}
		return func() {
			w.pause(200*time.Millisecond, 2*time.Second)
			calm(hit)
		}
	}
}

// connectionsCut breaks connections in the middle of writes.
func connectionsCut(w *trial) func() {
	share := []float64{0.2, 0.5, 0.9}[w.random.IntN(3)]
	how := cuts[w.random.IntN(len(cuts))]
	any := w.chance(0.3)
	hit := w.someClusters()
	w.tell("%.0f %% of the writes, cut in way %d, or any: %v", 100*share, how, any)
	dice := w.dice()
	for _, c := range hit {
		c.each(func(k *controller) {
			k.relay.set(func(sent request) treatment {
				if !sent.writes() || dice() >= share {
					return pass
				}
				if any {
					return cuts[int(dice()*float64(len(cuts)))]
				}
				return how
			})
		})
	}
	return func() {
		w.pause(200*time.Millisecond, 2*time.Second)
		calm(hit)
	}
}

// partition keeps controllers from their API servers: nothing is answered any more, or every connection breaks.
func partition(w *trial) func() {
	how := []treatment{hold, cutBefore}[w.random.IntN(2)]
	hit := w.someClusters()
	w.tell("without an answer: %v", how == hold)
	for _, c := range hit {
		c.each(func(k *controller) {
			k.relay.set(func(request) treatment { return how })
			k.relay.sever()
		})
	}
	return func() {
		w.pause(200*time.Millisecond, 3*time.Second)
		calm(hit)
		for _, c := range hit {
			c.each(func(k *controller) { k.relay.sever() })
		}
	}
}

func calm(clusters []*cluster) {
	for _, c := range clusters {
		c.each(func(k *controller) { k.relay.set(nil) })
	}
}

// apiServerKilled kills API servers while their controllers write.
func apiServerKilled(w *trial) func() {
	hit := w.someClusters()
	w.commit(w.number)
	w.pause(0, 1500*time.Millisecond)
	for _, c := range hit {
		must(w.T, c.server.Restart(w.Context(), w.upTo(time.Second)))
	}
	return func() {}
}

// etcdKilled kills the etcd of all clusters while their controllers write.
func etcdKilled(w *trial) func() {
	w.commit(w.number)
	w.pause(0, 1500*time.Millisecond)
	must(w.T, fleet.RestartEtcd(w.Context(), w.upTo(2*time.Second)))
	return func() {}
}

// diskFull takes the room for caches and temporary files away; a process that starts then has none either.
func diskFull(w *trial) func() {
	w.disk.fill(w.T, w.controllers())
	if w.chance(0.5) {
		c := w.clusters[1+w.random.IntN(2)]
		w.tell("%s starts without room", c.name)
		c.leader().kill()
	}
	return func() { w.disk.clear(w.T, w.controllers()) }
}
