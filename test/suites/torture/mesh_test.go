//go:build linux

package torture_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

// clusters of the mesh; the first two discover each other's endpoints, the third is reached through gateways.
var clusters = []string{"east", "west", "north"}

// pillars are services that every commit has and that are called from every cluster, wherever they run.
var pillars = []string{"cart", "stock"}

// others come and go.
var others = []string{"a", "b", "c", "d", "e", "f"}

// hostOf is a pillar's host, which no ServiceEntry may lose at any moment.
func hostOf(pillar string) string { return pillar + "." + pillar + ".global" }

// meshOf are the files of the n-th state of the mesh, which depends on nothing that happened before.
func meshOf(seed uint64, n int) map[string]string {
	random := rand.New(rand.NewPCG(seed, uint64(n)))
	files := map[string]string{"clusters.cue": inventory(random)}
	var there []string
	for _, name := range others {
		if random.IntN(10) < 6 {
			there = append(there, name)
		}
	}
	front := service{name: "front", in: clusters, egress: append(some(random, there), pillars...)}
	list := []service{front}
	for i, name := range pillars {
		list = append(list, service{name: name, in: atLeastOne(random, clusters), egress: pillars[i+1:], more: variation(random)})
	}
	for i, name := range there {
		egress := append(some(random, there[i+1:]), some(random, pillars)...)
		list = append(list, service{name: name, in: atLeastOne(random, clusters), egress: egress, more: variation(random)})
	}
	if random.IntN(2) == 0 {
		// Under its Kubernetes name, which needs a Service where it is only called, and works among those that discover each other.
		list = append(list, service{name: "near", in: []string{"east"}, host: "near.near.svc.cluster.local"},
			service{name: "neighbour", in: []string{"west"}, egress: []string{"near"}})
	}
	for _, s := range list {
		files["services/"+s.name+".cue"] = s.String()
	}
	return files
}

// inventory changes what every service of the mesh depends on.
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

// variation is what else a manifest says.
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

// service is a manifest: where it runs, and whom it calls.
type service struct {
	name   string
	host   string
	in     []string
	egress []string
	// more is put into it as it is.
	more string
}

func (s service) String() string {
	if s.host != "" {
		s.more += fmt.Sprintf("\n\thosts: [%q]", s.host)
	}
	return gitops.Service{Name: s.name, In: s.in, Egress: s.egress, More: s.more}.String()
}
