package order_test

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// singleChange is one change of the initial mesh, after a preparation.
type singleChange struct {
	name, reason  string
	before, after func(*state)
}

var singleChanges = []singleChange{
	{"Move", "a service moves to a cluster that did not run it", unchanged, func(s *state) {
		stock := s.services["stock"]
		stock.placement["west"] = stock.placement["north"]
		delete(stock.placement, "north")
	}},
	{"VersionAdded", "a new version", unchanged, func(s *state) {
		search := s.services["search"]
		search.versions = append(search.versions, "v3")
		search.placement["west"] = placed{versions: []string{"v2", "v3"}}
	}},
	{"VersionMoved", "a version is added in a cluster that is already called for another version", unchanged, func(s *state) {
		s.services["search"].placement["north"] = placed{versions: []string{"v1", "v2"}}
	}},
	{"GatewayPort", "all gateways listen on another port", unchanged, func(s *state) { s.gatewayPort = 15444 }},
	{"GatewayAddress", "the same gateway gets another address, a DNS name", unchanged, func(s *state) {
		s.clusters["north"].gateways = []address{{host: "gateway.north.example.com", mapped: 31443}}
	}},
	{"Drained", "a cluster is drained", unchanged, func(s *state) { s.clusters["north"].state = "draining" }},
	{
		"Restored", "a drained cluster is restored",
		func(s *state) { s.clusters["north"].state = "draining" }, func(s *state) { s.clusters["north"].state = "active" },
	},
	{"CallAdded", "the first call of a service from another cluster", func(s *state) {
		for _, svc := range s.services {
			svc.calls = slices.DeleteFunc(svc.calls, func(c string) bool { return c == "mail" })
		}
	}, func(s *state) { s.services["ledger"].calls = []string{"mail"} }},
	{"MovedWithPort", "a service moves and gets a port, which its old cluster does not offer", unchanged, func(s *state) {
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

func unchanged(*state) {}

// First, one cluster that publishes something new is as late as the delays allow, and all others
// sync at once. Then all clusters that publish nothing new are as late as the delays allow.
func TestCalledServicesAreOfferedInTheWorstCase(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three API servers: left out with -short")
	}
	repo := newRepository(t)
	for _, tc := range singleChanges {
		t.Run(tc.name, func(t *testing.T) {
			before := initialState()
			tc.before(before)
			after := before.clone()
			tc.after(after)
			revisions := repo.revisions(before, after)
			for _, late := range clusterNames {
				if publishesMore(revisions[0].bundles[late], revisions[1].bundles[late]) {
					runWorstCase(t, tc, revisions, defaults.delays.routingDelay-time.Second, late)
				}
			}
			callers := slices.DeleteFunc(slices.Clone(clusterNames), func(c string) bool {
				return publishesMore(revisions[0].bundles[c], revisions[1].bundles[c])
			})
			if len(callers) > 0 {
				runWorstCase(t, tc, revisions, defaults.delays.withdrawAfter-defaults.delays.routingDelay-time.Second, callers...)
			}
		})
	}
}

// runWorstCase delays the sync of some clusters. All others sync at once.
func runWorstCase(t *testing.T, tc singleChange, revisions []revision, by time.Duration, late ...string) {
	t.Helper()
	s := startSimulation(t, 0, defaults, defaults.delays, revisions)
	s.head = 1
	s.monitor.addGateways(revisions[1].gateways)
	for _, c := range s.controllers {
		c.nextSync = s.monitor.now
		if slices.Contains(late, c.name) {
			c.nextSync = s.monitor.now.Add(by)
		}
	}
	s.finish()
	if len(s.monitor.violations) > 0 {
		t.Errorf("%s, and %s syncs after %s:\n%s\n\n%s", tc.reason, strings.Join(late, " and "), by, strings.Join(s.monitor.violations, "\n"), s.monitor.logTail())
	}
}

// revisions evaluates states as consecutive commits.
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
