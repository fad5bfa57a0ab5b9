//go:build linux

package torture_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// gitProxy is the HTTP handler in front of the Git server. It requires a password and can fail.
type gitProxy struct {
	next http.Handler

	mutex    sync.Mutex
	failure  gitFailure
	password string
	// disturbed counts the requests that did not get the normal response of the server.
	disturbed atomic.Int64
}

// gitFailure is a failure of a Git server. The zero value is no failure.
type gitFailure struct {
	// status is the status of all responses, unless it is 0.
	status int
	// cut breaks every connection.
	cut bool
	// after is the number of bytes of a pack that are sent, 0 for all. With complete the truncated
	// response ends regularly, otherwise the connection breaks.
	after    int
	complete bool
	// delay is the pause before each chunk of a response.
	delay time.Duration
}

func (g *gitProxy) set(f gitFailure) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.failure = f
}

func (g *gitProxy) setPassword(password string) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.password = password
}

func (g *gitProxy) state() (gitFailure, string) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return g.failure, g.password
}

func (g *gitProxy) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	failure, password := g.state()
	switch _, given, _ := r.BasicAuth(); {
	case failure.cut:
		g.disturbed.Add(1)
		panic(http.ErrAbortHandler)
	case failure.status != 0:
		g.disturbed.Add(1)
		http.Error(rw, "down for maintenance", failure.status)
		return
	case given != password:
		g.disturbed.Add(1)
		rw.Header().Set("WWW-Authenticate", `Basic realm="mesh"`)
		http.Error(rw, "wrong password", http.StatusUnauthorized)
		return
	}
	sendsPack := r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/git-upload-pack")
	if failure.delay == 0 && (failure.after == 0 || !sendsPack) {
		g.next.ServeHTTP(rw, r)
		return
	}
	if !sendsPack {
		failure.after = 0
	}
	writer := &failingWriter{ResponseWriter: rw, request: r, failure: failure}
	g.next.ServeHTTP(writer, r)
	if writer.ended || failure.delay > 0 {
		g.disturbed.Add(1)
	}
	if writer.ended && !failure.complete {
		panic(http.ErrAbortHandler)
	}
}

// failingWriter sends a response slowly, or only its beginning.
type failingWriter struct {
	http.ResponseWriter
	request *http.Request
	failure gitFailure
	sent    int
	ended   bool
}

func (w *failingWriter) Write(text []byte) (int, error) {
	if w.ended {
		return len(text), nil
	}
	if w.failure.delay > 0 {
		select {
		case <-time.After(w.failure.delay):
		case <-w.request.Context().Done():
		}
	}
	part := text
	if w.failure.after > 0 && w.sent+len(text) > w.failure.after {
		part, w.ended = text[:w.failure.after-w.sent], true
	}
	w.sent += len(part)
	if _, err := w.ResponseWriter.Write(part); err != nil {
		return 0, err
	}
	_ = http.NewResponseController(w.ResponseWriter).Flush()
	return len(text), nil
}
