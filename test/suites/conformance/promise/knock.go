package promise

import (
	"fmt"
	"slices"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/world"
)

// Knock is a connection straight at a cluster's cross-cluster gateways, past every sidecar, by somebody who has not declared it.
type Knock struct {
	Cluster string
	SNI     string
	// Identity of the certificate shown, "" for none.
	Identity string
	// Call says what must not happen.
	Call Call
}

// Knocks are a stranger's, with and without a certificate, for what each gateway publishes under a guard, and for what it does not publish.
func Knocks(m repo.Mesh, w world.World) []Knock {
	p := planet{Mesh: m, world: w}
	knocks := []Knock{}
	for _, cluster := range sortedKeys(m.Clusters) {
		if len(m.Clusters[cluster].Gateways) == 0 {
			continue
		}
		for _, callee := range sortedKeys(m.Services) {
			if _, placed := m.Services[callee].Placement[cluster]; placed {
				knocks = append(knocks, p.knocksFor(cluster, callee)...)
			}
		}
	}
	return knocks
}

func (p planet) knocksFor(cluster, callee string) []Knock {
	s := p.Services[callee]
	published := p.calledFromElsewhere(cluster, callee)
	knocks := []Knock{}
	for _, port := range sortedKeys(s.Ports) {
		for _, host := range hosts(p.Mesh, callee) {
			want := wanted{service: callee, host: host, port: s.Ports[port]}
			if !published {
				knocks = append(knocks, knock(cluster, callee, p.sni(want), p.anyone(cluster), letIn, "which is not published"))
				continue
			}
			stranger, ok := p.stranger(callee, cluster)
			if verdict := p.verdict(stranger, want, port, "GET", "/"); ok && verdict != letIn {
				knocks = append(knocks, knock(cluster, callee, p.sni(want), stranger.identity, verdict, "as a stranger"))
				if verdict == refused {
					knocks = append(knocks, knock(cluster, callee, p.sni(want), "", verdict, "without a certificate"))
				}
			}
		}
		// Kubernetes' own names are nobody's in other clusters, except for a discovery group.
		if len(members(p.Mesh, cluster)) == 1 {
			name := fmt.Sprintf("outbound_.%d_._.%s.%s.svc.cluster.local", s.Ports[port].Port, callee, namespace(s, cluster))
			knocks = append(knocks, knock(cluster, callee, name, p.anyone(cluster), letIn, "by its name in Kubernetes"))
		}
	}
	return knocks
}

func knock(cluster, callee, sni, identity string, v verdict, how string) Knock {
	call := Call{Caller: "a stranger", Callee: callee, Case: how, Want: Want{Nowhere: true, Verdict: v}}
	call.Cluster, call.Host = cluster, sni
	return Knock{Cluster: cluster, SNI: sni, Identity: identity, Call: call}
}

// anyone is an identity that the mesh knows.
func (p planet) anyone(cluster string) string {
	return "spiffe://" + principal(p.Clusters[cluster].TrustDomain, "anywhere", "anyone")
}

// calledFromElsewhere tells whether a service that runs in a cluster's group is called there from another cluster than it runs in: gateways of one
// group hold what others of it publish.
func (p planet) calledFromElsewhere(cluster, callee string) bool {
	callers := exposedOn(p.Mesh, callee)
	for _, s := range p.Services {
		if _, declares := s.Egress[callee]; declares {
			callers = append(callers, sortedKeys(s.Placement)...)
		}
	}
	for _, home := range members(p.Mesh, cluster) {
		_, placed := p.Services[callee].Placement[home]
		if placed && slices.ContainsFunc(callers, func(from string) bool { return from != home }) {
			return true
		}
	}
	return false
}
