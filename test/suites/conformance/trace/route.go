package trace

import (
	"fmt"
	"net"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
)

// routeConfig is the route configuration of the connection manager.
func (x *proxy) routeConfig(manager *hcmv3.HttpConnectionManager) (*routev3.RouteConfiguration, error) {
	if inline := manager.GetRouteConfig(); inline != nil {
		return inline, nil
	}
	name := manager.GetRds().GetRouteConfigName()
	if r := x.routes[name]; r != nil {
		return r, nil
	}
	return nil, fmt.Errorf("%s has no route configuration %q", x, name)
}

// virtualHost selects by authority: the exact domain, then the longest suffix, then the longest
// prefix, then "*".
func virtualHost(config *routev3.RouteConfiguration, authority string) *routev3.VirtualHost {
	host := strings.ToLower(authority)
	if config.GetIgnorePortInHostMatching() {
		if bare, _, err := net.SplitHostPort(host); err == nil {
			host = bare
		}
	}
	var found *routev3.VirtualHost
	top := 0
	for _, v := range config.VirtualHosts {
		for _, domain := range v.Domains {
			if score := domainScore(strings.ToLower(domain), host); score > top {
				top, found = score, v
			}
		}
	}
	return found
}

func domainScore(domain, host string) int {
	const exact, suffix, prefix, anything = 1 << 24, 1 << 16, 1 << 8, 1
	switch {
	case domain == "*":
		return anything
	case domain == host:
		return exact
	case strings.HasPrefix(domain, "*") && len(host) > len(domain)-1 && strings.HasSuffix(host, domain[1:]):
		return suffix + len(domain)
	case strings.HasSuffix(domain, "*") && len(host) > len(domain)-1 && strings.HasPrefix(host, domain[:len(domain)-1]):
		return prefix + len(domain)
	}
	return 0
}

// matchRoute is the first route of the virtual host that matches the request.
func matchRoute(v *routev3.VirtualHost, r *request) (*routev3.Route, error) {
	for _, candidate := range v.Routes {
		matched, err := routeMatches(candidate.GetMatch(), r)
		if err != nil {
			return nil, fmt.Errorf("route %s of virtual host %s: %w", candidate.Name, v.Name, err)
		}
		if matched {
			return candidate, nil
		}
	}
	return nil, nil
}

func routeMatches(m *routev3.RouteMatch, r *request) (bool, error) {
	if m.GetRuntimeFraction() != nil || m.GetTlsContext() != nil || len(m.GetDynamicMetadata()) > 0 || len(m.GetFilterState()) > 0 ||
		m.GetGrpc() != nil {
		return false, fmt.Errorf("unsupported match, only path, headers and query are supported: %v", m)
	}
	if matched, err := pathMatches(m, r); !matched || err != nil {
		return false, err
	}
	for _, h := range m.Headers {
		if matched, err := matchHeader(h, r); !matched || err != nil {
			return false, err
		}
	}
	for _, q := range m.QueryParameters {
		if matched, err := matchQuery(q, r); !matched || err != nil {
			return false, err
		}
	}
	return true, nil
}

func pathMatches(m *routev3.RouteMatch, r *request) (bool, error) {
	path := r.pathOnly()
	fold := func(s string) string {
		if m.GetCaseSensitive() != nil && !m.GetCaseSensitive().Value {
			return strings.ToLower(s)
		}
		return s
	}
	switch p := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Prefix:
		return strings.HasPrefix(fold(r.path), fold(p.Prefix)), nil
	case *routev3.RouteMatch_Path:
		return fold(path) == fold(p.Path), nil
	case *routev3.RouteMatch_PathSeparatedPrefix:
		return fold(path) == fold(p.PathSeparatedPrefix) || strings.HasPrefix(fold(path), fold(p.PathSeparatedPrefix)+"/"), nil
	case *routev3.RouteMatch_SafeRegex:
		return fullMatch(p.SafeRegex.GetRegex(), path)
	}
	return false, fmt.Errorf("unsupported path matcher %T", m.GetPathSpecifier())
}

// destination is one Envoy cluster of a route.
type destination struct {
	cluster string
	share   float64
	request *request
}

// destinations of the route, each with the request after the route's changes.
func destinations(v *routev3.VirtualHost, route *routev3.Route, r *request) ([]destination, error) {
	action := route.GetRoute()
	base := r.clone()
	if err := rewrite(route, base); err != nil {
		return nil, err
	}
	applyHeaders(base, v.RequestHeadersToAdd, v.RequestHeadersToRemove)
	applyHeaders(base, route.RequestHeadersToAdd, route.RequestHeadersToRemove)
	switch s := action.GetClusterSpecifier().(type) {
	case *routev3.RouteAction_Cluster:
		return []destination{{s.Cluster, 1, base}}, nil
	case *routev3.RouteAction_WeightedClusters:
		var all []destination
		total := 0.0
		for _, w := range s.WeightedClusters.Clusters {
			to := base.clone()
			applyHeaders(to, w.RequestHeadersToAdd, w.RequestHeadersToRemove)
			if literal := w.GetHostRewriteLiteral(); literal != "" {
				to.authority = literal
			}
			if w.GetClusterHeader() != "" {
				return nil, fmt.Errorf("route %s selects the cluster by a header, which is not supported", route.Name)
			}
			total += float64(w.GetWeight().GetValue())
			all = append(all, destination{w.Name, float64(w.GetWeight().GetValue()), to})
		}
		for i := range all {
			all[i].share /= total
		}
		return slices.DeleteFunc(all, func(d destination) bool { return d.share == 0 }), nil
	}
	return nil, fmt.Errorf("route %s has the unsupported cluster specifier %T", route.Name, action.GetClusterSpecifier())
}
