package order_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

// change is a kind of random change. do returns a description, "" if the change is not possible.
type change struct {
	name string
	// weight is the relative frequency.
	weight int
	do     func(r *rand.Rand, s *state) string
}

// changes has a fixed order: the history of a seed depends on it.
var changes = []change{
	{"move", 5, move},
	{"place", 4, place},
	{"unplace", 3, unplace},
	{"standby", 1, standby},
	{"weights", 1, weights},
	{"add-version", 3, addVersion},
	{"drop-version", 3, dropVersion},
	{"move-version", 3, moveVersion},
	{"reroute", 3, reroute},
	{"timeout", 1, timeout},
	{"gateway-address", 2, gatewayAddress},
	{"gateway-second", 1, gatewaySecond},
	{"gateway-port", 1, gatewayPort},
	{"drain", 3, drain},
	{"restore", 3, restore},
	{"add-call", 4, addCall},
	{"drop-call", 1, dropCall},
	{"remove", 2, remove},
	{"bring-back", 3, bringBack},
	{"add-port", 1, addPort},
	{"drop-port", 1, dropPort},
	{"add-host", 1, addHost},
	{"drop-host", 1, dropHost},
}

// changesWithout returns all changes but those with the names.
func changesWithout(names []string) []change {
	return slices.DeleteFunc(slices.Clone(changes), func(c change) bool { return slices.Contains(names, c.name) })
}

// commit makes one to three changes.
func commit(r *rand.Rand, s *state, of []change) (descriptions []string) {
	total := 0
	for _, c := range of {
		total += c.weight
	}
	for want := 1 + r.IntN(3); len(descriptions) < want; {
		at := r.IntN(total)
		for _, c := range of {
			if at -= c.weight; at < 0 {
				if did := c.do(r, s); did != "" {
					descriptions = append(descriptions, c.name+" "+did)
				}
				break
			}
		}
	}
	return descriptions
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func anyService(r *rand.Rand, s *state) (string, *service) {
	name := pick(r, slices.Sorted(maps.Keys(s.services)))
	return name, s.services[name]
}

// clusters returns the clusters with and without a placement of the service.
func (s *service) clusters() (here, elsewhere []string) {
	for _, c := range clusterNames {
		if _, ok := s.placement[c]; ok {
			here = append(here, c)
		} else {
			elsewhere = append(elsewhere, c)
		}
	}
	return here, elsewhere
}

func move(r *rand.Rand, s *state) string {
	name, svc := anyService(r, s)
	here, elsewhere := svc.clusters()
	if len(here) == 0 || len(elsewhere) == 0 {
		return ""
	}
	from, to := pick(r, here), pick(r, elsewhere)
	svc.placement[to] = svc.placement[from]
	delete(svc.placement, from)
	return fmt.Sprintf("%s from %s to %s", name, from, to)
}

func place(r *rand.Rand, s *state) string {
	name, svc := anyService(r, s)
	_, elsewhere := svc.clusters()
	if len(elsewhere) == 0 {
		return ""
	}
	to := pick(r, elsewhere)
	svc.placement[to] = placed{weight: 1 + r.IntN(5)}
	return name + " in " + to
}

func unplace(r *rand.Rand, s *state) string {
	name, svc := anyService(r, s)
	here, _ := svc.clusters()
	if len(here) < 2 {
		return ""
	}
	from := pick(r, here)
	delete(svc.placement, from)
	return name + " in " + from
}

func standby(r *rand.Rand, s *state) string {
	name, svc := anyService(r, s)
	here, _ := svc.clusters()
	cluster := pick(r, here)
	for _, c := range here {
		p := svc.placement[c]
		p.standby = c == cluster && len(here) > 1 && !p.standby
		svc.placement[c] = p
	}
	return fmt.Sprintf("of %s in %s is %t", name, cluster, svc.placement[cluster].standby)
}

func weights(r *rand.Rand, s *state) string {
	name, svc := anyService(r, s)
	svc.weighted = !svc.weighted
	return fmt.Sprintf("of %s: %t", name, svc.weighted)
}

func addVersion(r *rand.Rand, s *state) string {
	name, svc := anyService(r, s)
	free := slices.DeleteFunc([]string{"v1", "v2", "v3", "v4"}, func(v string) bool { return slices.Contains(svc.versions, v) })
	if svc.byService || len(free) == 0 {
		return ""
	}
	version := free[0]
	first := len(svc.versions) == 0
	svc.versions = append(svc.versions, version)
	slices.Sort(svc.versions)
	here, _ := svc.clusters()
	cluster := pick(r, here)
	for _, c := range here {
		// Without a list of versions, a placement runs all versions.
		if p := svc.placement[c]; p.versions != nil && c == cluster && !first {
			p.versions = slices.Sorted(slices.Values(append(p.versions, version)))
			svc.placement[c] = p
		}
	}
	return fmt.Sprintf("%s of %s", version, name)
}

func dropVersion(r *rand.Rand, s *state) string {
	name, svc := anyService(r, s)
	if len(svc.versions) == 0 {
		return ""
	}
	version := pick(r, svc.versions)
	svc.versions = slices.DeleteFunc(svc.versions, func(v string) bool { return v == version })
	for c, p := range svc.placement {
		p.versions = slices.DeleteFunc(p.versions, func(v string) bool { return v == version })
		if len(p.versions) == 0 {
			p.versions = nil
		}
		svc.placement[c] = p
	}
	return fmt.Sprintf("%s of %s", version, name)
}

// moveVersion moves a version to another cluster that already runs the service.
func moveVersion(r *rand.Rand, s *state) string {
	name, svc := anyService(r, s)
	here, _ := svc.clusters()
	if len(here) < 2 || len(svc.versions) < 2 {
		return ""
	}
	version, from := pick(r, svc.versions), pick(r, here)
	to := pick(r, slices.DeleteFunc(slices.Clone(here), func(c string) bool { return c == from }))
	kept := slices.DeleteFunc(slices.Clone(svc.versions), func(v string) bool { return v == version || !svc.runs(v, from) })
	if len(kept) == 0 {
		return ""
	}
	leaving, gaining := svc.placement[from], svc.placement[to]
	leaving.versions = kept
	if gaining.versions != nil && !slices.Contains(gaining.versions, version) {
		gaining.versions = slices.Sorted(slices.Values(append(gaining.versions, version)))
	}
	svc.placement[from], svc.placement[to] = leaving, gaining
	return fmt.Sprintf("%s of %s from %s to %s", version, name, from, to)
}

func reroute(r *rand.Rand, s *state) string {
	name, svc := anyService(r, s)
	svc.routes = (svc.routes + 1 + r.IntN(routings-1)) % routings
	return fmt.Sprintf("%s with routing %d", name, svc.routes)
}

func timeout(r *rand.Rand, s *state) string {
	name, svc := anyService(r, s)
	svc.timeout = r.IntN(10)
	return fmt.Sprintf("of %s: %ds", name, svc.timeout)
}

// newAddress returns an unused address, sometimes a DNS name, sometimes with a mapped port.
func newAddress(r *rand.Rand, cluster string) address {
	out := address{host: fmt.Sprintf("10.%d.%d.%d", 1+slices.Index(clusterNames, cluster), r.IntN(250), 1+r.IntN(250))}
	if r.IntN(4) == 0 {
		out.host = fmt.Sprintf("gateway-%d.%s.example.com", r.IntN(1_000_000), cluster)
	}
	if r.IntN(3) == 0 {
		out.mapped = 31000 + r.IntN(1000)
	}
	return out
}

func gatewayAddress(r *rand.Rand, s *state) string {
	cluster := pick(r, clusterNames)
	gateways := s.clusters[cluster].gateways
	at := r.IntN(len(gateways))
	before := gateways[at]
	gateways[at] = newAddress(r, cluster)
	return fmt.Sprintf("of %s from %v to %v", cluster, before, gateways[at])
}

func gatewaySecond(r *rand.Rand, s *state) string {
	cluster := pick(r, clusterNames)
	in := s.clusters[cluster]
	if len(in.gateways) > 1 {
		in.gateways = in.gateways[1:]
		return "removed from " + cluster
	}
	in.gateways = append(in.gateways, newAddress(r, cluster))
	return "added to " + cluster
}

// gatewayPort changes the port of all gateways, and of the addresses without a mapped port.
func gatewayPort(r *rand.Rand, s *state) string {
	s.gatewayPort = 15443 + (s.gatewayPort-15443+1+r.IntN(2))%3
	return fmt.Sprint(s.gatewayPort)
}

func drain(r *rand.Rand, s *state) string {
	cluster := pick(r, clusterNames)
	if slices.ContainsFunc(clusterNames, func(c string) bool { return s.clusters[c].state != "active" }) {
		return ""
	}
	s.clusters[cluster].state = pick(r, []string{"draining", "draining", "down"})
	return cluster + " is " + s.clusters[cluster].state
}

func restore(_ *rand.Rand, s *state) string {
	for _, c := range clusterNames {
		if s.clusters[c].state != "active" {
			s.clusters[c].state = "active"
			return c
		}
	}
	return ""
}

func addCall(r *rand.Rand, s *state) string {
	name, svc := anyService(r, s)
	callee, _ := anyService(r, s)
	if callee == name || slices.Contains(svc.calls, callee) {
		return ""
	}
	svc.calls = append(svc.calls, callee)
	return name + " -> " + callee
}

func dropCall(r *rand.Rand, s *state) string {
	name, svc := anyService(r, s)
	if len(svc.calls) == 0 {
		return ""
	}
	callee := pick(r, svc.calls)
	svc.calls = slices.DeleteFunc(svc.calls, func(c string) bool { return c == callee })
	return name + " -> " + callee
}

// remove removes a service and all calls of it.
func remove(r *rand.Rand, s *state) string {
	if len(s.removed) > 1 {
		return ""
	}
	name, svc := anyService(r, s)
	s.removed[name] = svc
	delete(s.services, name)
	for _, other := range s.services {
		other.calls = slices.DeleteFunc(other.calls, func(c string) bool { return c == name })
	}
	return name
}

// bringBack restores a removed service. Up to two others call it.
func bringBack(r *rand.Rand, s *state) string {
	if len(s.removed) == 0 {
		return ""
	}
	name := pick(r, slices.Sorted(maps.Keys(s.removed)))
	svc := s.removed[name]
	delete(s.removed, name)
	svc.calls = slices.DeleteFunc(svc.calls, func(c string) bool { return s.services[c] == nil })
	for range 2 {
		if _, caller := anyService(r, s); !slices.Contains(caller.calls, name) {
			caller.calls = append(caller.calls, name)
		}
	}
	s.services[name] = svc
	return name
}

func addPort(r *rand.Rand, s *state) string {
	name, svc := anyService(r, s)
	for _, p := range []string{"grpc", "tcp"} {
		if _, ok := svc.ports[p]; !ok {
			svc.ports[p] = map[string]port{"grpc": {9000, "GRPC"}, "tcp": {5432, "TCP"}}[p]
			return p + " of " + name
		}
	}
	return ""
}

func dropPort(r *rand.Rand, s *state) string {
	name, svc := anyService(r, s)
	for _, p := range []string{"grpc", "tcp"} {
		if _, ok := svc.ports[p]; ok {
			delete(svc.ports, p)
			return p + " of " + name
		}
	}
	return ""
}

func addHost(r *rand.Rand, s *state) string {
	name, svc := anyService(r, s)
	host := name + ".other.example.com"
	if slices.Contains(svc.hosts, host) {
		return ""
	}
	svc.hosts = append(svc.hosts, host)
	return host
}

func dropHost(r *rand.Rand, s *state) string {
	_, svc := anyService(r, s)
	if len(svc.hosts) < 2 {
		return ""
	}
	host := svc.hosts[len(svc.hosts)-1]
	svc.hosts = svc.hosts[:len(svc.hosts)-1]
	return host
}
