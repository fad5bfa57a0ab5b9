package order_test

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// worst is one change of the mesh at the start.
type worst struct {
	name, reason  string
	before, after func(*state)
}

var worsts = []worst{
	{"Move", "a service moves to a cluster that did not run it", nothing, func(s *state) {
		stock := s.services["stock"]
		stock.placement["west"] = stock.placement["north"]
		delete(stock.placement, "north")
	}},
	{"VersionAdded", "a version that nobody knew", nothing, func(s *state) {
		search := s.services["search"]
		search.versions = append(search.versions, "v3")
		search.placement["west"] = placed{versions: []string{"v2", "v3"}}
	}},
	{"VersionMoved", "a version comes to a cluster that is called already, for another version", nothing, func(s *state) {
		s.services["search"].placement["north"] = placed{versions: []string{"v1", "v2"}}
	}},
	{"GatewayPort", "all gateways listen on another port", nothing, func(s *state) { s.gatewayPort = 15444 }},
	{"GatewayAddress", "a gateway has another address, which is a name, and what is behind it is the same", nothing, func(s *state) {
		s.clusters["north"].gateways = []address{{host: "gateway.north.example.com", mapped: 31443}}
	}},
	{"Drained", "a cluster takes no calls any more", nothing, func(s *state) { s.clusters["north"].state = "draining" }},
	{
		"Restored", "and then it does",
		func(s *state) { s.clusters["north"].state = "draining" }, func(s *state) { s.clusters["north"].state = "active" },
	},
	{"CallAdded", "the first call of a service from another cluster", func(s *state) {
		for _, svc := range s.services {
			svc.calls = slices.DeleteFunc(svc.calls, func(c string) bool { return c == "mail" })
		}
	}, func(s *state) { s.services["ledger"].calls = []string{"mail"} }},
	{"MovedWithPort", "a service moves and gets a port: where it was, nobody offers that one", nothing, func(s *state) {
		s.services["mail"].placement = map[string]placed{"east": {}}
		s.services["mail"].ports["grpc"] = port{9000, "GRPC"}
	}},
	{"Names", "a service gets a port and a host, and loses others", func(s *state) {
		s.services["ledger"].hosts = append(s.services["ledger"].hosts, "books.example.com")
	}, func(s *state) {
		s.services["ledger"].hosts = []string{"ledger.example.com", "accounts.example.com"}
		delete(s.services["ledger"].ports, "tcp")
		s.services["ledger"].ports["grpc"] = port{9000, "GRPC"}
	}},
}

func nothing(*state) {}

// Whoever has something new to offer is as late with it as may be, and everybody else is at once; then those that have nothing new to offer
// are as late as callers may be, and everybody else is at once.
func TestInTheWorstCaseWhatIsCalledIsOffered(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three API servers: left out with -short")
	}
	repo := newRepository(t)
	for _, tc := range worsts {
		t.Run(tc.name, func(t *testing.T) {
			before := start()
			tc.before(before)
			after := before.clone()
			tc.after(after)
			revisions := repo.revisions(before, after)
			for _, late := range clusterNames {
				if offersMore(revisions[0].bundles[late], revisions[1].bundles[late]) {
					inTheWorstCase(t, tc, revisions, defaults.rule.routingDelay-time.Second, late)
				}
			}
			callers := slices.DeleteFunc(slices.Clone(clusterNames), func(c string) bool {
				return offersMore(revisions[0].bundles[c], revisions[1].bundles[c])
			})
			if len(callers) > 0 {
				inTheWorstCase(t, tc, revisions, defaults.rule.withdrawAfter-defaults.rule.routingDelay-time.Second, callers...)
			}
		})
	}
}

// inTheWorstCase has some clusters see a commit late, and all others at once.
func inTheWorstCase(t *testing.T, tc worst, revisions []revision, by time.Duration, late ...string) {
	t.Helper()
	s := begin(t, 0, defaults, defaults.rule, revisions)
	s.landed = 1
	s.world.knows(revisions[1].gateways)
	for _, h := range s.hosts {
		h.next = s.world.now
		if slices.Contains(late, h.name) {
			h.next = s.world.now.Add(by)
		}
	}
	s.settled()
	if len(s.world.wrong) > 0 {
		t.Errorf("%s, and %s sees it after %s:\n%s\n\n%s", tc.reason, strings.Join(late, " and "), by, strings.Join(s.world.wrong, "\n"), s.world.end())
	}
}

// revisions are those of states, one commit after the other.
func (r *repository) revisions(states ...*state) (out []revision) {
	r.t.Helper()
	for i, s := range states {
		rev, err := r.revision(s, i)
		if err != nil {
			r.t.Fatal(err)
		}
		out = append(out, *rev)
	}
	return out
}
