package trace

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"

	"istio.io/istio/pilot/test/xdstest"
)

const (
	tlsInspector  = "envoy.filters.listener.tls_inspector"
	httpInspector = "envoy.filters.listener.http_inspector"
)

// outboundListener is the listener for a connection to address and port: the listener of the
// address, then the one of the port, then virtualOutbound.
func (x *proxy) outboundListener(address string, port int) *listenerv3.Listener {
	for _, wanted := range []string{address, "0.0.0.0"} {
		for _, l := range x.listeners {
			if l.TrafficDirection != corev3.TrafficDirection_INBOUND && listensOn(l, wanted, port) {
				return l
			}
		}
	}
	return x.listener("virtualOutbound")
}

func (x *proxy) listener(name string) *listenerv3.Listener {
	i := slices.IndexFunc(x.listeners, func(l *listenerv3.Listener) bool { return l.Name == name })
	if i < 0 {
		return nil
	}
	return x.listeners[i]
}

func listensOn(l *listenerv3.Listener, address string, port int) bool {
	addresses := []*corev3.Address{l.GetAddress()}
	for _, more := range l.AdditionalAddresses {
		addresses = append(addresses, more.Address)
	}
	return slices.ContainsFunc(addresses, func(a *corev3.Address) bool {
		return a.GetSocketAddress().GetAddress() == address && int(a.GetSocketAddress().GetPortValue()) == port
	})
}

// chainInput holds the properties of a connection that filter chains match.
type chainInput struct {
	address   string
	port      int
	transport string
	sni       string
	alpn      []string
}

var (
	errNoChain  = errors.New("no filter chain")
	errTwoChain = errors.New("several filter chains match")
)

// matchChain selects the filter chain for a connection to address and port as Envoy does: by one
// criterion after the other, without backtracking.
func matchChain(l *listenerv3.Listener, c connection, address string, port int) (*listenerv3.FilterChain, error) {
	in := chainInput{address: address, port: port, transport: "raw_buffer"}
	if c.tls && inspects(l, tlsInspector, port) {
		in.transport, in.sni, in.alpn = "tls", strings.ToLower(c.sni), c.alpn
	}
	if !c.tls && c.request != nil && inspects(l, httpInspector, port) {
		in.alpn = []string{"http/1.1"}
	}
	chains := l.FilterChains
	for _, criterion := range criteria {
		chains = criterion(chains, in)
	}
	for _, chain := range chains {
		if m := chain.GetFilterChainMatch(); m != nil && bySource(m) {
			return nil, fmt.Errorf("filter chain %s matches by source", chain.Name)
		}
	}
	switch {
	case len(chains) > 1:
		return nil, fmt.Errorf("%w: %s, %s", errTwoChain, chains[0].Name, chains[1].Name)
	case len(chains) == 1:
		return chains[0], nil
	case l.DefaultFilterChain != nil:
		return l.DefaultFilterChain, nil
	}
	return nil, errNoChain
}

func bySource(m *listenerv3.FilterChainMatch) bool {
	return m.SourceType != listenerv3.FilterChainMatch_ANY || len(m.SourcePorts) > 0 || len(m.SourcePrefixRanges) > 0 ||
		len(m.DirectSourcePrefixRanges) > 0 || m.AddressSuffix != ""
}

func inspects(l *listenerv3.Listener, filter string, port int) bool {
	for _, f := range l.ListenerFilters {
		if f.Name == filter {
			return f.FilterDisabled == nil || !xdstest.EvaluateListenerFilterPredicates(f.FilterDisabled, port)
		}
	}
	return false
}

// criteria are those of Envoy, in its order. Each keeps the chains that match best, or the chains
// without the criterion if none matches.
var criteria = []func([]*listenerv3.FilterChain, chainInput) []*listenerv3.FilterChain{
	bestMatch(func(m *listenerv3.FilterChainMatch, in chainInput) (bool, int) {
		return m.GetDestinationPort() != nil, rank(int(m.GetDestinationPort().GetValue()) == in.port)
	}),
	bestMatch(func(m *listenerv3.FilterChainMatch, in chainInput) (bool, int) {
		return len(m.GetPrefixRanges()) > 0, prefixRank(m.GetPrefixRanges(), in.address)
	}),
	bestMatch(func(m *listenerv3.FilterChainMatch, in chainInput) (bool, int) {
		return len(m.GetServerNames()) > 0, serverNameRank(m.GetServerNames(), in.sni)
	}),
	bestMatch(func(m *listenerv3.FilterChainMatch, in chainInput) (bool, int) {
		return m.GetTransportProtocol() != "", rank(m.GetTransportProtocol() == in.transport)
	}),
	bestMatch(func(m *listenerv3.FilterChainMatch, in chainInput) (bool, int) {
		// The first protocol of the client that a chain lists decides.
		for i, protocol := range in.alpn {
			if slices.Contains(m.GetApplicationProtocols(), protocol) {
				return true, len(in.alpn) - i
			}
		}
		return len(m.GetApplicationProtocols()) > 0, 0
	}),
}

func bestMatch(
	score func(*listenerv3.FilterChainMatch, chainInput) (set bool, rank int),
) func([]*listenerv3.FilterChain, chainInput) []*listenerv3.FilterChain {
	return func(chains []*listenerv3.FilterChain, in chainInput) []*listenerv3.FilterChain {
		var matching, unset []*listenerv3.FilterChain
		top := 1
		for _, chain := range chains {
			set, rank := score(chain.GetFilterChainMatch(), in)
			switch {
			case !set:
				unset = append(unset, chain)
			case rank > top:
				top, matching = rank, []*listenerv3.FilterChain{chain}
			case rank == top:
				matching = append(matching, chain)
			}
		}
		if len(matching) > 0 {
			return matching
		}
		return unset
	}
}

func rank(matches bool) int {
	if matches {
		return 1
	}
	return 0
}

// prefixRank is 1 plus the length of the longest prefix that contains the address, 0 for none.
func prefixRank(ranges []*corev3.CidrRange, address string) int {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return 0
	}
	top := 0
	for _, r := range ranges {
		base, err := netip.ParseAddr(r.AddressPrefix)
		if err != nil {
			continue
		}
		if prefix := netip.PrefixFrom(base, int(r.GetPrefixLen().GetValue())); prefix.Contains(ip) {
			top = max(top, prefix.Bits()+1)
		}
	}
	return top
}

// serverNameRank prefers the exact name, then the longest wildcard.
func serverNameRank(names []string, sni string) int {
	top := 0
	for _, name := range names {
		suffix, wildcard := strings.CutPrefix(name, "*")
		switch {
		case sni == "":
		case name == sni:
			top = 1 << 20
		case wildcard && len(sni) > len(suffix) && strings.HasSuffix(sni, suffix):
			top = max(top, 1+len(suffix))
		}
	}
	return top
}

// duplicateMatch returns an error text if two filter chains have the same match, because Envoy then
// rejects the listener. It returns "" otherwise.
func duplicateMatch(l *listenerv3.Listener) string {
	seen := map[string]bool{}
	for _, chain := range l.FilterChains {
		rest := &listenerv3.FilterChainMatch{}
		if m := chain.GetFilterChainMatch(); m != nil {
			rest = proto.CloneOf(m)
		}
		names, protocols, prefixes := orAny(rest.ServerNames), orAny(rest.ApplicationProtocols), rest.PrefixRanges
		rest.ServerNames, rest.ApplicationProtocols, rest.PrefixRanges = nil, nil, nil
		others := rest.String()
		addresses := []string{""}
		if len(prefixes) > 0 {
			addresses = nil
			for _, p := range prefixes {
				addresses = append(addresses, fmt.Sprintf("%s/%d", p.AddressPrefix, p.GetPrefixLen().GetValue()))
			}
		}
		for _, name := range names {
			for _, protocol := range protocols {
				for _, address := range addresses {
					key := strings.Join([]string{strings.ToLower(name), protocol, address, others}, "|")
					if seen[key] {
						return fmt.Sprintf("Envoy rejects listener %s: two of its filter chains match the server name %q, the protocol %q and the addresses %q",
							l.Name, name, protocol, address)
					}
					seen[key] = true
				}
			}
		}
	}
	return ""
}

func orAny(list []string) []string {
	if len(list) == 0 {
		return []string{""}
	}
	return list
}
