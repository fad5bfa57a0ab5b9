//go:build linux

package torture_test

import (
	"maps"
	"net/http"
	"time"
)

// gitDown lets the Git server answer that it is down.
func gitDown(w *trial) func() {
	status := pick(w, []int{http.StatusServiceUnavailable, http.StatusInternalServerError, http.StatusTooManyRequests, http.StatusNotFound})
	w.tell("status %d", status)
	return w.gated(trouble{status: status})
}

// gitCut breaks every connection to the Git server off.
func gitCut(w *trial) func() { return w.gated(trouble{cut: true}) }

// gitTruncated ends every pack before its end, as if it were whole or with the connection.
func gitTruncated(w *trial) func() {
	how := trouble{after: 1 + w.random.IntN(4000), short: w.chance(0.5)}
	w.tell("after %d bytes, with a proper end: %v", how.after, how.short)
	return w.gated(how)
}

// gitSlow sends every answer in pieces with a pause before each.
func gitSlow(w *trial) func() {
	how := trouble{delay: 20*time.Millisecond + w.upTo(100*time.Millisecond)}
	w.tell("%s for each piece", how.delay)
	return w.gated(how)
}

// gated begins a trouble of the Git server and returns its end.
func (w *trial) gated(how trouble) func() {
	w.git.gate.set(how)
	return func() {
		w.pause(200*time.Millisecond, 1500*time.Millisecond)
		w.git.gate.set(trouble{})
	}
}

// gitRevoked changes the password; then the old one is good again, or the clusters get the new one.
func gitRevoked(w *trial) func() {
	old := w.password
	w.password += "x"
	w.git.gate.admit(w.password)
	return func() {
		w.pause(200*time.Millisecond, 1500*time.Millisecond)
		if w.chance(0.5) {
			w.tell("and given back")
			w.password = old
			w.git.gate.admit(old)
			return
		}
		w.tell("and replaced")
		for _, c := range w.clusters {
			c.letIn(w.T, w.password)
		}
	}
}

// gitForcePushed rewrites the history of the branch, also while a commit of the old one is applied.
func gitForcePushed(w *trial) func() {
	w.git.commit(w.T, meshOf(w.seed, w.number+1_000_000))
	w.pause(0, time.Second)
	back := 1 + w.random.IntN(4)
	w.tell("%d commits back", back)
	w.git.rewind(w.T, back)
	return func() {}
}

// commitsFast makes more commits than can be applied.
func commitsFast(w *trial) func() {
	n := 3 + w.random.IntN(8)
	w.tell("%d", n)
	for i := range n {
		w.git.commit(w.T, meshOf(w.seed, w.number+2_000_000+1000*i))
		w.pause(0, 250*time.Millisecond)
	}
	return func() {}
}

// commitBroken makes a commit that does not evaluate, in one service or for all, before a good one.
func commitBroken(w *trial) func() {
	files := maps.Clone(meshOf(w.seed, w.number))
	name := pick(w, []string{"services/cart.cue", "services/stock.cue", "services/front.cue", "clusters.cue"})
	// None of them may drop a service that is well: without front nobody calls a pillar, and its host goes by right.
	text := pick(w, []string{"package config\n\nservices: {{{\n", files[name] + "\nservices: cart: ports: http: port: \"many\"\n", files[name] + "\nservices: stock: egress: nobody: {}\n", files[name] + "\nclusters: east: gateways: [{address: 7}]\n"})
	files[name] = text
	w.tell("%s", name)
	w.git.commit(w.T, files)
	w.pause(200*time.Millisecond, 1500*time.Millisecond)
	return func() {}
}
