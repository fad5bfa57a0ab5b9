//go:build linux

package torture_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
)

// treatment is what a relay does with a request.
type treatment int

const (
	pass treatment = iota
	// cutBefore breaks the connection before the API server has heard of it; cutRequest in the middle of the request, cutHeard
	// after the API server has carried it out, and cutAnswer in the middle of the answer.
	cutBefore
	cutRequest
	cutHeard
	cutAnswer
	// tooMany and broken are answers of the relay itself: 429 and 500.
	tooMany
	broken
	// hold leaves it without an answer until whoever asked gives up.
	hold
	// killBefore and killHeard end the process that asked, before or after the API server has heard of it.
	killBefore
	killHeard
)

// cuts are the ways in which a connection breaks in the middle of something.
var cuts = []treatment{cutBefore, cutRequest, cutHeard, cutAnswer}

// relay stands between one controller and its API server. The controller's own token goes through.
type relay struct {
	server *httptest.Server
	proxy  *httputil.ReverseProxy
	kill   func()

	mutex sync.Mutex
	treat func(request) treatment
	// treated counts what did not just pass.
	treated atomic.Int64
	// written counts the writes that the API server has accepted.
	written atomic.Int64
	// leased is when the API server last accepted a lease of this controller, in nanoseconds.
	leased atomic.Int64
}

// request is one that a controller sent.
type request struct{ method, path string }

func (r request) lease() bool { return strings.Contains(r.path, "/coordination.k8s.io/") }

func (r request) event() bool {
	return strings.HasSuffix(r.path, "/events") || strings.Contains(r.path, "/events/")
}

func (r request) reads() bool { return r.method == http.MethodGet || r.method == http.MethodHead }

// writes reports whether it changes something that matters: not a lease, not an event.
func (r request) writes() bool { return !r.reads() && !r.lease() && !r.event() }

func newRelay(t *testing.T, cluster *apiserver.Cluster) *relay {
	t.Helper()
	proxy, err := cluster.Proxy()
	must(t, err)
	r := &relay{proxy: proxy}
	r.proxy.ModifyResponse = r.note
	r.server = httptest.NewUnstartedServer(r)
	r.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	r.server.EnableHTTP2 = true
	r.server.StartTLS()
	t.Cleanup(func() {
		r.server.CloseClientConnections()
		r.server.Close()
	})
	return r
}

// authority is the certificate by which a controller knows the relay.
func (r *relay) authority() []byte { return authorityOf(r.server) }

func authorityOf(server *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

func (r *relay) note(answer *http.Response) error {
	sent := request{answer.Request.Method, answer.Request.URL.Path}
	if answer.StatusCode >= http.StatusMultipleChoices {
		return nil
	}
	if sent.lease() && !sent.reads() {
		r.leased.Store(time.Now().UnixNano())
	}
	if sent.writes() {
		r.written.Add(1)
	}
	return nil
}

// set tells what happens to requests from now on; nil lets all pass.
func (r *relay) set(treat func(request) treatment) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.treat = treat
}

// sever cuts all connections, watches as well.
func (r *relay) sever() { r.server.CloseClientConnections() }

func (r *relay) treatmentOf(sent request) treatment {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.treat == nil {
		return pass
	}
	how := r.treat(sent)
	if how != pass {
		r.treated.Add(1)
	}
	return how
}

func (r *relay) ServeHTTP(rw http.ResponseWriter, asked *http.Request) {
	// Read to its end first: an API server that refuses a request does not wait for its body, and a relay that is still handing
	// it on then waits for ever.
	body, err := io.ReadAll(asked.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	asked.Body = io.NopCloser(bytes.NewReader(body))
	switch r.treatmentOf(request{asked.Method, asked.URL.Path}) {
	case pass:
		r.proxy.ServeHTTP(rw, asked)
		return
	case tooMany:
		rw.Header().Set("Retry-After", "1")
		refuse(rw, http.StatusTooManyRequests, "TooManyRequests")
		return
	case broken:
		refuse(rw, http.StatusInternalServerError, "InternalError")
		return
	case hold:
		<-asked.Context().Done()
	case cutRequest:
		asked.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:len(body)/2]), failing{}))
		r.proxy.ServeHTTP(httptest.NewRecorder(), asked)
	case cutHeard:
		r.proxy.ServeHTTP(httptest.NewRecorder(), asked)
	case cutAnswer:
		r.halve(rw, asked)
	case killBefore:
		r.kill()
	case killHeard:
		r.proxy.ServeHTTP(httptest.NewRecorder(), asked)
		r.kill()
	case cutBefore:
	}
	panic(http.ErrAbortHandler)
}

// refuse answers as an API server does.
func refuse(rw http.ResponseWriter, code int, reason string) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(code)
	fmt.Fprintf(rw, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"a storm","reason":%q,"code":%d}`, reason, code)
}

// halve hands on the first half of an answer.
func (r *relay) halve(rw http.ResponseWriter, asked *http.Request) {
	answer := httptest.NewRecorder()
	r.proxy.ServeHTTP(answer, asked)
	for name, values := range answer.Header() {
		rw.Header()[name] = values
	}
	rw.WriteHeader(answer.Code)
	text := answer.Body.Bytes()
	_, _ = rw.Write(text[:len(text)/2])
	_ = http.NewResponseController(rw).Flush()
}

// failing is the rest of a body that never comes.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the connection was cut") }
