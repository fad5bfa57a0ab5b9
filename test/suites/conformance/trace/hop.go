package trace

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
)

// branch is one continuation of a call: an arrival, or a dead end if deadEnd.Reason is set. Both
// hold the share.
type branch struct {
	arrival Arrival
	deadEnd DeadEnd
}

func (b branch) isDead() bool { return b.deadEnd.Reason != "" }

// scaled multiplies the share and sets the priority. The caller's proxy is the last one to call it,
// so the priority is that of the caller's proxy.
func (b branch) scaled(share float64, priority int) branch {
	b.arrival.Share *= share
	b.deadEnd.Share *= share
	b.arrival.Priority, b.deadEnd.Priority = priority, priority
	return b
}

func deadEnd(address string, via []string, format string, args ...any) []branch {
	return []branch{{deadEnd: DeadEnd{Share: 1, Address: address, Via: via, Reason: fmt.Sprintf(format, args...)}}}
}

// branches follows the connection to the endpoints of an Envoy cluster, one priority after the
// other while useNext is true.
func (w *walk) branches(x *proxy, name string, conn connection, via []string, useNext func(sofar []branch) bool) ([]branch, error) {
	c, err := x.cluster(name)
	if err != nil {
		return nil, err
	}
	if c.GetType() == clusterv3.Cluster_ORIGINAL_DST {
		return nil, fmt.Errorf("cluster %s of %s forwards to the original destination, which is not supported here", name, x)
	}
	groups, err := x.priorityGroups(c)
	if err != nil {
		return nil, err
	}
	var all []branch
	for _, g := range groups {
		if !useNext(all) {
			break
		}
		var byEndpoint [][]branch
		for _, e := range g.endpoints {
			found, err := w.followEndpoint(x, c, e, conn, via)
			if err != nil {
				return nil, err
			}
			for i := range found {
				found[i] = found[i].scaled(e.share, g.priority)
			}
			byEndpoint = append(byEndpoint, found)
		}
		all = append(all, eject(c, byEndpoint)...)
	}
	return all, nil
}

// everyPriority is for the caller's proxy: the result includes its failover.
func everyPriority([]branch) bool { return true }

// noneReached is for gateways: the next priority matters only if no pod is reached so far.
func noneReached(sofar []branch) bool {
	return !slices.ContainsFunc(sofar, func(b branch) bool { return !b.isDead() })
}

// eject moves the shares of endpoints without any arrival to the other ones, if the cluster has
// outlier detection.
func eject(c *clusterv3.Cluster, byEndpoint [][]branch) []branch {
	alive := 0.0
	for _, branches := range byEndpoint {
		if noneReached(branches) {
			continue
		}
		for _, b := range branches {
			alive += b.arrival.Share + b.deadEnd.Share
		}
	}
	var all []branch
	for _, branches := range byEndpoint {
		ejected := noneReached(branches)
		for _, b := range branches {
			if c.OutlierDetection != nil && alive > 0 {
				b.arrival.Share /= alive
				if ejected {
					b.deadEnd.Share = 0
				} else {
					b.deadEnd.Share /= alive
				}
			}
			all = append(all, b)
		}
	}
	return all
}

// followEndpoint adds the TLS of the Envoy cluster and connects.
func (w *walk) followEndpoint(x *proxy, c *clusterv3.Cluster, e endpoint, conn connection, via []string) ([]branch, error) {
	t, err := transport(c, e.metadata)
	if err != nil {
		return nil, err
	}
	if t != nil {
		if x.pod.router && conn.tls && conn.mutual {
			return deadEnd(e.address, via, "%s adds TLS to the TLS of a sidecar", x), nil
		}
		conn = conn.wrapped(x.pod.identity(), *t)
	}
	return w.dial(x, e, conn, via)
}

// dial follows the connection of proxy x to an address.
func (w *walk) dial(x *proxy, e endpoint, conn connection, via []string) ([]branch, error) {
	where := fmt.Sprintf("%s:%d", e.address, e.port)
	if g, known := w.mesh.gatewayAt(e.address, e.port); g != nil {
		return w.throughGateway(x, g, conn, via)
	} else if known {
		return deadEnd(where, via, "no gateway at %s listens on port %d", e.address, e.port), nil
	}
	if s := w.mesh.serviceAt(x, e.address); s != nil {
		return w.throughService(s, e, conn, via)
	}
	p, err := w.mesh.podAt(x, e.address)
	if err != nil {
		return deadEnd(where, via, "%v", err), nil
	}
	if p == nil {
		if strings.HasSuffix(e.address, ".cluster.local") {
			return deadEnd(where, via, "%s does not resolve in cluster %s", e.address, x.pod.cluster.Name), nil
		}
		a := Arrival{Share: 1, External: where, Via: via, SNI: conn.sni}
		return []branch{{arrival: a}}, nil
	}
	if p.router {
		return deadEnd(where, via, "%s is a gateway pod, which can only be reached at its gateway address", p), nil
	}
	return w.enterPod(p, e.port, conn, via)
}

// gatewayAt finds the cross-cluster gateway at an address and port. known: a gateway has the
// address, at any port.
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

// serviceAt finds a Kubernetes Service by name or address in the proxy's cluster, or by the address
// of a load balancer.
func (m *Mesh) serviceAt(x *proxy, address string) *service {
	if s := m.loadBalancers[address]; s != nil {
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

// throughService distributes the calls over the ready pods of a Service, as kube-proxy does.
func (w *walk) throughService(s *service, e endpoint, conn connection, via []string) ([]branch, error) {
	where := fmt.Sprintf("%s:%d", e.address, e.port)
	i := slices.IndexFunc(s.ports, func(p servicePort) bool { return p.port == e.port })
	if i < 0 {
		return deadEnd(where, via, "service %s has no port %d", s.host(), e.port), nil
	}
	var ready []*pod
	for _, p := range s.pods {
		if p.Ready && p.targetOf(s, s.ports[i]) != 0 {
			ready = append(ready, p)
		}
	}
	if len(ready) == 0 {
		return deadEnd(where, via, "service %s of cluster %s has no ready pod", s.host(), s.cluster.Name), nil
	}
	var all []branch
	for _, p := range ready {
		found, err := w.enterPod(p, p.targetOf(s, s.ports[i]), conn, via)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			all = append(all, f.scaled(1/float64(len(ready)), 0))
		}
	}
	return all, nil
}

// podAt finds the pod with an IP in the proxy's cluster, then in clusters of the same network.
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
		return nil, fmt.Errorf("both %[2]s and %[3]s have the IP %[1]s", address, near[0], near[1])
	case len(far) > 0:
		return nil, fmt.Errorf("%s of cluster %s cannot be reached from the network %q of %s", far[0], far[0].cluster.Name, x.pod.cluster.Network, x)
	}
	return nil, nil
}

// throughGateway follows the connection through a cross-cluster gateway. from is nil for a client
// without a sidecar.
func (w *walk) throughGateway(from *proxy, g *gateway, conn connection, via []string) ([]branch, error) {
	where := fmt.Sprintf("%s:%d", g.Address, g.Port)
	if from != nil && g.cluster.GatewayUnreachable && from.pod.cluster != g.cluster {
		return deadEnd(where, via, "gateway of %s unreachable", g.cluster.Name), nil
	}
	if slices.Contains(via, g.cluster.Name) {
		return deadEnd(where, via, "loop: %s again", g.cluster.Name), nil
	}
	via = append(slices.Clone(via), g.cluster.Name)
	x := g.pod.proxy()
	filters, reason, err := x.gatewayChain(g, conn)
	if err != nil {
		return nil, err
	}
	if reason != "" {
		return deadEnd(where, via, "%s", reason), nil
	}
	var all []branch
	for _, d := range tcpDestinations(filters, conn) {
		branches, err := w.bestBranches(x, d.cluster, conn, via)
		if err != nil {
			return nil, err
		}
		if len(branches) == 0 {
			branches = deadEnd(where, via, "no endpoints for %s at gateway of %s", conn.sni, g.cluster.Name)
		}
		for _, found := range branches {
			all = append(all, found.scaled(d.share, 0))
		}
	}
	return all, nil
}

// gatewayChain returns the filters of the gateway for the connection. reason is set if the gateway
// does not accept the connection.
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
	if why := x.rejected[l[0].Name]; why != "" {
		return f, fmt.Sprintf("gateway of %s: %s", g.cluster.Name, why), nil
	}
	chain, err := matchChain(l[0], conn, g.pod.IP, g.target)
	switch {
	case errors.Is(err, errNoChain):
		return f, fmt.Sprintf("unknown SNI %q at gateway of %s", conn.sni, g.cluster.Name), nil
	case err != nil:
		return f, "", fmt.Errorf("gateway of %s: %w", g.cluster.Name, err)
	case chain.TransportSocket != nil:
		return f, "", fmt.Errorf("gateway of %s terminates TLS in filter chain %s", g.cluster.Name, chain.Name)
	}
	if f, err = readChain(chain); err != nil {
		return f, "", err
	}
	if f.tcp == nil || len(f.unknown) > 0 || len(f.rules) > 0 {
		return f, "", fmt.Errorf("filter chain %s at gateway of %s is not a plain TCP proxy: %v", chain.Name, g.cluster.Name, f.unknown)
	}
	return f, "", nil
}

// bestBranches are those of the best priority with an arrival. Lower priorities that lead to
// another gateway are loop risks.
func (w *walk) bestBranches(x *proxy, name string, conn connection, via []string) ([]branch, error) {
	if x.clusters[name] == nil {
		return deadEnd(name, via, "%s has no cluster %s", x, name), nil
	}
	all, err := w.branches(x, name, conn, via, noneReached)
	if err != nil {
		return nil, err
	}
	w.addLoopRisks(x, name)
	if noneReached(all) {
		return all, nil
	}
	last := 0
	for _, candidate := range all {
		last = max(last, candidate.arrival.Priority)
	}
	return slices.DeleteFunc(all, func(b branch) bool { return b.arrival.Priority != last }), nil
}

func (w *walk) addLoopRisks(x *proxy, name string) {
	groups, err := x.priorityGroups(x.clusters[name])
	if err != nil || len(groups) == 0 {
		return
	}
	for _, group := range groups[1:] {
		for _, e := range group.endpoints {
			if g, _ := w.mesh.gatewayAt(e.address, e.port); g != nil {
				w.addLoopRisk(fmt.Sprintf("gateway of %s, cluster %s, priority %d: gateway of %s", x.pod.cluster.Name, name, group.priority, g.cluster.Name))
			}
		}
	}
}

func (w *walk) addLoopRisk(text string) {
	if !slices.Contains(w.result.LoopRisks, text) {
		w.result.LoopRisks = append(w.result.LoopRisks, text)
	}
}
