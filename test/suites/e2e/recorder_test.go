package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
	"github.com/isthmus-mesh/isthmus/test/support/relay"
)

// request is a request of a controller to its API server.
type request = relay.Request

// recorder relays the requests of one controller unchanged and records them. It can kill the
// controller at one of its writes.
type recorder struct {
	relay *relay.Relay

	mutex sync.Mutex
	seen  []request
	// writes counts the writes since killAt. The process is killed at write number killWrite; 0 is
	// never.
	writes, killWrite int
	// afterWrite: the API server performs that write first.
	afterWrite bool
	kill       func()
	dead       bool
	// pending are the current requests without watches.
	pending sync.WaitGroup
}

func startRecorder(t *testing.T, cluster *apiserver.Cluster) *recorder {
	t.Helper()
	r := &recorder{}
	var err error
	r.relay, err = relay.Start(cluster, r.handle)
	must(t, err)
	return r
}

// killAt kills the process at its n-th write from now: before the API server receives the write, or
// after the API server performed it and before the process receives the response.
func (r *recorder) killAt(n int, afterWrite bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.killWrite, r.afterWrite, r.writes = n, afterWrite, 0
}

func (r *recorder) handle(rw http.ResponseWriter, received *http.Request, sent request) {
	kill, abort := r.record(sent)
	if abort {
		panic(http.ErrAbortHandler)
	}
	if !sent.Watches() {
		defer r.pending.Done()
	}
	if !kill {
		r.relay.Proxy.ServeHTTP(rw, received)
		return
	}
	if r.afterWrite {
		// The response is dropped.
		r.relay.Proxy.ServeHTTP(httptest.NewRecorder(), received)
	}
	r.kill()
	panic(http.ErrAbortHandler)
}

func (r *recorder) record(sent request) (kill, abort bool) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.dead {
		return false, true
	}
	r.seen = append(r.seen, sent)
	if !sent.Watches() {
		r.pending.Add(1)
	}
	if sent.Writes() {
		r.writes++
		kill = r.killWrite > 0 && r.writes == r.killWrite
		r.dead = kill
	}
	return kill, false
}

// requests returns the recorded requests that match a filter.
func (r *recorder) requests(filter func(request) bool) []string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var out []string
	for _, sent := range r.seen {
		if filter(sent) {
			out = append(out, sent.String())
		}
	}
	return out
}

// reset removes all recorded requests.
func (r *recorder) reset() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.seen = nil
}

// drain accepts no more requests and waits until the pending requests of an ended process are done.
func (r *recorder) drain() {
	r.mutex.Lock()
	r.dead = true
	r.mutex.Unlock()
	r.relay.CloseClientConnections()
	r.pending.Wait()
}

// istioWrites selects writes to Istio resources.
func istioWrites(sent request) bool { return sent.Writes() && sent.Istio() }

// notWatching selects requests other than leases and watches.
func notWatching(sent request) bool { return !sent.Lease() && !sent.Watches() }
