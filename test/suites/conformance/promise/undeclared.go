package promise

import (
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/world"
)

// Undeclared are calls that no manifest declares: to each guarded service from a stranger in each cluster.
func Undeclared(m repo.Mesh, w world.World) []Call {
	p := planet{Mesh: m, world: w}
	calls := []Call{}
	for _, callee := range sortedKeys(m.Services) {
		if mode(m, callee) == "off" {
			continue
		}
		for _, cluster := range sortedKeys(m.Clusters) {
			from, ok := p.stranger(callee, cluster)
			if !ok {
				continue
			}
			for _, port := range sortedKeys(m.Services[callee].Ports) {
				want := wanted{service: callee, host: hosts(m, callee)[0], port: m.Services[callee].Ports[port]}
				call := p.newCall(from, want, port)
				call.Case = "which it did not declare"
				call.Want.Nowhere = true
				call.Want.Verdict = p.verdict(from, want, port, call.Method, call.Path)
				calls = append(calls, call)
			}
		}
	}
	return calls
}

// stranger is a pod in a cluster under whose identity nobody may call a service, whatever the trust domain: Istio takes aliases for one.
func (p planet) stranger(callee, cluster string) (caller, bool) {
	known := slices.Clone(p.Services[callee].Authorization.Allow)
	for name, s := range p.Services {
		if _, declares := s.Egress[callee]; declares {
			known = append(known, principals(p.Mesh, name)...)
		}
	}
	for i := range known {
		_, known[i], _ = strings.Cut(known[i], "/ns/")
	}
	for _, name := range sortedKeys(p.Services) {
		if name == callee {
			continue
		}
		if _, placed := p.Services[name].Placement[cluster]; !placed {
			continue
		}
		from, ok := p.caller(name, cluster)
		if _, who, _ := strings.Cut(from.identity, "/ns/"); ok && !slices.Contains(known, who) {
			return from, true
		}
	}
	return caller{}, false
}

// HasPod tells whether a pod is there.
func HasPod(w world.World, cluster, name string) bool {
	return slices.ContainsFunc(w.Pods, func(p world.Pod) bool { return p.Cluster == cluster && p.Name == name })
}
