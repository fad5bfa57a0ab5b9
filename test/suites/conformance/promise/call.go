package promise

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/trace"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/world"
)

// Call is a call that the manifests say something about.
type Call struct {
	trace.Call

	// Caller is the calling service, or "public gateway"; Callee the called one.
	Caller, Callee string
	// Case tells calls of one host and port apart: "user of route 0", "no route matches".
	Case string
	Want Want
}

// Want is what has to come of a call.
type Want struct {
	// Destinations that share the calls; none for a call that must fail, if nothing answers either.
	Destinations []Destination
	// Identity that the pods see.
	Identity string
	// Verdict of the pods' policy.
	Verdict verdict
	// Answer by the caller's own proxy, for a part of the calls.
	Answer      string
	AnswerShare float64
	// Policy are those entries of the trace's policy that the route states.
	Policy map[string]string
	// Mirrors get copies.
	Mirrors []Destination
	// External: the call has to go out to what an external names, not to a pod and not wherever it was dialled.
	External bool
	// Nowhere: the call must not arrive at any pod of the callee unless its policy refuses it.
	Nowhere bool
}

// Fails: the caller must get an error.
func (w Want) Fails() bool {
	return w.Answer == "" && !w.Nowhere && !w.External && !lives(w.Destinations)
}

// lives tells whether there is anybody to reach.
func lives(destinations []Destination) bool {
	return slices.ContainsFunc(destinations, func(d Destination) bool { return len(d.Tiers) > 0 })
}

// Title is one line for a person.
func (c Call) Title() string {
	title := fmt.Sprintf("%s in %s calls %s:%d", c.Caller, c.Cluster, c.Host, c.Port)
	if c.Case != "" {
		title += ", " + c.Case
	}
	return title
}

// caller is a pod that calls.
type caller struct {
	service  string
	cluster  string
	pod      world.Pod
	identity string
}

// Calls are all calls that the manifests declare, from one pod of each calling service in each cluster, in a fixed order. With only, those of
// callers in that cluster.
func Calls(m repo.Mesh, w world.World, only ...string) ([]Call, error) {
	p := planet{Mesh: m, world: w}
	calls := []Call{}
	for _, name := range sortedKeys(m.Services) {
		for _, cluster := range sortedKeys(m.Services[name].Placement) {
			if len(only) > 0 && !slices.Contains(only, cluster) {
				continue
			}
			from, ok := p.caller(name, cluster)
			if !ok {
				continue
			}
			for _, callee := range sortedKeys(m.Services[name].Egress) {
				if _, isService := m.Services[callee]; !isService {
					calls = append(calls, p.externalCalls(from, callee)...)
					continue
				}
				more, err := p.callsOf(from, callee)
				if err != nil {
					return nil, fmt.Errorf("calls of %s from %s: %w", callee, name, err)
				}
				calls = append(calls, more...)
			}
		}
	}
	for _, call := range p.publicCalls() {
		if len(only) == 0 || slices.Contains(only, call.Cluster) {
			calls = append(calls, call)
		}
	}
	return calls, nil
}

// caller picks the first pod of a service in a cluster.
func (p planet) caller(service, cluster string) (caller, bool) {
	for _, pod := range p.world.Pods {
		if pod.Cluster == cluster && p.serves(pod, wanted{service: service}) {
			identity := "spiffe://" + principal(p.Clusters[cluster].TrustDomain, pod.Namespace, pod.ServiceAccount)
			return caller{service: service, cluster: cluster, pod: pod, identity: identity}, true
		}
	}
	return caller{}, false
}

// callsOf one callee: each host and port, with a request for each route and one for none.
func (p planet) callsOf(from caller, callee string) ([]Call, error) {
	s := p.Services[callee]
	calls := []Call{}
	for _, host := range hosts(p.Mesh, callee) {
		for _, port := range sortedKeys(s.Ports) {
			want := wanted{service: callee, host: host, port: s.Ports[port]}
			more, err := p.callsOfPort(from, want, port)
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
				calls = append(calls, p.clusterHostCall(from, want, port, cluster))
			}
		}
	}
	return calls, nil
}

// clusterHostCall is to the pods of one cluster, by its own name.
func (p planet) clusterHostCall(from caller, want wanted, port, cluster string) Call {
	call := p.newCall(from, want, port)
	call.Host = cluster + "." + want.host
	call.Address = address(p.Mesh, from.cluster, want.service, call.Host)
	call.Case = "for one cluster"
	want.cluster = cluster
	call.Want.Destinations = []Destination{p.destination(from.cluster, want, 1)}
	call.Want.Verdict = p.verdict(from, want, port, call.Method, call.Path)
	return call
}

func (p planet) newCall(from caller, want wanted, port string) Call {
	call := Call{Caller: from.service, Callee: want.service}
	call.Cluster, call.Pod = from.cluster, from.pod.Name
	call.Host, call.Port = want.host, want.port.Port
	call.Address = address(p.Mesh, from.cluster, want.service, want.host)
	call.Protocol = want.port.Protocol
	call.Want.Identity = from.identity
	if isHTTP(want.port.Protocol) {
		call.Protocol = "HTTP"
		egress := p.Services[from.service].Egress[want.service]
		call.Method, call.Path = "GET", "/"
		if len(egress.Methods) > 0 {
			call.Method = egress.Methods[0]
		}
		if len(egress.Paths) > 0 {
			call.Path = pathSample(egress.Paths[0])
		}
	}
	return call
}

func isHTTP(protocol string) bool {
	return protocol == "HTTP" || protocol == "HTTP2" || protocol == "GRPC"
}

func pathSample(pattern string) string {
	path := strings.ReplaceAll(pattern, "*", "x")
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return path
}

func (p planet) verdict(from caller, want wanted, port, method, path string) verdict {
	return judgeAttempt(p.Mesh, attempt{
		principal: strings.TrimPrefix(from.identity, "spiffe://"), callee: want.service, port: port,
		http: isHTTP(want.port.Protocol), method: method, path: path,
	})
}

// routesFor a host and protocol, those of perHost before the service's own.
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

// callsOfPort are a request for each match of each route that a caller can make, and one that matches none.
func (p planet) callsOfPort(from caller, want wanted, port string) ([]Call, error) {
	routes := routesFor(p.Services[want.service], want.host, want.port.Protocol)
	base := p.newCall(from, want, port)
	plain := request{
		port: want.port.Port, sni: want.host, method: base.Method, path: base.Path,
		labels: from.pod.Labels, namespace: from.pod.Namespace,
	}
	requests, cases := []request{plain}, []string{""}
	if isHTTP(want.port.Protocol) {
		requests, cases = unstated(p.Services[from.service].Egress[want.service], plain)
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
			if !ok || want.port.Protocol == "TLS" && r.sni != want.host {
				continue // for another port, other callers, another name
			}
			requests, cases = append(requests, r), append(cases, fmt.Sprintf("as route %d says (%d)", i, j))
		}
	}
	calls := []Call{}
	for i, r := range requests {
		call, err := p.routed(base, from, want, port, routes, r)
		if err != nil {
			return nil, err
		}
		call.Case = cases[i]
		calls = append(calls, call)
	}
	return calls, nil
}

// unstated are the plain request and those that go beyond what the caller stated that it needs.
func unstated(e repo.Egress, plain request) ([]request, []string) {
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

// routed fills in what the routes make of a request.
func (p planet) routed(call Call, from caller, want wanted, port string, routes []repo.Route, r request) (Call, error) {
	route, match, err := firstMatch(routes, r)
	if err != nil {
		return call, err
	}
	call.Headers = r.headers
	if isHTTP(want.port.Protocol) {
		call.Method, call.Path = r.method, r.path
	}
	if want.port.Protocol == "TLS" {
		call.SNI = r.sni
	}
	call.Want.Verdict = p.verdict(from, want, port, r.method, pathAtPod(route, match, r.path))
	if route == nil {
		call.Want.Destinations = []Destination{p.destination(from.cluster, want, 1)}
		return call, nil
	}
	call.Want.Policy = policy(*route)
	call.Want.Answer, call.Want.AnswerShare = answer(*route, call.Host)
	if route.Redirect != nil || route.DirectResponse != nil {
		return call, nil
	}
	call.Want.Destinations = p.routeDestinations(from.cluster, want, route.To, 1-call.Want.AnswerShare)
	if route.Mirror != nil {
		copied := 1.0
		if route.MirrorPercentage != nil {
			copied = float(route.MirrorPercentage["value"]) / 100
		}
		call.Want.Mirrors = p.routeDestinations(from.cluster, want, []repo.Destination{*route.Mirror}, copied)
	}
	return call, nil
}

func (p planet) routeDestinations(from string, want wanted, to []repo.Destination, share float64) []Destination {
	if len(to) == 0 {
		return []Destination{p.destination(from, want, share)}
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
		want.version, want.cluster = t.Version, t.Cluster
		out = append(out, p.destination(from, want, share*float64(weight(t))/float64(total)))
	}
	return out
}

func weight(t repo.Destination) int {
	if t.Weight == nil {
		return 1
	}
	return *t.Weight
}

func float(v any) float64 {
	f, _ := v.(float64)
	return f
}

// pathAtPod is what a rewrite leaves of a path.
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
