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

// elsewhere is the address of a name that nobody in the world has.
const elsewhere = "203.0.113.254"

// walk is one call on its way.
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
		// Nothing is known of a call that no proxy of the mesh sees.
		result.Passthrough = true
	case from.router:
		w.fromRouter(from, c)
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

// fromSidecar is a call of an application: its sidecar catches it by address and port.
func (w *walk) fromSidecar(from *pod, c Call) {
	x := from.proxy()
	address := w.mesh.resolve(from, c)
	l := x.outboundListener(address, c.Port)
	if l == nil {
		w.undecided("%s has no listener for outbound calls", x)
		return
	}
	w.through(x, l, c.application(), address, c.Port)
}

// fromRouter is a call from outside at a public gateway; what is dialled there are the ports of its Service.
func (w *walk) fromRouter(from *pod, c Call) {
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
	w.through(x, x.listeners[i], conn, "0.0.0.0", port)
}

func hasTLS(l *listenerv3.Listener) bool {
	return slices.ContainsFunc(l.FilterChains, func(c *listenerv3.FilterChain) bool { return c.TransportSocket != nil })
}

func (p *pod) proxy() *proxy { return p.cluster.plane.proxyOf(p) }

// resolve is the IP that the application dials: its own answer, that of the Kubernetes DNS, or one that means nothing.
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
	return elsewhere
}

// serviceNamed finds a Kubernetes Service by its names in DNS, the short ones as from the given namespace.
func (c *cluster) serviceNamed(name, namespace string) *service {
	for _, s := range c.services {
		short := []string{s.host(), s.name + "." + s.namespace + ".svc", s.name + "." + s.namespace}
		if slices.Contains(short, name) || (name == s.name && namespace == s.namespace) {
			return s
		}
	}
	return nil
}

// through matches the connection at a listener and sends it on; it is where a call leaves its first proxy.
func (w *walk) through(x *proxy, l *listenerv3.Listener, conn connection, address string, port int) {
	if why := x.refused[l.Name]; why != "" {
		w.fail("%s: %s", x, why)
		return
	}
	chain, err := matchChain(l, conn, address, port)
	if err != nil {
		if errors.Is(err, errNoChain) {
			w.fail("no filter chain of listener %s at %s takes the call", l.Name, x)
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
		w.undecided("filter chain %s of %s has authorization rules where calls leave", chain.Name, x)
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
		w.byHTTP(x, manager, conn)
	case filters.tcp != nil:
		for _, d := range tcpDestinations(filters, conn) {
			w.send(x, d.cluster, conn, d.share)
		}
	default:
		w.undecided("filter chain %s of %s ends nowhere", chain.Name, x)
	}
}

// tcpDestinations are the clusters of a TCP proxy.
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

// byHTTP finds the route and does what it says.
func (w *walk) byHTTP(x *proxy, config *routev3.RouteConfiguration, conn connection) {
	host := virtualHost(config, conn.request.authority)
	if host == nil {
		w.fail("no route: no virtual host for %s in %s of %s", conn.request.authority, config.Name, x)
		return
	}
	if host.RequireTls != routev3.VirtualHost_NONE && conn.request.scheme != "https" {
		w.answer("redirect 301 https://"+conn.request.authority+conn.request.path, 1)
		return
	}
	route, err := matchRoute(host, conn.request)
	if err != nil {
		w.undecided("%s: %v", x, err)
		return
	}
	if route == nil {
		w.fail("no route: virtual host %s of %s has none for %s %s", host.Name, x, conn.request.method, conn.request.path)
		return
	}
	switch action := route.GetAction().(type) {
	case *routev3.Route_Redirect:
		w.answer(redirect(route, conn.request), 1)
	case *routev3.Route_DirectResponse:
		w.answer(fmt.Sprintf("response %d", action.DirectResponse.Status), 1)
	case *routev3.Route_Route:
		w.byRoute(x, host, route, conn)
	default:
		w.undecided("route %s of %s does %T", route.Name, x, action)
	}
}

func (w *walk) answer(text string, share float64) {
	w.result.Answer = text
	w.result.AnswerShare = share
}

func (w *walk) byRoute(x *proxy, host *routev3.VirtualHost, route *routev3.Route, conn connection) {
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
		w.answer(fmt.Sprintf("fault abort %d", abort.GetHttpStatus()), aborted)
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
		w.send(x, d.cluster, out, share*d.share)
	}
	for _, mirror := range route.GetRoute().GetRequestMirrorPolicies() {
		w.mirror(x, mirror, conn)
	}
}

// mirror follows a copy of the request.
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
	// Envoy marks the host of a mirrored request.
	out.request.authority += "-shadow"
	side.send(x, mirror.Cluster, out, share)
	copied.finish()
	w.result.Mirrors = append(w.result.Mirrors, copied.Arrivals...)
	for _, text := range copied.Undecided {
		w.undecided("%s", text)
	}
	for _, escape := range copied.Escapes {
		w.escape(escape)
	}
	if len(copied.Arrivals) == 0 {
		w.undecided("a mirror to %s reaches nobody: %s", mirror.Cluster, copied.Error)
	}
}

// send follows the connection to an Envoy cluster of the caller's proxy, with all its priorities.
func (w *walk) send(x *proxy, name string, conn connection, share float64) {
	switch name {
	case "PassthroughCluster":
		w.result.Passthrough = true
		return
	case "BlackHoleCluster":
		w.fail("%s drops the call: BlackHoleCluster", x)
		return
	}
	if c := x.clusters[name]; c.GetType() == clusterv3.Cluster_ORIGINAL_DST {
		// To whatever address the application dialled, by an entry that names the host and knows nothing more.
		w.result.Passthrough = true
		return
	} else if c == nil {
		w.keep(dead(name, nil, "no cluster %s", name)[0], share)
		return
	}
	ways, err := w.ways(x, name, conn, nil, everyPriority)
	if err != nil {
		w.undecided("%v", err)
		return
	}
	if len(ways) == 0 {
		w.keep(dead(name, nil, "no endpoints for %s", name)[0], share)
	}
	for _, way := range ways {
		w.keep(way, share)
	}
}

// keep writes the way into the result.
func (w *walk) keep(found way, share float64) {
	found.arrival.Share *= share
	found.deadEnd.Share *= share
	if found.dead() {
		w.result.DeadEnds = append(w.result.DeadEnds, found.deadEnd)
	} else {
		w.result.Arrivals = append(w.result.Arrivals, found.arrival)
	}
}
