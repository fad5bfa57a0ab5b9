package trace

import (
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// connection is what one proxy or application sends to the next, as the receiver sees it on the wire.
type connection struct {
	// tls is set where the bytes start with a TLS handshake; sni and alpn are the client's in it.
	tls  bool
	sni  string
	alpn []string
	// mutual: the handshake carries the certificate of identity, and the client takes a server only if its names match accepts (all of them
	// where that is empty).
	mutual   bool
	identity string
	accepts  []*matcherv3.StringMatcher
	// request is the HTTP request that flows inside, nil for bytes.
	request *request
	// inner is the application's own TLS inside that of the sidecars.
	inner *connection
}

// request is an HTTP request on its way; routes change it.
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

// header gives a header or pseudo-header as Envoy's matchers name it.
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

func (r *request) setHeader(name, value string, keep bool) {
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
			if keep {
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

// pathOnly is the path without query.
func (r *request) pathOnly() string {
	path, _, _ := strings.Cut(r.path, "?")
	return path
}

// application is the connection as the application opens it.
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

// wrapped is the connection inside the sidecar's mTLS, whose context comes from the Envoy cluster.
func (c connection) wrapped(identity string, t upstreamTLS) connection {
	out := connection{tls: true, sni: t.sni, alpn: slices.Clone(t.alpn), mutual: t.mutual, accepts: t.accepts, request: c.request}
	if t.mutual {
		out.identity = identity
	}
	if c.tls {
		inner := c
		out.inner = &inner
	}
	// The istio.alpn filter tells the server which protocol flows inside.
	if c.request != nil && t.mutual {
		out.alpn = []string{"istio-http/1.1", "istio", "http/1.1"}
	}
	return out
}
