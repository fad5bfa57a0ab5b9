package execute

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
)

// reply is what a relay does with a request.
type reply func(rw http.ResponseWriter, r *http.Request, pass http.Handler)

// refusing answers as a busy API server does: with a text, since it refuses before it reads what it is asked for.
func refusing(code int, retryAfter string) reply {
	return func(rw http.ResponseWriter, _ *http.Request, _ http.Handler) {
		if retryAfter != "" {
			rw.Header().Set("Retry-After", retryAfter)
		}
		http.Error(rw, "Too many requests, please try again later.", code)
	}
}

// cut ends the connection before the API server hears of the request, or before the reply comes back.
func cut(heard bool) reply {
	return func(_ http.ResponseWriter, r *http.Request, pass http.Handler) {
		if heard {
			pass.ServeHTTP(httptest.NewRecorder(), r)
		}
		panic(http.ErrAbortHandler)
	}
}

// failing answers as the API server itself does when a webhook, or what is behind it, fails.
func failing(code int, reason metav1.StatusReason, message string) reply {
	return func(rw http.ResponseWriter, _ *http.Request, _ http.Handler) {
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(code)
		fmt.Fprintf(rw, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":%q,"reason":%q,"code":%d}`, message, reason, code)
	}
}

// relay stands between an applier and the API server, and answers writes, and what is read of single objects, in its stead where the function judge says so.
func (c *testCluster) relay(judge func(r *http.Request) reply) *rest.Config {
	c.t.Helper()
	target, err := url.Parse(c.config.Host)
	if err != nil {
		c.t.Fatal(err)
	}
	transport, err := rest.TransportFor(c.config)
	if err != nil {
		c.t.Fatal(err)
	}
	pass := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: transport, ErrorLog: log.New(io.Discard, "", 0),
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if reply := judge(r); reply != nil {
			reply(rw, r, pass)
			return
		}
		pass.ServeHTTP(rw, r)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	c.t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL, QPS: -1}
}

// through has a controller write through a relay, by a clock that does not wait.
func (k *testController) through(config *rest.Config) *fastClock {
	k.t.Helper()
	client, err := NewClient(config)
	if err != nil {
		k.t.Fatal(err)
	}
	k.applier = NewApplier(client, k.live)
	clock := &fastClock{}
	k.applier.clock = clock.clock()
	return clock
}

// objectOf is what a request is about; a POST has the name in its body.
func objectOf(t *testing.T, r *http.Request) string {
	if r.Method != http.MethodPost {
		return r.URL.Path
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	made := &unstructured.Unstructured{}
	if err := made.UnmarshalJSON(body); err != nil {
		t.Error(err)
	}
	return r.URL.Path + "/" + made.GetName()
}
