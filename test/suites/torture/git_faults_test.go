//go:build linux

package torture_test

import (
	"maps"
	"net/http"
	"time"
)

// gitDown makes the Git server respond with an error.
func gitDown(inj *injection) func() {
	status := pick(inj, []int{http.StatusServiceUnavailable, http.StatusInternalServerError, http.StatusTooManyRequests, http.StatusNotFound})
	inj.note("status %d", status)
	return inj.failGit(gitFailure{status: status})
}

// gitCut breaks every connection to the Git server.
func gitCut(inj *injection) func() { return inj.failGit(gitFailure{cut: true}) }

// gitTruncated truncates every pack. The response ends regularly or the connection breaks.
func gitTruncated(inj *injection) func() {
	how := gitFailure{after: 1 + inj.random.IntN(4000), complete: inj.chance(0.5)}
	inj.note("after %d bytes, complete response: %v", how.after, how.complete)
	return inj.failGit(how)
}

// gitSlow sends every response in chunks with a pause before each.
func gitSlow(inj *injection) func() {
	how := gitFailure{delay: 20*time.Millisecond + inj.upTo(100*time.Millisecond)}
	inj.note("%s before each chunk", how.delay)
	return inj.failGit(how)
}

// failGit starts a failure of the Git server and returns a function that ends it.
func (inj *injection) failGit(how gitFailure) func() {
	inj.git.proxy.set(how)
	return func() {
		inj.pause(200*time.Millisecond, 1500*time.Millisecond)
		inj.git.proxy.set(gitFailure{})
	}
}

// gitRevoked changes the password. At the end the old one is valid again, or the clusters get the
// new one.
func gitRevoked(inj *injection) func() {
	old := inj.password
	inj.password += "x"
	inj.git.proxy.setPassword(inj.password)
	return func() {
		inj.pause(200*time.Millisecond, 1500*time.Millisecond)
		if inj.chance(0.5) {
			inj.note("old password restored")
			inj.password = old
			inj.git.proxy.setPassword(old)
			return
		}
		inj.note("Secrets updated")
		for _, c := range inj.clusters {
			c.setPassword(inj.T, inj.password)
		}
	}
}

// gitForcePushed rewrites the history of the branch, sometimes while a commit is being applied.
func gitForcePushed(inj *injection) func() {
	inj.git.commit(inj.T, meshOf(inj.seed, inj.number+1_000_000))
	inj.pause(0, time.Second)
	back := 1 + inj.random.IntN(4)
	inj.note("%d commits back", back)
	inj.git.rewind(inj.T, back)
	return func() {}
}

// commitsFast pushes commits faster than controllers can apply them.
func commitsFast(inj *injection) func() {
	n := 3 + inj.random.IntN(8)
	inj.note("%d", n)
	for i := range n {
		inj.git.commit(inj.T, meshOf(inj.seed, inj.number+2_000_000+1000*i))
		inj.pause(0, 250*time.Millisecond)
	}
	return func() {}
}

// commitBroken pushes a commit with an error in a service or in the inventory before a good commit.
func commitBroken(inj *injection) func() {
	files := maps.Clone(meshOf(inj.seed, inj.number))
	name := pick(inj, []string{"services/cart.cue", "services/stock.cue", "services/front.cue", "clusters.cue"})
	// No broken file may remove the service front, whose calls make the required hosts necessary.
	text := pick(inj, []string{"package config\n\nservices: {{{\n", files[name] + "\nservices: cart: ports: http: port: \"many\"\n", files[name] + "\nservices: stock: egress: nobody: {}\n", files[name] + "\nclusters: east: gateways: [{address: 7}]\n"})
	files[name] = text
	inj.note("%s", name)
	inj.git.commit(inj.T, files)
	inj.pause(200*time.Millisecond, 1500*time.Millisecond)
	return func() {}
}
