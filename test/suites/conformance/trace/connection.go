package trace

import (
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// connection is a connection as the receiving proxy or application sees it.
type connection struct {
	// tls: the connection starts with a TLS handshake. sni and alpn are values of the client.
	tls  bool
	sni  string
	alpn []string
	// mutual: the client shows a certificate with identity. It accepts a server whose names match
	// accepts (every server if accepts is empty).
	mutual   bool
	identity string
	accepts  []*matcherv3.StringMatcher
	// request is the HTTP request in the connection, nil for other protocols.
	request *request
	// inner is the TLS of the application inside the TLS of the sidecars.
	inner *connection
}

// request is an HTTP request. Routes may change it.
type request struct {
	authority, method, path string
	headers                 map[string]string
	scheme                  string
}

func (r *request) clone() *request {
	if r == nil {
		return nil
	}
	copied := *r
	copied.headers = maps.Clone(r.headers)
	return &copied
}

// header returns a header or pseudo-header by its name in Envoy's matchers.
func (r *request) header(name string) (string, bool) {
	switch strings.ToLower(name) {
	case ":authority", "host":
		return r.authority, true
	case ":method":
		return r.method, true
	case ":path":
		return r.path, true
	case ":scheme":
		return r.scheme, true
	}
	for have, value := range r.headers {
		if strings.EqualFold(have, name) {
			return value, true
		}
	}
	return "", false
}

func (r *request) setHeader(name, value string, appendValue bool) {
	switch strings.ToLower(name) {
	case ":authority", "host":
		r.authority = value
		return
	}
	if r.headers == nil {
		r.headers = map[string]string{}
	}
	for have, old := range r.headers {
		if strings.EqualFold(have, name) {
			if appendValue {
				value = old + "," + value
			}
			delete(r.headers, have)
		}
	}
	r.headers[name] = value
}

func (r *request) removeHeader(name string) {
	maps.DeleteFunc(r.headers, func(have, _ string) bool { return strings.EqualFold(have, name) })
}

// pathOnly is the path without the query.
func (r *request) pathOnly() string {
	path, _, _ := strings.Cut(r.path, "?")
	return path
}

// application is the connection that the application opens.
func (c Call) application() connection {
	switch c.Protocol {
	case "HTTP":
		return connection{request: c.request("http")}
	case "TLS":
		sni := c.SNI
		if sni == "" {
			sni = c.Host
		}
		return connection{tls: true, sni: sni, alpn: []string{"h2", "http/1.1"}}
	}
	return connection{}
}

func (c Call) request(scheme string) *request {
	r := &request{authority: c.Host, method: c.Method, path: c.Path, headers: maps.Clone(c.Headers), scheme: scheme}
	if c.Port != 80 && (scheme != "https" || c.Port != 443) {
		r.authority = net.JoinHostPort(c.Host, strconv.Itoa(c.Port))
	}
	for name, value := range c.Headers {
		if strings.EqualFold(name, "host") {
			r.authority = value
			delete(r.headers, name)
		}
	}
	if r.method == "" {
		r.method = "GET"
	}
	if r.path == "" {
		r.path = "/"
	}
	return r
}

// wrapped is the connection inside the TLS of the sidecar, which the Envoy cluster configures.
func (c connection) wrapped(identity string, t upstreamTLS) connection {
	out := connection{tls: true, sni: t.sni, alpn: slices.Clone(t.alpn), mutual: t.mutual, accepts: t.accepts, request: c.request}
	if t.mutual {
		out.identity = identity
	}
	if c.tls {
		inner := c
		out.inner = &inner
	}
	// The istio.alpn filter announces the inner protocol.
	if c.request != nil && t.mutual {
		out.alpn = []string{"istio-http/1.1", "istio", "http/1.1"}
	}
	return out
}
