package trace

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
)

// unresolvedAddress is the address of a host that is not in the scenario.
const unresolvedAddress = "203.0.113.254"

// walk follows one call and collects its result.
type walk struct {
	mesh   *Mesh
	result *Result
}

// Trace follows the call.
func (m *Mesh) Trace(c Call) Result {
	result := Result{}
	w := &walk{mesh: m, result: &result}
	from := m.pod(c.Cluster, c.Pod)
	switch {
	case from == nil:
		w.undecided("there is no pod %s in cluster %s", c.Pod, c.Cluster)
	case from.NoSidecar:
		// No proxy of the mesh handles the call.
		result.Passthrough = true
	case from.router:
		w.fromPublicGateway(from, c)
	default:
		w.fromSidecar(from, c)
	}
	result.finish()
	return result
}

func (m *Mesh) pod(cluster, name string) *pod {
	c := m.clusters[cluster]
	if c == nil {
		return nil
	}
	if name == publicPod {
		return c.public
	}
	i := slices.IndexFunc(c.pods, func(p *pod) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return c.pods[i]
}

func (w *walk) undecided(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(w.result.Undecided, text) {
		w.result.Undecided = append(w.result.Undecided, text)
	}
}

func (w *walk) fail(format string, args ...any) { w.result.Error = fmt.Sprintf(format, args...) }

// fromSidecar follows the call of an application. Its sidecar selects the listener by address and
// port.
func (w *walk) fromSidecar(from *pod, c Call) {
	x := from.proxy()
	address := w.mesh.resolve(from, c)
	l := x.outboundListener(address, c.Port)
	if l == nil {
		w.undecided("%s has no listener for outbound calls", x)
		return
	}
	w.followListener(x, l, c.application(), address, c.Port)
}

// fromPublicGateway follows a call from outside the mesh. Its port is that of the gateway's
// Service.
func (w *walk) fromPublicGateway(from *pod, c Call) {
	x := from.proxy()
	port := c.Port
	for _, s := range from.cluster.services {
		for _, p := range s.ports {
			if slices.Contains(s.pods, from) && p.port == c.Port {
				port = p.target
			}
		}
	}
	i := slices.IndexFunc(x.listeners, func(l *listenerv3.Listener) bool { return listensOn(l, "0.0.0.0", port) })
	if i < 0 {
		w.fail("%s does not listen on port %d", x, c.Port)
		return
	}
	conn := c.application()
	if c.Protocol == "HTTP" && hasTLS(x.listeners[i]) {
		conn = connection{tls: true, sni: cmp.Or(c.SNI, c.Host), alpn: []string{"h2", "http/1.1"}, request: c.request("https")}
	}
	w.followListener(x, x.listeners[i], conn, "0.0.0.0", port)
}

func hasTLS(l *listenerv3.Listener) bool {
	return slices.ContainsFunc(l.FilterChains, func(c *listenerv3.FilterChain) bool { return c.TransportSocket != nil })
}

func (p *pod) proxy() *proxy { return p.cluster.istiod.proxyOf(p) }

// resolve returns the IP that the application connects to: of the call, of the Kubernetes DNS, or
// unresolvedAddress.
func (m *Mesh) resolve(from *pod, c Call) string {
	if c.Address != "" {
		return c.Address
	}
	if _, err := netip.ParseAddr(c.Host); err == nil {
		return c.Host
	}
	if s := from.cluster.serviceNamed(c.Host, from.Namespace); s != nil {
		return s.clusterIP
	}
	return unresolvedAddress
}

// serviceNamed finds a Kubernetes Service by its DNS names. The short name is valid in its
// namespace.
func (c *cluster) serviceNamed(name, namespace string) *service {
	for _, s := range c.services {
		short := []string{s.host(), s.name + "." + s.namespace + ".svc", s.name + "." + s.namespace}
		if slices.Contains(short, name) || (name == s.name && namespace == s.namespace) {
			return s
		}
	}
	return nil
}

// followListener follows a call through the listener of its first proxy.
func (w *walk) followListener(x *proxy, l *listenerv3.Listener, conn connection, address string, port int) {
	if why := x.rejected[l.Name]; why != "" {
		w.fail("%s: %s", x, why)
		return
	}
	chain, err := matchChain(l, conn, address, port)
	if err != nil {
		if errors.Is(err, errNoChain) {
			w.fail("no filter chain of listener %s at %s matches the call", l.Name, x)
		} else {
			w.undecided("listener %s of %s: %v", l.Name, x, err)
		}
		return
	}
	filters, err := readChain(chain)
	if err != nil {
		w.undecided("filter chain %s of %s: %v", chain.Name, x, err)
		return
	}
	if len(filters.unknown) > 0 {
		w.undecided("filter chain %s of %s has unknown filters %v", chain.Name, x, filters.unknown)
	}
	if len(filters.rules) > 0 {
		w.undecided("filter chain %s of %s has authorization rules for outbound calls", chain.Name, x)
	}
	if chain.TransportSocket != nil {
		conn = connection{request: conn.request}
	} else if conn.tls && conn.request != nil {
		conn.request = nil
	}
	switch {
	case filters.http != nil && conn.request == nil:
		w.fail("protocol: listener %s of %s expects HTTP", l.Name, x)
	case filters.http != nil:
		manager, err := x.routeConfig(filters.http)
		if err != nil {
			w.undecided("%v", err)
			return
		}
		w.followHTTP(x, manager, conn)
	case filters.tcp != nil:
		for _, d := range tcpDestinations(filters, conn) {
			w.followCluster(x, d.cluster, conn, d.share)
		}
	default:
		w.undecided("filter chain %s of %s has neither a TCP proxy nor an HTTP connection manager", chain.Name, x)
	}
}

// tcpDestinations are the Envoy clusters of a TCP proxy.
func tcpDestinations(f chainFilters, conn connection) []destination {
	if f.sniCluster && conn.sni != "" {
		return []destination{{cluster: conn.sni, share: 1}}
	}
	weighted := f.tcp.GetWeightedClusters().GetClusters()
	if len(weighted) == 0 {
		return []destination{{cluster: f.tcp.GetCluster(), share: 1}}
	}
	var all []destination
	total := 0.0
	for _, c := range weighted {
		total += float64(c.Weight)
	}
	for _, c := range weighted {
		if c.Weight > 0 {
			all = append(all, destination{cluster: c.Name, share: float64(c.Weight) / total})
		}
	}
	return all
}

// followHTTP finds the route of a request and follows it.
func (w *walk) followHTTP(x *proxy, config *routev3.RouteConfiguration, conn connection) {
	host := virtualHost(config, conn.request.authority)
	if host == nil {
		w.fail("no route: no virtual host for %s in %s of %s", conn.request.authority, config.Name, x)
		return
	}
	if host.RequireTls != routev3.VirtualHost_NONE && conn.request.scheme != "https" {
		w.setLocalReply("redirect 301 https://"+conn.request.authority+conn.request.path, 1)
		return
	}
	route, err := matchRoute(host, conn.request)
	if err != nil {
		w.undecided("%s: %v", x, err)
		return
	}
	if route == nil {
		w.fail("no route: virtual host %s of %s has no route for %s %s", host.Name, x, conn.request.method, conn.request.path)
		return
	}
	switch action := route.GetAction().(type) {
	case *routev3.Route_Redirect:
		w.setLocalReply(redirect(route, conn.request), 1)
	case *routev3.Route_DirectResponse:
		w.setLocalReply(fmt.Sprintf("response %d", action.DirectResponse.Status), 1)
	case *routev3.Route_Route:
		w.followRoute(x, host, route, conn)
	default:
		w.undecided("route %s of %s has the unsupported action %T", route.Name, x, action)
	}
}

func (w *walk) setLocalReply(text string, share float64) {
	w.result.LocalReply = text
	w.result.LocalReplyShare = share
}

func (w *walk) followRoute(x *proxy, host *routev3.VirtualHost, route *routev3.Route, conn connection) {
	policy, err := routePolicy(host, route)
	if err == nil && len(policy) > 0 {
		w.result.Policy = policy
	}
	fault, faultErr := faultOf(host, route)
	if err = cmp.Or(err, faultErr); err != nil {
		w.undecided("route %s of %s: %v", route.Name, x, err)
		return
	}
	share := 1.0
	if abort := fault.GetAbort(); abort != nil {
		aborted := fraction(abort.GetPercentage())
		w.setLocalReply(fmt.Sprintf("fault abort %d", abort.GetHttpStatus()), aborted)
		share -= aborted
	}
	all, err := destinations(host, route, conn.request)
	if err != nil {
		w.undecided("%s: %v", x, err)
		return
	}
	for _, d := range all {
		if share == 0 {
			break
		}
		out := conn
		out.request = d.request
		w.followCluster(x, d.cluster, out, share*d.share)
	}
	for _, mirror := range route.GetRoute().GetRequestMirrorPolicies() {
		w.mirror(x, mirror, conn)
	}
}

// mirror follows a mirrored request.
func (w *walk) mirror(x *proxy, mirror *routev3.RouteAction_RequestMirrorPolicy, conn connection) {
	share := 1.0
	if f := mirror.GetRuntimeFraction().GetDefaultValue(); f != nil {
		share = fraction(f)
	}
	if share == 0 {
		return
	}
	copied := &Result{}
	side := &walk{mesh: w.mesh, result: copied}
	out := conn
	out.request = conn.request.clone()
	// Envoy adds this suffix to the host of a mirrored request.
	out.request.authority += "-shadow"
	side.followCluster(x, mirror.Cluster, out, share)
	copied.finish()
	w.result.Mirrors = append(w.result.Mirrors, copied.Arrivals...)
	for _, text := range copied.Undecided {
		w.undecided("%s", text)
	}
	for _, text := range copied.LoopRisks {
		w.addLoopRisk(text)
	}
	if len(copied.Arrivals) == 0 {
		w.result.DeadMirrors = append(w.result.DeadMirrors, mirror.Cluster+": "+copied.Error)
	}
}

// followCluster follows the connection to all priorities of an Envoy cluster of the caller's proxy.
func (w *walk) followCluster(x *proxy, name string, conn connection, share float64) {
	switch name {
	case "PassthroughCluster":
		w.result.Passthrough = true
		return
	case "BlackHoleCluster":
		w.fail("%s drops the call: BlackHoleCluster", x)
		return
	}
	if c := x.clusters[name]; c.GetType() == clusterv3.Cluster_ORIGINAL_DST {
		// A ServiceEntry without endpoints forwards to the address that the application uses.
		w.result.Passthrough = true
		return
	} else if c == nil {
		w.record(deadEnd(name, nil, "no cluster %s", name)[0], share)
		return
	}
	branches, err := w.branches(x, name, conn, nil, everyPriority)
	if err != nil {
		w.undecided("%v", err)
		return
	}
	if len(branches) == 0 {
		w.record(deadEnd(name, nil, "no endpoints for %s", name)[0], share)
	}
	for _, branch := range branches {
		w.record(branch, share)
	}
}

// record adds the branch to the result.
func (w *walk) record(found branch, share float64) {
	found.arrival.Share *= share
	found.deadEnd.Share *= share
	if found.isDead() {
		w.result.DeadEnds = append(w.result.DeadEnds, found.deadEnd)
	} else {
		w.result.Arrivals = append(w.result.Arrivals, found.arrival)
	}
}
