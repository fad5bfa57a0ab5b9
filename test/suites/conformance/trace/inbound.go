package trace

import (
	"errors"
	"fmt"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
)

// enterPod follows the connection into a pod: mTLS in both directions, authorization, and the port
// of the application.
func (w *walk) enterPod(p *pod, port int, conn connection, via []string) ([]branch, error) {
	where := fmt.Sprintf("%s:%d", p.IP, port)
	a := Arrival{Share: 1, Cluster: p.cluster.Name, Pod: p.Name, Port: port, Via: via}
	if len(via) > 0 {
		a.SNI = conn.sni
	}
	switch {
	case !p.Ready:
		return deadEnd(where, via, "%s is not ready", p), nil
	case p.NoSidecar:
		if conn.mutual {
			a.Rejected = fmt.Sprintf("%s does not support mTLS", p)
		}
		return p.listening(a, where, port), nil
	}
	x := p.proxy()
	l := x.listener("virtualInbound")
	if l == nil {
		return nil, fmt.Errorf("%s has no listener for inbound calls", p)
	}
	if why := x.rejected[l.Name]; why != "" {
		return deadEnd(where, via, "%s: %s", p, why), nil
	}
	chain, err := matchChain(l, conn, p.IP, port)
	if errors.Is(err, errNoChain) {
		a.Rejected = fmt.Sprintf("no filter chain of %s matches the connection to port %d", p, port)
		return []branch{{arrival: a}}, nil
	} else if err != nil {
		return nil, fmt.Errorf("inbound listener of %s: %w", p, err)
	}
	if a.Identity, a.Rejected, err = handshake(p, chain, conn); err != nil {
		return nil, err
	}
	if a.Rejected != "" {
		return []branch{{arrival: a}}, nil
	}
	if err := w.authorize(x, chain, conn, port, &a); err != nil {
		return nil, err
	}
	return p.listening(a, where, a.Port), nil
}

// listening turns the arrival into a dead end if no container listens on the port.
func (p *pod) listening(a Arrival, where string, port int) []branch {
	if _, listens := p.Ports[port]; !listens {
		return deadEnd(where, a.Via, "%s does not listen on port %d", p, port)
	}
	return []branch{{arrival: a}}
}

// handshake returns the identity that the pod's proxy sees, or the reason why mTLS fails.
func handshake(p *pod, chain *listenerv3.FilterChain, conn connection) (identity, rejected string, err error) {
	if chain.TransportSocket == nil {
		if conn.mutual {
			return "", fmt.Sprintf("%s does not support mTLS", p), nil
		}
		return "", "", nil
	}
	if !conn.mutual {
		return "", fmt.Sprintf("%s requires mTLS", p), nil
	}
	context := &tlsv3.DownstreamTlsContext{}
	if err := chain.TransportSocket.GetTypedConfig().UnmarshalTo(context); err != nil {
		return "", "", fmt.Errorf("the transport socket of %s: %w", p, err)
	}
	names, err := subjectAltNames(context.GetCommonTlsContext())
	if err != nil {
		return "", "", fmt.Errorf("the transport socket of %s: %w", p, err)
	}
	serverAccepted, err := anyMatches(conn.accepts, p.identity())
	if err != nil {
		return "", "", err
	}
	clientAccepted, err := anyMatches(names, conn.identity)
	switch {
	case err != nil:
		return "", "", err
	case !serverAccepted:
		return "", fmt.Sprintf("identity %s not accepted by the caller", p.identity()), nil
	case !clientAccepted:
		return "", fmt.Sprintf("identity %s not accepted by %s", conn.identity, p), nil
	}
	return conn.identity, "", nil
}

// authorize applies the authorization rules of the chain and sets the port of the application.
func (w *walk) authorize(x *proxy, chain *listenerv3.FilterChain, conn connection, port int, a *Arrival) error {
	filters, err := readChain(chain)
	if err != nil {
		return err
	}
	if len(filters.unknown) > 0 {
		w.undecided("inbound filter chain %s of %s has unknown filters %v", chain.Name, x, filters.unknown)
	}
	v := authorizationInput{identity: a.Identity, address: x.pod.IP, port: port, sni: conn.sni}
	cluster := ""
	if filters.http != nil {
		if conn.request == nil {
			a.Rejected = fmt.Sprintf("%s expects HTTP on port %d", x, port)
			return nil
		}
		v.request = conn.request
		if cluster, err = x.inboundCluster(filters, conn); err != nil {
			return err
		}
	} else {
		cluster = filters.tcp.GetCluster()
	}
	for _, r := range filters.rules {
		if r.matchers {
			w.undecided("inbound filter chain %s of %s has rules with matchers", chain.Name, x)
		}
		if err := v.applyRules(r, a); err != nil {
			w.undecided("at %s: %v", x, err)
		}
	}
	a.Port, err = x.applicationPort(cluster, port)
	return err
}

// applyRules records the first enforced and the first dry-run denial.
func (v authorizationInput) applyRules(r rules, a *Arrival) error {
	denied, err := deniedBy(r.enforced, v)
	if err != nil {
		return err
	}
	shadow, err := deniedBy(r.shadow, v)
	if a.Denied == "" {
		a.Denied = denied
	}
	if a.DryRunDenied == "" {
		a.DryRunDenied = shadow
	}
	return err
}

// inboundCluster follows the pod's own inbound route.
func (x *proxy) inboundCluster(filters chainFilters, conn connection) (string, error) {
	config, err := x.routeConfig(filters.http)
	if err != nil {
		return "", err
	}
	host := virtualHost(config, conn.request.authority)
	if host == nil {
		return "", fmt.Errorf("%s has no inbound virtual host for %s", x, conn.request.authority)
	}
	route, err := matchRoute(host, conn.request)
	if err != nil || route == nil {
		return "", fmt.Errorf("%s has no inbound route for %s: %w", x, conn.request.path, err)
	}
	if route.GetRoute().GetCluster() == "" {
		return "", fmt.Errorf("the inbound route %s of %s does not name one cluster", route.Name, x)
	}
	return route.GetRoute().GetCluster(), nil
}

// applicationPort is the port to which the pod's proxy forwards the call.
func (x *proxy) applicationPort(name string, port int) (int, error) {
	c, err := x.cluster(name)
	if err != nil {
		return 0, err
	}
	if c.GetType() == clusterv3.Cluster_ORIGINAL_DST {
		return port, nil
	}
	for _, l := range c.GetLoadAssignment().GetEndpoints() {
		for _, e := range l.LbEndpoints {
			return int(e.GetEndpoint().GetAddress().GetSocketAddress().GetPortValue()), nil
		}
	}
	return 0, fmt.Errorf("inbound cluster %s of %s has no endpoint", name, x)
}
