package e2e_test

import (
	"bytes"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync"
	"testing"

	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
)

// wire relays one controller's requests to the API server and notes them. It adds nothing and takes nothing
// away: the controller's own token goes through.
type wire struct {
	server *httptest.Server
	proxy  *httputil.ReverseProxy

	mutex sync.Mutex
	seen  []request
	// writes counts those that kill may be about; fatal is the one at which the process ends, 0 for none.
	writes, fatal int
	heard         bool
	kill          func()
	dead          bool
	// busy are the requests under way, watches aside.
	busy sync.WaitGroup
}

// request is one that a controller sent.
type request struct {
	Method, Path, Query string
}

func (r request) String() string { return r.Method + " " + r.Path }

func (r request) watches() bool { return strings.Contains(r.Query, "watch=") }

func (r request) lease() bool { return strings.Contains(r.Path, "/coordination.k8s.io/") }

func (r request) event() bool {
	return strings.HasSuffix(r.Path, "/events") || strings.Contains(r.Path, "/events/")
}

// writes reports whether it changes something that matters: not a lease, not an event.
func (r request) writes() bool { return !r.reads() && !r.lease() && !r.event() }

func (r request) reads() bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// resources reports whether it is about an Istio resource.
func (r request) resources() bool { return strings.Contains(r.Path, ".istio.io/") }

func newWire(t *testing.T, cluster *apiserver.Cluster) *wire {
	t.Helper()
	proxy, err := cluster.Proxy()
	must(t, err)
	w := &wire{proxy: proxy}
	w.server = httptest.NewUnstartedServer(w)
	w.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	w.server.EnableHTTP2 = true
	w.server.StartTLS()
	return w
}

// authority is the certificate by which a controller knows the relay.
func (w *wire) authority() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.server.Certificate().Raw})
}

// killAt ends the process at its n-th write from now: before the API server heard of it, or after that and before
// the process hears the answer.
func (w *wire) killAt(n int, heard bool) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.fatal, w.heard, w.writes = n, heard, 0
}

func (w *wire) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	// Read to its end first: an API server that refuses a request does not wait for its body, and a relay that is still handing
	// it on then waits for ever.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	sent := request{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery}
	fatal, abort := w.note(sent)
	if abort {
		panic(http.ErrAbortHandler)
	}
	if !sent.watches() {
		defer w.busy.Done()
	}
	if !fatal {
		w.proxy.ServeHTTP(rw, r)
		return
	}
	if w.heard {
		// Answered to nobody.
		w.proxy.ServeHTTP(httptest.NewRecorder(), r)
	}
	w.kill()
	panic(http.ErrAbortHandler)
}

func (w *wire) note(sent request) (fatal, abort bool) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.dead {
		return false, true
	}
	w.seen = append(w.seen, sent)
	if !sent.watches() {
		w.busy.Add(1)
	}
	if sent.writes() {
		w.writes++
		fatal = w.fatal > 0 && w.writes == w.fatal
		w.dead = fatal
	}
	return fatal, false
}

// requests are those so far that a filter takes.
func (w *wire) requests(filter func(request) bool) []string {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	var out []string
	for _, r := range w.seen {
		if filter(r) {
			out = append(out, r.String())
		}
	}
	return out
}

// forget starts the notes anew.
func (w *wire) forget() {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.seen = nil
}

// settle waits until what was under way when the process ended has reached the API server or never will.
func (w *wire) settle() {
	w.mutex.Lock()
	w.dead = true
	w.mutex.Unlock()
	w.server.CloseClientConnections()
	w.busy.Wait()
}
