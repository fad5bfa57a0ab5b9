package expected

import (
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/scenario"
)

// UndeclaredCalls are calls that no manifest declares: to each service with authorization, from a
// pod in each cluster that may not call it.
func UndeclaredCalls(m repo.Mesh, sc scenario.Scenario) []Call {
	o := oracle{Mesh: m, scenario: sc}
	calls := []Call{}
	for _, callee := range sortedKeys(m.Services) {
		if authorizationMode(m, callee) == "off" {
			continue
		}
		for _, cluster := range sortedKeys(m.Clusters) {
			from, ok := o.undeclaredCaller(callee, cluster)
			if !ok {
				continue
			}
			for _, port := range sortedKeys(m.Services[callee].Ports) {
				target := callTarget{service: callee, host: hosts(m, callee)[0], port: m.Services[callee].Ports[port]}
				call := o.newCall(from, target, port)
				call.Case = "which it did not declare"
				call.Want.Forbidden = true
				call.Want.Access = o.access(from, target, port, call.Method, call.Path)
				calls = append(calls, call)
			}
		}
	}
	return calls
}

// undeclaredCaller is a pod in a cluster whose identity may not call the service in any trust
// domain: Istio treats trust domain aliases as equal.
func (o oracle) undeclaredCaller(callee, cluster string) (caller, bool) {
	known := slices.Clone(o.Services[callee].Authorization.Allow)
	for name, s := range o.Services {
		if _, declares := s.Egress[callee]; declares {
			known = append(known, principals(o.Mesh, name)...)
		}
	}
	for i := range known {
		_, known[i], _ = strings.Cut(known[i], "/ns/")
	}
	for _, name := range sortedKeys(o.Services) {
		if name == callee {
			continue
		}
		if _, placed := o.Services[name].Placement[cluster]; !placed {
			continue
		}
		from, ok := o.caller(name, cluster)
		if _, who, _ := strings.Cut(from.identity, "/ns/"); ok && !slices.Contains(known, who) {
			return from, true
		}
	}
	return caller{}, false
}

// HasPod reports whether the scenario has the pod.
func HasPod(sc scenario.Scenario, cluster, name string) bool {
	return slices.ContainsFunc(sc.Pods, func(p scenario.Pod) bool { return p.Cluster == cluster && p.Name == name })
}
