//go:build linux

package torture_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

// clusters of the mesh. The first two form a discovery group. The third is reached through
// gateways.
var clusters = []string{"east", "west", "north"}

// requiredServices exist in every commit and are called from every cluster.
var requiredServices = []string{"cart", "stock"}

// optionalServices exist in some commits.
var optionalServices = []string{"a", "b", "c", "d", "e", "f"}

// hostOf is the host of a required service. A ServiceEntry must always define it.
func hostOf(service string) string { return service + "." + service + ".global" }

// meshOf returns the files of the n-th state of the mesh. It does not depend on earlier states.
func meshOf(seed uint64, n int) map[string]string {
	random := rand.New(rand.NewPCG(seed, uint64(n)))
	files := map[string]string{"clusters.cue": inventory(random)}
	var there []string
	for _, name := range optionalServices {
		if random.IntN(10) < 6 {
			there = append(there, name)
		}
	}
	front := service{name: "front", in: clusters, egress: append(some(random, there), requiredServices...)}
	list := []service{front}
	for i, name := range requiredServices {
		list = append(list, service{name: name, in: atLeastOne(random, clusters), egress: requiredServices[i+1:], more: variation(random)})
	}
	for i, name := range there {
		egress := append(some(random, there[i+1:]), some(random, requiredServices)...)
		list = append(list, service{name: name, in: atLeastOne(random, clusters), egress: egress, more: variation(random)})
	}
	if random.IntN(2) == 0 {
		// A Kubernetes name needs a Service in clusters that only call it, and a discovery group.
		list = append(list, service{name: "near", in: []string{"east"}, host: "near.near.svc.cluster.local"},
			service{name: "neighbour", in: []string{"west"}, egress: []string{"near"}})
	}
	for _, s := range list {
		files["services/"+s.name+".cue"] = s.String()
	}
	return files
}

// inventory returns clusters.cue with random gateway addresses.
func inventory(random *rand.Rand) string {
	text := "package config\n\n"
	for i, name := range clusters {
		group := ""
		if name != "north" {
			group = `, discovery: "one"`
		}
		text += fmt.Sprintf("clusters: %q: {region: \"region-%d\", gateways: [{address: \"192.0.2.%d\"}]%s}\n", name, i, 10*i+10+random.IntN(2), group)
	}
	return text
}

// variation returns random fields of a manifest.
func variation(random *rand.Rand) string {
	n := 1 + random.IntN(90)
	switch random.IntN(5) {
	case 0:
		return fmt.Sprintf(`routes: [{match: [{headers: "end-user": exact: "jason"}], timeout: "%ds"}]`, n)
	case 1:
		return fmt.Sprintf(`traffic: connectionPool: http: http2MaxRequests: %d`, n)
	case 2:
		return fmt.Sprintf(`versions: {v1: labels: version: "v1", v2: labels: version: "v2"}
	routes: [{to: [{version: "v2", weight: %d}, {version: "v1", weight: %d}]}]`, n, 100-n)
	case 3:
		return `authorization: mode: "enforce"`
	default:
		return ""
	}
}

func some(random *rand.Rand, from []string) []string {
	var out []string
	for _, one := range from {
		if random.IntN(2) == 0 {
			out = append(out, one)
		}
	}
	return out
}

func atLeastOne(random *rand.Rand, from []string) []string {
	if out := some(random, from); len(out) > 0 {
		return out
	}
	return []string{from[random.IntN(len(from))]}
}

// service is a manifest.
type service struct {
	name   string
	host   string
	in     []string
	egress []string
	// more is CUE source that is added to the manifest.
	more string
}

func (s service) String() string {
	if s.host != "" {
		s.more += fmt.Sprintf("\n\thosts: [%q]", s.host)
	}
	return gitops.Service{Name: s.name, In: s.in, Egress: s.egress, More: s.more}.String()
}
