package execute

import (
	"errors"
	"net/http"
	"sync/atomic"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

func countRequests(all, watches *atomic.Int64) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			all.Add(1)
			if request.URL.Query().Get("watch") == "true" {
				watches.Add(1)
			}
			return next.RoundTrip(request)
		})
	}
}

var errKilled = errors.New("killed")

// killAfter lets so many writes through and then nothing. The last one reaches the server, but where unheard is set
// its answer does not come back, as when a process is killed while it waits.
func killAfter(writes int64, unheard bool, sent *atomic.Int64) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			if request.Method == http.MethodGet {
				if sent.Load() > writes {
					return nil, errKilled
				}
				return next.RoundTrip(request)
			}
			number := sent.Add(1)
			if number > writes {
				return nil, errKilled
			}
			response, err := next.RoundTrip(request)
			if err == nil && unheard && number == writes {
				_ = response.Body.Close()
				return nil, errKilled
			}
			return response, err
		})
	}
}
