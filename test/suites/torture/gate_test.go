//go:build linux

package torture_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// gate stands before the Git server and does what networks and servers do on bad days.
type gate struct {
	next http.Handler

	mutex    sync.Mutex
	trouble  trouble
	password string
	// spoilt counts the requests that were not answered as the server would have.
	spoilt atomic.Int64
}

// trouble is one way in which a Git server fails; the zero value is none.
type trouble struct {
	// status is answered to everything, unless it is 0.
	status int
	// cut breaks every connection off.
	cut bool
	// after is how many bytes of a pack are sent before it ends; short says whether it then looks complete. 0 is all of it.
	after int
	short bool
	// delay is made before each piece of an answer.
	delay time.Duration
}

func (g *gate) set(t trouble) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.trouble = t
}

// admit changes the password that is asked for.
func (g *gate) admit(password string) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.password = password
}

func (g *gate) now() (trouble, string) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return g.trouble, g.password
}

func (g *gate) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	trouble, password := g.now()
	switch _, given, _ := r.BasicAuth(); {
	case trouble.cut:
		g.spoilt.Add(1)
		panic(http.ErrAbortHandler)
	case trouble.status != 0:
		g.spoilt.Add(1)
		http.Error(rw, "down for maintenance", trouble.status)
		return
	case given != password:
		g.spoilt.Add(1)
		rw.Header().Set("WWW-Authenticate", `Basic realm="mesh"`)
		http.Error(rw, "who are you?", http.StatusUnauthorized)
		return
	}
	packs := r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/git-upload-pack")
	if trouble.delay == 0 && (trouble.after == 0 || !packs) {
		g.next.ServeHTTP(rw, r)
		return
	}
	if !packs {
		trouble.after = 0
	}
	spoilt := &spoiltWriter{ResponseWriter: rw, request: r, trouble: trouble}
	g.next.ServeHTTP(spoilt, r)
	if spoilt.ended || trouble.delay > 0 {
		g.spoilt.Add(1)
	}
	if spoilt.ended && !trouble.short {
		panic(http.ErrAbortHandler)
	}
}

// spoiltWriter sends an answer slowly, or not all of it.
type spoiltWriter struct {
	http.ResponseWriter
	request *http.Request
	trouble trouble
	sent    int
	ended   bool
}

func (w *spoiltWriter) Write(text []byte) (int, error) {
	if w.ended {
		return len(text), nil
	}
	if w.trouble.delay > 0 {
		select {
		case <-time.After(w.trouble.delay):
		case <-w.request.Context().Done():
		}
	}
	part := text
	if w.trouble.after > 0 && w.sent+len(text) > w.trouble.after {
		part, w.ended = text[:w.trouble.after-w.sent], true
	}
	w.sent += len(part)
	if _, err := w.ResponseWriter.Write(part); err != nil {
		return 0, err
	}
	_ = http.NewResponseController(w.ResponseWriter).Flush()
	return len(text), nil
}
