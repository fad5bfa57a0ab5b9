package trace

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
)

// way is one way from a proxy on: to a pod, or to a dead end where deadEnd.Reason is set. Both carry the share.
type way struct {
	arrival Arrival
	deadEnd DeadEnd
}

func (w way) dead() bool { return w.deadEnd.Reason != "" }

func (w way) scaled(share float64, priority int) way {
	w.arrival.Share *= share
	w.deadEnd.Share *= share
	// Of both, whichever it is: the last proxy to look is the caller's.
	w.arrival.Priority, w.deadEnd.Priority = priority, priority
	return w
}

func dead(address string, via []string, format string, args ...any) []way {
	return []way{{deadEnd: DeadEnd{Share: 1, Address: address, Via: via, Reason: fmt.Sprintf(format, args...)}}}
}

// ways are all that the proxy's cluster offers, priority by priority, each of which next may decline.
func (w *walk) ways(x *proxy, name string, conn connection, via []string, next func(sofar []way) bool) ([]way, error) {
	c, err := x.cluster(name)
	if err != nil {
		return nil, err
	}
	if c.GetType() == clusterv3.Cluster_ORIGINAL_DST {
		return nil, fmt.Errorf("cluster %s of %s goes wherever the connection was meant for", name, x)
	}
	groups, err := x.priorityGroups(c)
	if err != nil {
		return nil, err
	}
	var all []way
	for _, g := range groups {
		if !next(all) {
			break
		}
		var ways [][]way
		for _, e := range g.endpoints {
			found, err := w.toEndpoint(x, c, e, conn, via)
			if err != nil {
				return nil, err
			}
			for i := range found {
				found[i] = found[i].scaled(e.share, g.priority)
			}
			ways = append(ways, found)
		}
		all = append(all, eject(c, ways)...)
	}
	return all, nil
}

// everyPriority is for the caller's proxy: what it falls back to is part of the answer.
func everyPriority([]way) bool { return true }

// untilAlive is for gateways on the way: the next priority counts only if nobody is reached so far.
func untilAlive(sofar []way) bool {
	return !slices.ContainsFunc(sofar, func(w way) bool { return !w.dead() })
}

// eject gives the shares of endpoints that lead nowhere to those that lead somewhere, where outlier detection finds them out.
func eject(c *clusterv3.Cluster, ways [][]way) []way {
	alive := 0.0
	for _, found := range ways {
		if slices.ContainsFunc(found, func(w way) bool { return !w.dead() }) {
			for _, w := range found {
				alive += w.arrival.Share + w.deadEnd.Share
			}
		}
	}
	var all []way
	for _, found := range ways {
		lost := !slices.ContainsFunc(found, func(w way) bool { return !w.dead() })
		for _, w := range found {
			if c.OutlierDetection != nil && alive > 0 {
				w.arrival.Share /= alive
				if lost {
					w.deadEnd.Share = 0
				} else {
					w.deadEnd.Share /= alive
				}
			}
			all = append(all, w)
		}
	}
	return all
}

// toEndpoint adds the cluster's TLS and dials.
func (w *walk) toEndpoint(x *proxy, c *clusterv3.Cluster, e endpoint, conn connection, via []string) ([]way, error) {
	t, err := transport(c, e.metadata)
	if err != nil {
		return nil, err
	}
	if t != nil {
		if x.pod.router && conn.tls && conn.mutual {
			return dead(e.address, via, "%s wraps TLS of a sidecar in TLS of its own", x), nil
		}
		conn = conn.wrapped(x.pod.identity(), *t)
	}
	return w.dial(x, e, conn, via)
}

// dial follows the connection to an address, as seen from x.
func (w *walk) dial(x *proxy, e endpoint, conn connection, via []string) ([]way, error) {
	where := fmt.Sprintf("%s:%d", e.address, e.port)
	if g, known := w.mesh.gatewayAt(e.address, e.port); g != nil {
		return w.intoGateway(x, g, conn, via)
	} else if known {
		return dead(where, via, "no gateway at %s listens on port %d", e.address, e.port), nil
	}
	if s := w.mesh.serviceAt(x, e.address); s != nil {
		return w.toService(s, e, conn, via)
	}
	p, err := w.mesh.podAt(x, e.address)
	if err != nil {
		return dead(where, via, "%v", err), nil
	}
	if p == nil {
		if strings.HasSuffix(e.address, ".cluster.local") {
			return dead(where, via, "%s does not resolve in cluster %s", e.address, x.pod.cluster.Name), nil
		}
		a := Arrival{Share: 1, External: where, Via: via, SNI: conn.sni}
		return []way{{arrival: a}}, nil
	}
	if p.router {
		return dead(where, via, "%s is a gateway's own pod, not its address", p), nil
	}
	return w.intoPod(p, e.port, conn, via)
}

// gatewayAt finds the cross-cluster gateway behind an address; known is an address of one whatever the port.
func (m *Mesh) gatewayAt(address string, port int) (found *gateway, known bool) {
	for _, c := range m.order {
		for _, g := range c.gateways {
			if g.Address == address || g.resolved == address {
				known = true
				if g.Port == port {
					return g, true
				}
			}
		}
	}
	return nil, known
}

// serviceAt finds a Kubernetes Service by its name or address in the proxy's own cluster, or by a load balancer.
func (m *Mesh) serviceAt(x *proxy, address string) *service {
	if s := m.balancer[address]; s != nil {
		return s
	}
	if s := x.pod.cluster.serviceNamed(address, x.pod.Namespace); s != nil {
		return s
	}
	for _, s := range x.pod.cluster.services {
		if s.clusterIP == address {
			return s
		}
	}
	return nil
}

// toService spreads over the Service's ready pods as kube-proxy does.
func (w *walk) toService(s *service, e endpoint, conn connection, via []string) ([]way, error) {
	where := fmt.Sprintf("%s:%d", e.address, e.port)
	i := slices.IndexFunc(s.ports, func(p servicePort) bool { return p.port == e.port })
	if i < 0 {
		return dead(where, via, "service %s has no port %d", s.host(), e.port), nil
	}
	var ready []*pod
	for _, p := range s.pods {
		if p.Ready && p.targetOf(s, s.ports[i]) != 0 {
			ready = append(ready, p)
		}
	}
	if len(ready) == 0 {
		return dead(where, via, "service %s of cluster %s has no ready pod", s.host(), s.cluster.Name), nil
	}
	var all []way
	for _, p := range ready {
		found, err := w.intoPod(p, p.targetOf(s, s.ports[i]), conn, via)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			all = append(all, f.scaled(1/float64(len(ready)), 0))
		}
	}
	return all, nil
}

// podAt finds the pod with an IP: in the proxy's own cluster, else in one on the same network.
func (m *Mesh) podAt(x *proxy, address string) (*pod, error) {
	if _, err := netip.ParseAddr(address); err != nil {
		return nil, nil
	}
	var far, near []*pod
	for _, c := range m.order {
		for _, p := range c.pods {
			switch {
			case p.IP != address:
			case c == x.pod.cluster:
				return p, nil
			case c.Network == x.pod.cluster.Network:
				near = append(near, p)
			default:
				far = append(far, p)
			}
		}
	}
	switch {
	case len(near) == 1:
		return near[0], nil
	case len(near) > 1:
		return nil, fmt.Errorf("the IP %s is that of %s and %s", address, near[0], near[1])
	case len(far) > 0:
		return nil, fmt.Errorf("%s of cluster %s cannot be reached from the network %q of %s", far[0], far[0].cluster.Name, x.pod.cluster.Network, x)
	}
	return nil, nil
}

// intoGateway follows the connection through a cross-cluster gateway.
func (w *walk) intoGateway(from *proxy, g *gateway, conn connection, via []string) ([]way, error) {
	where := fmt.Sprintf("%s:%d", g.Address, g.Port)
	if from != nil && g.cluster.GatewayUnreachable && from.pod.cluster != g.cluster {
		return dead(where, via, "gateway of %s unreachable", g.cluster.Name), nil
	}
	if slices.Contains(via, g.cluster.Name) {
		return dead(where, via, "loop: %s again", g.cluster.Name), nil
	}
	via = append(slices.Clone(via), g.cluster.Name)
	x := g.pod.proxy()
	filters, reason, err := x.gatewayChain(g, conn)
	if err != nil {
		return nil, err
	}
	if reason != "" {
		return dead(where, via, "%s", reason), nil
	}
	var all []way
	for _, d := range tcpDestinations(filters, conn) {
		ways, err := w.bestWays(x, d.cluster, conn, via)
		if err != nil {
			return nil, err
		}
		if len(ways) == 0 {
			ways = dead(where, via, "no endpoints for %s at gateway of %s", conn.sni, g.cluster.Name)
		}
		for _, found := range ways {
			all = append(all, found.scaled(d.share, 0))
		}
	}
	return all, nil
}

// gatewayChain finds what the gateway does with the connection; reason says why it takes none.
func (x *proxy) gatewayChain(g *gateway, conn connection) (f chainFilters, reason string, err error) {
	l := x.listeners[:0:0]
	for _, candidate := range x.listeners {
		if listensOn(candidate, "0.0.0.0", g.target) {
			l = append(l, candidate)
		}
	}
	if len(l) == 0 {
		return f, fmt.Sprintf("gateway of %s does not listen on port %d", g.cluster.Name, g.target), nil
	}
	if why := x.refused[l[0].Name]; why != "" {
		return f, fmt.Sprintf("gateway of %s: %s", g.cluster.Name, why), nil
	}
	chain, err := matchChain(l[0], conn, g.pod.IP, g.target)
	switch {
	case errors.Is(err, errNoChain):
		return f, fmt.Sprintf("unknown SNI %q at gateway of %s", conn.sni, g.cluster.Name), nil
	case err != nil:
		return f, "", fmt.Errorf("gateway of %s: %w", g.cluster.Name, err)
	case chain.TransportSocket != nil:
		return f, "", fmt.Errorf("gateway of %s ends TLS in filter chain %s", g.cluster.Name, chain.Name)
	}
	if f, err = readChain(chain); err != nil {
		return f, "", err
	}
	if f.tcp == nil || len(f.unknown) > 0 || len(f.rules) > 0 {
		return f, "", fmt.Errorf("filter chain %s at gateway of %s is no mere TCP proxy: %v", chain.Name, g.cluster.Name, f.unknown)
	}
	return f, "", nil
}

// bestWays are those of the best priority that leads anywhere. A worse one that leads to a further gateway is noted as an escape.
func (w *walk) bestWays(x *proxy, name string, conn connection, via []string) ([]way, error) {
	if x.clusters[name] == nil {
		return dead(name, via, "%s has no cluster %s", x, name), nil
	}
	all, err := w.ways(x, name, conn, via, untilAlive)
	if err != nil {
		return nil, err
	}
	w.noteEscapes(x, name)
	if untilAlive(all) {
		return all, nil
	}
	last := 0
	for _, candidate := range all {
		last = max(last, candidate.arrival.Priority)
	}
	return slices.DeleteFunc(all, func(w way) bool { return w.arrival.Priority != last }), nil
}

func (w *walk) noteEscapes(x *proxy, name string) {
	groups, err := x.priorityGroups(x.clusters[name])
	if err != nil || len(groups) == 0 {
		return
	}
	for _, group := range groups[1:] {
		for _, e := range group.endpoints {
			if g, _ := w.mesh.gatewayAt(e.address, e.port); g != nil {
				w.escape(fmt.Sprintf("gateway of %s, cluster %s, priority %d: gateway of %s", x.pod.cluster.Name, name, group.priority, g.cluster.Name))
			}
		}
	}
}

func (w *walk) escape(text string) {
	if !slices.Contains(w.result.Escapes, text) {
		w.result.Escapes = append(w.result.Escapes, text)
	}
}
