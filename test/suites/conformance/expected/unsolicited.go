package expected

import (
	"fmt"
	"slices"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/scenario"
)

// UnsolicitedConnection is a direct TLS connection to port 15443 of a cluster's cross-cluster
// gateways, by a client that no manifest declares and that uses no sidecar.
type UnsolicitedConnection struct {
	Cluster string
	SNI     string
	// Identity in the client certificate, "" for a client without a certificate.
	Identity string
	// Call holds the expected result.
	Call Call
}

// UnsolicitedConnections are connections to each gateway: with and without a certificate to
// services that have authorization, and to services that the gateway does not publish.
func UnsolicitedConnections(m repo.Mesh, sc scenario.Scenario) []UnsolicitedConnection {
	o := oracle{Mesh: m, scenario: sc}
	connections := []UnsolicitedConnection{}
	for _, cluster := range sortedKeys(m.Clusters) {
		if len(m.Clusters[cluster].Gateways) == 0 {
			continue
		}
		for _, callee := range sortedKeys(m.Services) {
			if _, placed := m.Services[callee].Placement[cluster]; placed {
				connections = append(connections, o.unsolicitedTo(cluster, callee)...)
			}
		}
	}
	return connections
}

func (o oracle) unsolicitedTo(cluster, callee string) []UnsolicitedConnection {
	s := o.Services[callee]
	published := o.isPublished(cluster, callee)
	connections := []UnsolicitedConnection{}
	for _, port := range sortedKeys(s.Ports) {
		for _, host := range hosts(o.Mesh, callee) {
			target := callTarget{service: callee, host: host, port: s.Ports[port]}
			if !published {
				connections = append(connections, newUnsolicited(cluster, callee, o.sni(target), o.arbitraryIdentity(cluster), accessAllowed, "which is not published"))
				continue
			}
			undeclaredCaller, ok := o.undeclaredCaller(callee, cluster)
			if access := o.access(undeclaredCaller, target, port, "GET", "/"); ok && access != accessAllowed {
				connections = append(connections, newUnsolicited(cluster, callee, o.sni(target), undeclaredCaller.identity, access, "with an undeclared identity"))
				if access == accessDenied {
					connections = append(connections, newUnsolicited(cluster, callee, o.sni(target), "", access, "without a certificate"))
				}
			}
		}
		// Kubernetes names cross clusters in a discovery group only.
		if len(members(o.Mesh, cluster)) == 1 {
			name := fmt.Sprintf("outbound_.%d_._.%s.%s.svc.cluster.local", s.Ports[port].Port, callee, namespace(s, cluster))
			connections = append(connections, newUnsolicited(cluster, callee, name, o.arbitraryIdentity(cluster), accessAllowed, "by its name in Kubernetes"))
		}
	}
	return connections
}

func newUnsolicited(cluster, callee, sni, identity string, v access, how string) UnsolicitedConnection {
	call := Call{Caller: "undeclared client", Callee: callee, Case: how, Want: Want{Forbidden: true, Access: v}}
	call.Cluster, call.Host = cluster, sni
	return UnsolicitedConnection{Cluster: cluster, SNI: sni, Identity: identity, Call: call}
}

// arbitraryIdentity is an identity of the cluster's trust domain that no service uses.
func (o oracle) arbitraryIdentity(cluster string) string {
	return "spiffe://" + principal(o.Clusters[cluster].TrustDomain, "anywhere", "anyone")
}

// isPublished reports whether the gateways of a cluster publish a service: another cluster calls it
// where it runs in the cluster's group. The gateways of a group publish the services of the whole
// group.
func (o oracle) isPublished(cluster, callee string) bool {
	callers := exposedOn(o.Mesh, callee)
	for _, s := range o.Services {
		if _, declares := s.Egress[callee]; declares {
			callers = append(callers, sortedKeys(s.Placement)...)
		}
	}
	for _, home := range members(o.Mesh, cluster) {
		_, placed := o.Services[callee].Placement[home]
		if placed && slices.ContainsFunc(callers, func(from string) bool { return from != home }) {
			return true
		}
	}
	return false
}
