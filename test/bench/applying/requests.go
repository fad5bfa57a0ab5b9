package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"k8s.io/client-go/rest"
)

// requests counts requests to the API server.
type requests struct{ reads, writes, watches, leases atomic.Int64 }

// on returns a connection whose requests are counted.
func (r *requests) on(config *rest.Config) *rest.Config {
	counted := rest.CopyConfig(config)
	counted.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			r.of(request).Add(1)
			return next.RoundTrip(request)
		})
	})
	return counted
}

func (r *requests) of(request *http.Request) *atomic.Int64 {
	switch {
	case request.URL.Query().Get("watch") == "true":
		return &r.watches
	case strings.HasPrefix(request.URL.Path, "/apis/coordination.k8s.io/"):
		return &r.leases
	case request.Method == http.MethodGet:
		return &r.reads
	}
	return &r.writes
}

// count returns the requests so far.
func (r *requests) count() count { return count{reads: r.reads.Load(), writes: r.writes.Load()} }

// count has no watches and leases. A dry run is a write.
type count struct{ reads, writes int64 }

func (c count) since(before count) count {
	return count{reads: c.reads - before.reads, writes: c.writes - before.writes}
}

func (c count) String() string {
	if c == (count{}) {
		return "no request"
	}
	return fmt.Sprintf("%d reads, %d writes", c.reads, c.writes)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }
