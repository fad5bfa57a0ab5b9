// Package relay provides an HTTPS relay between one controller and its API server. A test can
// record requests, answer them itself, or break them.
//
// In: a cluster and a [Handler]. Out: a [Relay], to which the controller connects with the
// credentials that it would use at the API server.
package relay

import (
	"bytes"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"

	"k8s.io/client-go/rest"

	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
)

// Relay is a running relay.
type Relay struct {
	*httptest.Server
	// Proxy forwards a request with the credentials of its sender.
	Proxy *httputil.ReverseProxy
}

// Handler handles one request. The body was read to its end and can be read again.
// panic([http.ErrAbortHandler]) breaks the connection.
type Handler func(rw http.ResponseWriter, r *http.Request, sent Request)

// Start starts a relay. The caller stops it.
func Start(cluster *apiserver.Cluster, handler Handler) (*Relay, error) {
	proxy, err := cluster.Proxy()
	if err != nil {
		return nil, err
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		// An API server that rejects a request does not read its body. A proxy that is still sending the
		// body would then block.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		handler(rw, r, Request{Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery})
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.EnableHTTP2 = true
	server.StartTLS()
	return &Relay{Server: server, Proxy: proxy}, nil
}

// Stop closes all connections and the server.
func (r *Relay) Stop() { Stop(r.Server) }

// Connection is the connection of a client with this bearer token.
func (r *Relay) Connection(token string) *rest.Config {
	return &rest.Config{Host: r.URL, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: Certificate(r.Server)}}
}

// Certificate returns the certificate of a TLS server in PEM.
func Certificate(server *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}

// Stop closes all connections of a server, also those in use, and the server.
func Stop(server *httptest.Server) {
	server.CloseClientConnections()
	server.Close()
}

// Request identifies a request that a controller sent.
type Request struct {
	Method, Path, Query string
}

func (r Request) String() string { return r.Method + " " + r.Path }

// Watches reports whether it starts a watch.
func (r Request) Watches() bool { return strings.Contains(r.Query, "watch=") }

// Lease reports whether it concerns a Lease.
func (r Request) Lease() bool { return strings.Contains(r.Path, "/coordination.k8s.io/") }

// Event reports whether it concerns an Event.
func (r Request) Event() bool {
	return strings.HasSuffix(r.Path, "/events") || strings.Contains(r.Path, "/events/")
}

// Reads reports whether it changes nothing.
func (r Request) Reads() bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// Writes reports whether it writes anything other than a Lease or an Event.
func (r Request) Writes() bool { return !r.Reads() && !r.Lease() && !r.Event() }

// Istio reports whether it concerns an Istio resource.
func (r Request) Istio() bool { return strings.Contains(r.Path, ".istio.io/") }
