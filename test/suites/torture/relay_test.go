//go:build linux

package torture_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
	"github.com/isthmus-mesh/isthmus/test/support/relay"
)

// request is a request of a controller to its API server.
type request = relay.Request

// treatment is what a relay does with a request.
type treatment int

const (
	pass treatment = iota
	// cutBefore breaks the connection before the API server receives the request, cutRequest in the
	// middle of the request, cutAfter after the API server performed it, and cutResponse in the middle
	// of the response.
	cutBefore
	cutRequest
	cutAfter
	cutResponse
	// status429 and status500 are responses of the relay.
	status429
	status500
	// hang sends no response until the client gives up.
	hang
	// killBefore and killAfter kill the controller before or after the API server performs the
	// request.
	killBefore
	killAfter
)

// cuts are the ways to break a connection.
var cuts = []treatment{cutBefore, cutRequest, cutAfter, cutResponse}

// controllerRelay is the relay between one controller and its API server.
type controllerRelay struct {
	*relay.Relay
	kill func()

	mutex sync.Mutex
	treat func(request) treatment
	// disturbed counts the requests that did not pass.
	disturbed atomic.Int64
	// written counts the writes that the API server accepted.
	written atomic.Int64
	// leased is the time of the last accepted write of the controller's lease, in Unix nanoseconds.
	leased atomic.Int64
}

func startRelay(t *testing.T, cluster *apiserver.Cluster) *controllerRelay {
	t.Helper()
	r := &controllerRelay{}
	var err error
	r.Relay, err = relay.Start(cluster, r.handle)
	must(t, err)
	r.Proxy.ModifyResponse = r.count
	t.Cleanup(r.Stop)
	return r
}

// count counts a request that the API server accepted.
func (r *controllerRelay) count(response *http.Response) error {
	sent := request{Method: response.Request.Method, Path: response.Request.URL.Path}
	if response.StatusCode >= http.StatusMultipleChoices {
		return nil
	}
	if sent.Lease() && !sent.Reads() {
		r.leased.Store(time.Now().UnixNano())
	}
	if sent.Writes() {
		r.written.Add(1)
	}
	return nil
}

// set sets the treatment of requests from now on. With nil all requests pass.
func (r *controllerRelay) set(treat func(request) treatment) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.treat = treat
}

func (r *controllerRelay) treatmentOf(sent request) treatment {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.treat == nil {
		return pass
	}
	how := r.treat(sent)
	if how != pass {
		r.disturbed.Add(1)
	}
	return how
}

func (r *controllerRelay) handle(rw http.ResponseWriter, received *http.Request, sent request) {
	switch r.treatmentOf(sent) {
	case pass:
		r.Proxy.ServeHTTP(rw, received)
		return
	case status429:
		rw.Header().Set("Retry-After", "1")
		fail(rw, http.StatusTooManyRequests, "TooManyRequests")
		return
	case status500:
		fail(rw, http.StatusInternalServerError, "InternalError")
		return
	case hang:
		<-received.Context().Done()
	case cutRequest:
		body, _ := io.ReadAll(received.Body) // from memory
		received.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:len(body)/2]), failingReader{}))
		r.Proxy.ServeHTTP(httptest.NewRecorder(), received)
	case cutAfter:
		r.Proxy.ServeHTTP(httptest.NewRecorder(), received)
	case cutResponse:
		r.sendHalf(rw, received)
	case killBefore:
		r.kill()
	case killAfter:
		r.Proxy.ServeHTTP(httptest.NewRecorder(), received)
		r.kill()
	case cutBefore:
	}
	panic(http.ErrAbortHandler)
}

// fail responds like an API server.
func fail(rw http.ResponseWriter, code int, reason string) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(code)
	fmt.Fprintf(rw, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"injected failure","reason":%q,"code":%d}`, reason, code)
}

// sendHalf sends the first half of the response.
func (r *controllerRelay) sendHalf(rw http.ResponseWriter, received *http.Request) {
	response := httptest.NewRecorder()
	r.Proxy.ServeHTTP(response, received)
	for name, values := range response.Header() {
		rw.Header()[name] = values
	}
	rw.WriteHeader(response.Code)
	text := response.Body.Bytes()
	_, _ = rw.Write(text[:len(text)/2])
	_ = http.NewResponseController(rw).Flush()
}

// failingReader is the missing rest of a body.
type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("the connection was cut") }
