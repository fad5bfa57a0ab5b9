package trace

import (
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	rbachttpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	rbacnetv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
)

// passiveFilters affect neither the destination of a call nor its authorization.
var passiveFilters = map[string]bool{
	"istio.metadata_exchange":                      true,
	"istio.alpn":                                   true,
	"istio.stats":                                  true,
	"istio.peer_metadata":                          true,
	"istio_authn":                                  true,
	"envoy.filters.http.istio_authn":               true,
	"envoy.filters.http.cors":                      true,
	"envoy.filters.http.fault":                     true, // configured by the route
	"envoy.filters.http.grpc_stats":                true,
	"envoy.filters.http.grpc_web":                  true,
	"envoy.filters.http.router":                    true,
	"envoy.filters.network.sni_cluster":            true, // see sniCluster
	"envoy.filters.network.upstream_peer_metadata": true,
	"envoy.filters.network.peer_metadata":          true,
}

// chainFilters holds the supported filters of a filter chain.
type chainFilters struct {
	http *hcmv3.HttpConnectionManager
	tcp  *tcpv3.TcpProxy
	// sniCluster: the server name is the name of the Envoy cluster.
	sniCluster bool
	rules      []rules
	unknown    []string
}

// rules holds the rules of one RBAC filter. matchers: the filter uses the unsupported matcher API.
type rules struct {
	enforced, shadow *rbacv3.RBAC
	matchers         bool
}

func readChain(chain *listenerv3.FilterChain) (chainFilters, error) {
	var f chainFilters
	for _, filter := range chain.Filters {
		switch config := filter.GetTypedConfig(); config.MessageName() {
		case "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager":
			f.http = &hcmv3.HttpConnectionManager{}
			if err := config.UnmarshalTo(f.http); err != nil {
				return f, err
			}
			if err := f.readHTTP(); err != nil {
				return f, err
			}
		case "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy":
			f.tcp = &tcpv3.TcpProxy{}
			if err := config.UnmarshalTo(f.tcp); err != nil {
				return f, err
			}
		case "envoy.extensions.filters.network.rbac.v3.RBAC":
			r := &rbacnetv3.RBAC{}
			if err := config.UnmarshalTo(r); err != nil {
				return f, err
			}
			f.rules = append(f.rules, rules{r.Rules, r.ShadowRules, r.Matcher != nil || r.ShadowMatcher != nil})
		default:
			f.sniCluster = f.sniCluster || filter.Name == "envoy.filters.network.sni_cluster"
			if !passiveFilters[filter.Name] {
				f.unknown = append(f.unknown, filter.Name)
			}
		}
	}
	return f, nil
}

func (f *chainFilters) readHTTP() error {
	for _, filter := range f.http.HttpFilters {
		config := filter.GetTypedConfig()
		if config.MessageName() == "envoy.extensions.filters.http.rbac.v3.RBAC" {
			r := &rbachttpv3.RBAC{}
			if err := config.UnmarshalTo(r); err != nil {
				return err
			}
			f.rules = append(f.rules, rules{r.Rules, r.ShadowRules, r.Matcher != nil || r.ShadowMatcher != nil})
			continue
		}
		if !passiveFilters[filter.Name] {
			f.unknown = append(f.unknown, filter.Name)
		}
	}
	return nil
}
