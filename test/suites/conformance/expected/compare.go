package expected

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/trace"
)

// Compare compares a trace with the expected result of the call and returns one text per mismatch.
// healthy: the whole platform is up, so the configuration must not offer a path that ends before a
// pod.
func Compare(c Call, r trace.Result, healthy bool) []string {
	m := &mismatches{}
	for _, u := range r.Undecided {
		m.addf("the trace could not decide: %s", u)
	}
	if reachable(c.Want.Mirrors) {
		for _, text := range r.DeadMirrors {
			m.addf("the mirrored request does not arrive: %s", text)
		}
	}
	for _, text := range r.LoopRisks {
		m.addf("a gateway would forward to another gateway, which is a loop: %s", text)
	}
	if c.Want.Forbidden {
		m.forbidden(c, r)
		return m.texts
	}
	if r.Passthrough {
		m.addf("leaves the mesh")
	}
	if c.Want.External {
		m.external(r)
		return m.texts
	}
	if healthy && !slices.ContainsFunc(c.Want.Destinations, func(d Destination) bool { return len(d.Priorities) == 0 }) {
		for _, d := range r.DeadEnds {
			m.addf("the path over %s does not reach a pod: %s", strings.Join(append(d.Via, d.Address), ", "), d.Reason)
		}
	}
	if c.Want.MustFail() {
		m.failure(r)
		return m.texts
	}
	m.localReply(c.Want, r)
	m.policy(c.Want, r)
	m.arrivals("", c.Want, c.Want.Destinations, r.Arrivals)
	if reachable(c.Want.Destinations) && len(r.Arrivals) == 0 {
		m.addf("reaches no pod: %s", r.Error)
	}
	m.arrivals("the mirrored request ", c.Want, c.Want.Mirrors, r.Mirrors)
	return m.texts
}

// mismatches collects the differences between a trace and the expected result. In its methods, what
// is the subject of the texts: "" for the call, or the mirrored request.
type mismatches struct{ texts []string }

func (m *mismatches) addf(format string, args ...any) {
	m.texts = append(m.texts, fmt.Sprintf(format, args...))
}

// forbidden expects that no pod accepts the call.
func (m *mismatches) forbidden(c Call, r trace.Result) {
	for _, a := range r.Arrivals {
		if a.External != "" {
			continue
		}
		switch {
		case c.Want.Access == accessLogged && a.DryRunDenied == "":
			m.addf("%s in %s accepts the call and does not log it", a.Pod, a.Cluster)
		case c.Want.Access == accessDenied && a.Denied == "" && a.Rejected == "":
			m.addf("%s in %s accepts the call", a.Pod, a.Cluster)
		case c.Want.Access == accessAllowed:
			m.addf("arrives at %s in %s", a.Pod, a.Cluster)
		}
	}
}

// external expects that the call leaves the mesh to a stated endpoint.
func (m *mismatches) external(r trace.Result) {
	if len(r.Arrivals) == 0 {
		m.addf("does not leave the mesh: %s", r.Error)
	}
	for _, a := range r.Arrivals {
		if a.External == "" {
			m.addf("arrives at %s in %s instead of outside the mesh", a.Pod, a.Cluster)
		}
	}
}

// failure expects that the caller gets an error.
func (m *mismatches) failure(r trace.Result) {
	for _, a := range r.Arrivals {
		m.addf("arrives at %s in %s, which must not get the call", a.Pod, a.Cluster)
	}
	if r.LocalReply != "" {
		m.addf("is answered by the proxy with %q, want an error", r.LocalReply)
	}
	if r.Error == "" {
		m.addf("does not fail, although no endpoint is up")
	}
}

func (m *mismatches) localReply(want Want, r trace.Result) {
	if r.LocalReply != want.LocalReply {
		m.addf("is answered by the proxy with %q, want %q", r.LocalReply, want.LocalReply)
	}
	if want.LocalReply != "" && !almostEqual(r.LocalReplyShare, want.LocalReplyShare) {
		m.addf("the proxy answers %s of the calls, want %s", percent(r.LocalReplyShare), percent(want.LocalReplyShare))
	}
}

func (m *mismatches) policy(want Want, r trace.Result) {
	for _, key := range sortedKeys(want.Policy) {
		if got := r.Policy[key]; !equalPolicies(got, want.Policy[key]) {
			m.addf("%s is %q, want %q", key, got, want.Policy[key])
		}
	}
}

// equalPolicies compares texts. Durations are equal in every notation.
func equalPolicies(got, want string) bool {
	a, errA := time.ParseDuration(got)
	b, errB := time.ParseDuration(want)
	return got == want || errA == nil && errB == nil && a == b
}

// arrivals compares the arrivals with each destination.
func (m *mismatches) arrivals(what string, want Want, destinations []Destination, arrivals []trace.Arrival) {
	left := arrivals
	for _, d := range mergeDestinations(destinations) {
		own, others := []trace.Arrival{}, []trace.Arrival{}
		for _, a := range left {
			if d.contains(a) {
				own = append(own, a)
			} else {
				others = append(others, a)
			}
		}
		left = others
		m.destination(what, d, own)
	}
	for _, a := range left {
		m.addf("%sarrives at %s%s in %s, which is not a destination", what, a.Pod, a.External, a.Cluster)
	}
	for _, a := range arrivals {
		m.arrival(what, want, a)
	}
}

// contains reports whether an arrival is at one of the destination's pods.
func (d Destination) contains(a trace.Arrival) bool {
	for _, priority := range d.Priorities {
		for _, path := range priority.Paths {
			if path.Cluster == a.Cluster && slices.Contains(path.Pods, a.Pod) {
				return true
			}
		}
	}
	return false
}

// mergeDestinations joins destinations that differ in their share only.
func mergeDestinations(all []Destination) []Destination {
	out := []Destination{}
	for _, d := range all {
		i := slices.IndexFunc(out, func(o Destination) bool { return fmt.Sprint(o.Priorities) == fmt.Sprint(d.Priorities) })
		if i < 0 {
			out = append(out, d)
			continue
		}
		out[i].Share += d.Share
	}
	return out
}

func (m *mismatches) destination(what string, d Destination, arrivals []trace.Arrival) {
	byPriority := map[int][]trace.Arrival{}
	for _, a := range arrivals {
		byPriority[a.Priority] = append(byPriority[a.Priority], a)
	}
	got := []string{}
	numbers := slices.Sorted(maps.Keys(byPriority))
	for _, n := range numbers {
		got = append(got, clustersOf(byPriority[n]))
	}
	want := []string{}
	for _, p := range d.Priorities {
		want = append(want, p.clusters())
	}
	if !slices.Equal(got, want) {
		m.addf("%sgoes to %s, want %s", what, joinPriorities(got), joinPriorities(want))
		return
	}
	for i, n := range numbers {
		m.priority(what, d, d.Priorities[i], byPriority[n])
	}
}

func joinPriorities(clusters []string) string {
	if len(clusters) == 0 {
		return "no cluster"
	}
	return strings.Join(clusters, ", then ")
}

// clustersOf lists the clusters of arrivals without duplicates.
func clustersOf(arrivals []trace.Arrival) string {
	names := map[string]bool{}
	for _, a := range arrivals {
		names[a.Cluster] = true
	}
	return strings.Join(sortedKeys(names), " and ")
}

func (p Priority) clusters() string {
	names := map[string]bool{}
	for _, path := range p.Paths {
		names[path.Cluster] = true
	}
	return strings.Join(sortedKeys(names), " and ")
}

// priority compares pods, paths and shares of one priority.
func (m *mismatches) priority(what string, d Destination, p Priority, arrivals []trace.Arrival) {
	total := 0.0
	for _, path := range p.Paths {
		share := 0.0
		pods := map[string]bool{}
		for _, a := range arrivals {
			if a.Cluster != path.Cluster {
				continue
			}
			pods[a.Pod] = true
			share += a.Share
			m.path(what, path, a)
		}
		total += share
		if got := sortedKeys(pods); !slices.Equal(got, path.Pods) {
			m.addf("%sreaches %v in %s, want %v", what, got, path.Cluster, path.Pods)
		}
		if p.Weighted && !almostEqual(share, path.Share) {
			m.addf("%ssends %s to %s, want %s", what, percent(share), path.Cluster, percent(path.Share))
		}
	}
	if !almostEqual(total, d.Share) {
		m.addf("%ssends %s to %s, want %s", what, percent(total), p.clusters(), percent(d.Share))
	}
}

// path compares gateways, server name, port and share of one arrival.
func (m *mismatches) path(what string, path Path, a trace.Arrival) {
	at := fmt.Sprintf("%s in %s", a.Pod, a.Cluster)
	direct := len(path.Gateways) == 0 && len(a.Via) == 0
	if !direct && (len(a.Via) != 1 || !slices.Contains(path.Gateways, a.Via[0])) {
		m.addf("%sreaches %s through the gateways %v, want one of %v", what, at, a.Via, path.Gateways)
	}
	if a.SNI != path.SNI {
		m.addf("%sreaches %s with the SNI %q, want %q", what, at, a.SNI, path.SNI)
	}
	if a.Port != path.Port {
		m.addf("%sreaches port %d of %s, want %d", what, a.Port, at, path.Port)
	}
	if a.Share <= 0 {
		m.addf("%shas no share of calls for %s", what, at)
	}
}

// arrival compares mTLS, identity and authorization at the pod.
func (m *mismatches) arrival(what string, want Want, a trace.Arrival) {
	at := fmt.Sprintf("%s in %s", a.Pod, a.Cluster)
	if a.Rejected != "" {
		m.addf("%sfails at %s: %s", what, at, a.Rejected)
		return
	}
	if a.Identity != want.Identity {
		m.addf("%shas the identity %q at %s, want %q", what, a.Identity, at, want.Identity)
	}
	if (a.Denied != "") != (want.Access == accessDenied) {
		m.addf("%sis denied at %s by %q, want it %s", what, at, a.Denied, want.Access)
	}
	if (a.DryRunDenied != "") != (want.Access == accessLogged) {
		m.addf("%sis logged at %s by %q, want it %s", what, at, a.DryRunDenied, want.Access)
	}
}

func (a access) String() string {
	if a == accessAllowed {
		return "allowed"
	}
	return string(a)
}

// almostEqual tolerates a difference of 0.6 percentage points.
func almostEqual(a, b float64) bool { return math.Abs(a-b) < 0.006 }

func percent(share float64) string { return fmt.Sprintf("%.4g%%", share*100) }
