package expected

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/scenario"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/trace"
)

// Call is a call and its expected result.
type Call struct {
	trace.Call

	// Caller is the calling service or "public gateway". Callee is the called service.
	Caller, Callee string
	// Case distinguishes calls to one host and port, for example "as route 0 says (0)".
	Case string
	Want Want
}

// Want is the expected result of a call.
type Want struct {
	// Destinations share the calls. The call must fail if there are none and no local reply.
	Destinations []Destination
	// Identity of the caller as the pods see it.
	Identity string
	// Access is the decision of the pods' policies.
	Access access
	// LocalReply is the response of the caller's own proxy to LocalReplyShare of the calls.
	LocalReply      string
	LocalReplyShare float64
	// Policy holds the entries of trace.Result.Policy that the route sets.
	Policy map[string]string
	// Mirrors receive copies of the request.
	Mirrors []Destination
	// External: the call must leave the mesh to an endpoint of the external. It must not reach a
	// pod or use passthrough.
	External bool
	// Forbidden: no pod may accept the call. Access states whether a pod may be reached and deny
	// it.
	Forbidden bool
}

// MustFail reports whether the caller must get an error.
func (w Want) MustFail() bool {
	return w.LocalReply == "" && !w.Forbidden && !w.External && !reachable(w.Destinations)
}

// reachable reports whether any destination has a usable endpoint.
func reachable(destinations []Destination) bool {
	return slices.ContainsFunc(destinations, func(d Destination) bool { return len(d.Priorities) > 0 })
}

// Title describes the call in one line.
func (c Call) Title() string {
	title := fmt.Sprintf("%s in %s calls %s:%d", c.Caller, c.Cluster, c.Host, c.Port)
	if c.Case != "" {
		title += ", " + c.Case
	}
	return title
}

// caller is a calling pod.
type caller struct {
	service  string
	cluster  string
	pod      scenario.Pod
	identity string
}

// Calls are all calls that the manifests declare, from one pod of each calling service in each
// cluster, in a fixed order. With only, they are limited to callers in these clusters.
func Calls(m repo.Mesh, sc scenario.Scenario, only ...string) ([]Call, error) {
	o := oracle{Mesh: m, scenario: sc}
	calls := []Call{}
	for _, name := range sortedKeys(m.Services) {
		for _, cluster := range sortedKeys(m.Services[name].Placement) {
			if len(only) > 0 && !slices.Contains(only, cluster) {
				continue
			}
			from, ok := o.caller(name, cluster)
			if !ok {
				continue
			}
			for _, callee := range sortedKeys(m.Services[name].Egress) {
				if _, isService := m.Services[callee]; !isService {
					calls = append(calls, o.externalCalls(from, callee)...)
					continue
				}
				more, err := o.callsOf(from, callee)
				if err != nil {
					return nil, fmt.Errorf("calls of %s from %s: %w", callee, name, err)
				}
				calls = append(calls, more...)
			}
		}
	}
	for _, call := range o.publicCalls() {
		if len(only) == 0 || slices.Contains(only, call.Cluster) {
			calls = append(calls, call)
		}
	}
	return calls, nil
}

// caller is the first pod of a service in a cluster.
func (o oracle) caller(service, cluster string) (caller, bool) {
	for _, pod := range o.scenario.Pods {
		if pod.Cluster == cluster && o.isBackend(pod, callTarget{service: service}) {
			identity := "spiffe://" + principal(o.Clusters[cluster].TrustDomain, pod.Namespace, pod.ServiceAccount)
			return caller{service: service, cluster: cluster, pod: pod, identity: identity}, true
		}
	}
	return caller{}, false
}

// callsOf lists the calls to one callee: for each host and port a request for each route, and one
// that matches no route.
func (o oracle) callsOf(from caller, callee string) ([]Call, error) {
	s := o.Services[callee]
	calls := []Call{}
	for _, host := range hosts(o.Mesh, callee) {
		for _, port := range sortedKeys(s.Ports) {
			target := callTarget{service: callee, host: host, port: s.Ports[port]}
			more, err := o.callsOfPort(from, target, port)
			if err != nil {
				return nil, err
			}
			calls = append(calls, more...)
			if !s.ClusterHosts {
				continue
			}
			for _, cluster := range sortedKeys(s.Placement) {
				if spread(s) == "local-only" && cluster != from.cluster {
					continue
				}
				calls = append(calls, o.clusterHostCall(from, target, port, cluster))
			}
		}
	}
	return calls, nil
}

// clusterHostCall is a call to the pods of one cluster by the host of that cluster.
func (o oracle) clusterHostCall(from caller, target callTarget, port, cluster string) Call {
	call := o.newCall(from, target, port)
	call.Host = cluster + "." + target.host
	call.Address = address(o.Mesh, from.cluster, target.service, call.Host)
	call.Case = "for one cluster"
	target.cluster = cluster
	call.Want.Destinations = []Destination{o.destination(from.cluster, target, 1)}
	call.Want.Access = o.access(from, target, port, call.Method, call.Path)
	return call
}

func (o oracle) newCall(from caller, target callTarget, port string) Call {
	call := Call{Caller: from.service, Callee: target.service}
	call.Cluster, call.Pod = from.cluster, from.pod.Name
	call.Host, call.Port = target.host, target.port.Port
	call.Address = address(o.Mesh, from.cluster, target.service, target.host)
	call.Protocol = target.port.Protocol
	call.Want.Identity = from.identity
	if isHTTP(target.port.Protocol) {
		call.Protocol = "HTTP"
		egress := o.Services[from.service].Egress[target.service]
		call.Method, call.Path = "GET", "/"
		if len(egress.Methods) > 0 {
			call.Method = egress.Methods[0]
		}
		if len(egress.Paths) > 0 {
			call.Path = samplePath(egress.Paths[0])
		}
	}
	return call
}

func isHTTP(protocol string) bool {
	return protocol == "HTTP" || protocol == "HTTP2" || protocol == "GRPC"
}

func samplePath(pattern string) string {
	path := strings.ReplaceAll(pattern, "*", "x")
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return path
}

func (o oracle) access(from caller, target callTarget, port, method, path string) access {
	return decideAccess(o.Mesh, inboundCall{
		principal: strings.TrimPrefix(from.identity, "spiffe://"), callee: target.service, port: port,
		http: isHTTP(target.port.Protocol), method: method, path: path,
	})
}

// routesFor a host and protocol. Routes of perHost replace those of the service.
func routesFor(s repo.Service, host, protocol string) []repo.Route {
	special := s.PerHost[host]
	pick := func(own, general []repo.Route) []repo.Route {
		if own != nil {
			return own
		}
		return general
	}
	switch {
	case isHTTP(protocol):
		return pick(special.Routes, s.Routes)
	case protocol == "TLS":
		return pick(special.TLSRoutes, s.TLSRoutes)
	}
	return pick(special.TCPRoutes, s.TCPRoutes)
}

// callsOfPort lists one request for each match of each route that the caller can make, and the
// requests of [egressRequests].
func (o oracle) callsOfPort(from caller, target callTarget, port string) ([]Call, error) {
	routes := routesFor(o.Services[target.service], target.host, target.port.Protocol)
	base := o.newCall(from, target, port)
	plain := request{
		port: target.port.Port, sni: target.host, method: base.Method, path: base.Path,
		labels: from.pod.Labels, namespace: from.pod.Namespace,
	}
	requests, cases := []request{plain}, []string{""}
	if isHTTP(target.port.Protocol) {
		requests, cases = egressRequests(o.Services[from.service].Egress[target.service], plain)
	}
	for i, route := range routes {
		for j, match := range route.Match {
			r, err := sample(match, plain)
			if err != nil {
				return nil, err
			}
			ok, err := matches(match, r)
			if err != nil {
				return nil, err
			}
			if !ok || target.port.Protocol == "TLS" && r.sni != target.host {
				continue // The match is for another port, another caller or another server name.
			}
			requests, cases = append(requests, r), append(cases, fmt.Sprintf("as route %d says (%d)", i, j))
		}
	}
	calls := []Call{}
	for i, r := range requests {
		call, err := o.withRoute(base, from, target, port, routes, r)
		if err != nil {
			return nil, err
		}
		call.Case = cases[i]
		calls = append(calls, call)
	}
	return calls, nil
}

// egressRequests are the plain request and, if the egress limits methods or paths, one request
// outside each limit.
func egressRequests(e repo.Egress, plain request) ([]request, []string) {
	requests, cases := []request{plain}, []string{""}
	if len(e.Methods) > 0 {
		other := plain
		for _, m := range []string{"GET", "POST", "DELETE", "PATCH"} {
			if !slices.Contains(e.Methods, m) {
				other.method = m
			}
		}
		requests, cases = append(requests, other), append(cases, "by a method that it did not state")
	}
	if len(e.Paths) > 0 {
		other := plain
		other.path = "/unstated"
		requests, cases = append(requests, other), append(cases, "on a path that it did not state")
	}
	return requests, cases
}

// withRoute adds to the call the request and the result of the routes.
func (o oracle) withRoute(call Call, from caller, target callTarget, port string, routes []repo.Route, r request) (Call, error) {
	route, match, err := firstMatch(routes, r)
	if err != nil {
		return call, err
	}
	call.Headers = r.headers
	if isHTTP(target.port.Protocol) {
		call.Method, call.Path = r.method, r.path
	}
	if target.port.Protocol == "TLS" {
		call.SNI = r.sni
	}
	call.Want.Access = o.access(from, target, port, r.method, pathAtPod(route, match, r.path))
	if route == nil {
		call.Want.Destinations = []Destination{o.destination(from.cluster, target, 1)}
		return call, nil
	}
	call.Want.Policy = policy(*route)
	call.Want.LocalReply, call.Want.LocalReplyShare = localReply(*route, call.Host)
	if route.Redirect != nil || route.DirectResponse != nil {
		return call, nil
	}
	call.Want.Destinations = o.routeDestinations(from.cluster, target, route.To, 1-call.Want.LocalReplyShare)
	if route.Mirror != nil {
		copied := 1.0
		if route.MirrorPercentage != nil {
			copied = asFloat(route.MirrorPercentage["value"]) / 100
		}
		call.Want.Mirrors = o.routeDestinations(from.cluster, target, []repo.Destination{*route.Mirror}, copied)
	}
	return call, nil
}

func (o oracle) routeDestinations(from string, target callTarget, to []repo.Destination, share float64) []Destination {
	if len(to) == 0 {
		return []Destination{o.destination(from, target, share)}
	}
	total := 0
	for _, t := range to {
		total += weight(t)
	}
	out := []Destination{}
	for _, t := range to {
		if weight(t) == 0 {
			continue
		}
		target.version, target.cluster = t.Version, t.Cluster
		out = append(out, o.destination(from, target, share*float64(weight(t))/float64(total)))
	}
	return out
}

func weight(t repo.Destination) int {
	if t.Weight == nil {
		return 1
	}
	return *t.Weight
}

func asFloat(v any) float64 {
	f, _ := v.(float64)
	return f
}

// pathAtPod is the path after the route's rewrite.
func pathAtPod(route *repo.Route, match map[string]any, path string) string {
	if route == nil || route.Rewrite == nil || route.Rewrite["uri"] == nil {
		return path
	}
	to, _ := route.Rewrite["uri"].(string)
	uri, _ := match["uri"].(map[string]any)
	if exact, _ := uri["exact"].(string); exact != "" {
		return to
	}
	prefix, _ := uri["prefix"].(string)
	return to + strings.TrimPrefix(path, cmp.Or(prefix, "/"))
}
