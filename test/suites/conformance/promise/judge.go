package promise

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/trace"
)

// Judge holds a trace against what was promised and lists what is wrong, in words; nothing is a promise kept. In a world that is whole no way may
// end before a pod.
func Judge(c Call, r trace.Result, whole bool) []string {
	j := &judgement{}
	for _, u := range r.Undecided {
		if strings.HasPrefix(u, "a mirror to ") && !lives(c.Want.Mirrors) {
			continue // A copy that nobody takes is nobody's loss.
		}
		j.say("the trace could not decide: %s", u)
	}
	for _, e := range r.Escapes {
		j.say("a gateway would forward to %s: a loop", e)
	}
	if c.Want.Nowhere {
		j.nowhere(c, r)
		return j.problems
	}
	if r.Passthrough {
		j.say("leaves the mesh")
	}
	if c.Want.External {
		j.external(r)
		return j.problems
	}
	if whole && !slices.ContainsFunc(c.Want.Destinations, func(d Destination) bool { return len(d.Tiers) == 0 }) {
		for _, d := range r.DeadEnds {
			j.say("a way over %s ends nowhere: %s", strings.Join(append(d.Via, d.Address), ", "), d.Reason)
		}
	}
	if c.Want.Fails() {
		for _, a := range r.Arrivals {
			j.say("arrives at %s in %s, where nothing was to take the call", a.Pod, a.Cluster)
		}
		if r.Answer != "" {
			j.say("is answered by %q, but there is nothing to answer", r.Answer)
		}
		if r.Error == "" {
			j.say("does not fail, but nothing is there to take it")
		}
		return j.problems
	}
	j.answer(c.Want, r)
	j.policy(c.Want, r)
	j.arrivals("", c.Want, c.Want.Destinations, r.Arrivals)
	if lives(c.Want.Destinations) && len(r.Arrivals) == 0 {
		j.say("reaches nobody: %s", r.Error)
	}
	j.arrivals("the copy ", c.Want, c.Want.Mirrors, r.Mirrors)
	return j.problems
}

// judgement collects what is wrong.
type judgement struct {
	problems []string
}

func (j *judgement) say(format string, args ...any) {
	j.problems = append(j.problems, fmt.Sprintf(format, args...))
}

// nowhere: whoever is reached must refuse.
func (j *judgement) nowhere(c Call, r trace.Result) {
	for _, a := range r.Arrivals {
		if a.External != "" {
			continue
		}
		switch {
		case c.Want.Verdict == logged && a.DryRunDenied == "":
			j.say("%s in %s lets the call in without a word in its log", a.Pod, a.Cluster)
		case c.Want.Verdict == refused && a.Denied == "" && a.Rejected == "":
			j.say("%s in %s lets the call in", a.Pod, a.Cluster)
		case c.Want.Verdict == letIn:
			j.say("arrives at %s in %s", a.Pod, a.Cluster)
		}
	}
}

// external: it goes out, to what was named.
func (j *judgement) external(r trace.Result) {
	if len(r.Arrivals) == 0 {
		j.say("does not get out: %s", r.Error)
	}
	for _, a := range r.Arrivals {
		if a.External == "" {
			j.say("arrives at %s in %s instead of outside", a.Pod, a.Cluster)
		}
	}
}

func (j *judgement) answer(want Want, r trace.Result) {
	if r.Answer != want.Answer {
		j.say("is answered by the proxy with %q, want %q", r.Answer, want.Answer)
	}
	if want.Answer != "" && !same(r.AnswerShare, want.AnswerShare) {
		j.say("%s of the calls are answered by the proxy, want %s", percent(r.AnswerShare), percent(want.AnswerShare))
	}
}

func (j *judgement) policy(want Want, r trace.Result) {
	for _, key := range sortedKeys(want.Policy) {
		if got := r.Policy[key]; !equalWords(got, want.Policy[key]) {
			j.say("%s is %q, want %q", key, got, want.Policy[key])
		}
	}
}

// equalWords compares texts, and durations whatever they are written like.
func equalWords(got, want string) bool {
	a, errA := time.ParseDuration(got)
	b, errB := time.ParseDuration(want)
	return got == want || errA == nil && errB == nil && a == b
}

// arrivals of calls or copies, each destination for itself.
func (j *judgement) arrivals(what string, want Want, destinations []Destination, arrivals []trace.Arrival) {
	left := arrivals
	for _, d := range merged(destinations) {
		mine, others := []trace.Arrival{}, []trace.Arrival{}
		for _, a := range left {
			if d.has(a) {
				mine = append(mine, a)
			} else {
				others = append(others, a)
			}
		}
		left = others
		j.destination(what, d, mine)
	}
	for _, a := range left {
		j.say("%sarrives at %s%s in %s, which takes no part of it", what, a.Pod, a.External, a.Cluster)
	}
	for _, a := range arrivals {
		j.arrival(what, want, a)
	}
}

// has tells whether an arrival is at one of the destination's pods.
func (d Destination) has(a trace.Arrival) bool {
	for _, tier := range d.Tiers {
		for _, way := range tier.Ways {
			if way.Cluster == a.Cluster && slices.Contains(way.Pods, a.Pod) {
				return true
			}
		}
	}
	return false
}

// merged joins destinations that differ in nothing but their share.
func merged(all []Destination) []Destination {
	out := []Destination{}
	for _, d := range all {
		i := slices.IndexFunc(out, func(o Destination) bool { return fmt.Sprint(o.Tiers) == fmt.Sprint(d.Tiers) })
		if i < 0 {
			out = append(out, d)
			continue
		}
		out[i].Share += d.Share
	}
	return out
}

// destination compares tier by tier.
func (j *judgement) destination(what string, d Destination, arrivals []trace.Arrival) {
	byPriority := map[int][]trace.Arrival{}
	for _, a := range arrivals {
		byPriority[a.Priority] = append(byPriority[a.Priority], a)
	}
	got := []string{}
	priorities := sortedInts(byPriority)
	for _, p := range priorities {
		got = append(got, clustersOf(byPriority[p]))
	}
	wanted := []string{}
	for _, t := range d.Tiers {
		wanted = append(wanted, t.clusters())
	}
	if !slices.Equal(got, wanted) {
		j.say("%sgoes to %s, want %s", what, order(got), order(wanted))
		return
	}
	for i, p := range priorities {
		j.tier(what, d, d.Tiers[i], byPriority[p])
	}
}

func order(tiers []string) string {
	if len(tiers) == 0 {
		return "nobody"
	}
	return strings.Join(tiers, ", then ")
}

// clustersOf names where arrivals are, each cluster once.
func clustersOf(arrivals []trace.Arrival) string {
	names := map[string]bool{}
	for _, a := range arrivals {
		names[a.Cluster] = true
	}
	return strings.Join(sortedKeys(names), " and ")
}

func (t Tier) clusters() string {
	names := map[string]bool{}
	for _, w := range t.Ways {
		names[w.Cluster] = true
	}
	return strings.Join(sortedKeys(names), " and ")
}

// tier compares pods, ways and shares of one priority.
func (j *judgement) tier(what string, d Destination, t Tier, arrivals []trace.Arrival) {
	total := 0.0
	for _, way := range t.Ways {
		share := 0.0
		pods := map[string]bool{}
		for _, a := range arrivals {
			if a.Cluster != way.Cluster {
				continue
			}
			pods[a.Pod] = true
			share += a.Share
			j.hop(what, way, a)
		}
		total += share
		if got := sortedKeys(pods); !slices.Equal(got, way.Pods) {
			j.say("%sreaches %v in %s, want %v", what, got, way.Cluster, way.Pods)
		}
		if t.Weighted && !same(share, way.Share) {
			j.say("%ssends %s to %s, want %s", what, percent(share), way.Cluster, percent(way.Share))
		}
	}
	if !same(total, d.Share) {
		j.say("%ssends %s to %s, want %s", what, percent(total), t.clusters(), percent(d.Share))
	}
}

// hop compares the way of one arrival.
func (j *judgement) hop(what string, way Way, a trace.Arrival) {
	at := fmt.Sprintf("%s in %s", a.Pod, a.Cluster)
	direct := len(way.Gateways) == 0 && len(a.Via) == 0
	if !direct && (len(a.Via) != 1 || !slices.Contains(way.Gateways, a.Via[0])) {
		j.say("%sreaches %s through the gateways %v, want one of %v", what, at, a.Via, way.Gateways)
	}
	if a.SNI != way.SNI {
		j.say("%sreaches %s asking for %q, want %q", what, at, a.SNI, way.SNI)
	}
	if a.Port != way.Port {
		j.say("%sreaches port %d of %s, want %d", what, a.Port, at, way.Port)
	}
	if a.Share <= 0 {
		j.say("%snever takes its way to %s", what, at)
	}
}

// arrival is judged by what the pod sees.
func (j *judgement) arrival(what string, want Want, a trace.Arrival) {
	at := fmt.Sprintf("%s in %s", a.Pod, a.Cluster)
	if a.Rejected != "" {
		j.say("%sfails at %s: %s", what, at, a.Rejected)
		return
	}
	if a.Identity != want.Identity {
		j.say("%sis seen as %q by %s, want %q", what, a.Identity, at, want.Identity)
	}
	if (a.Denied != "") != (want.Verdict == refused) {
		j.say("%sis denied at %s by %q, want it %s", what, at, a.Denied, want.Verdict.words())
	}
	if (a.DryRunDenied != "") != (want.Verdict == logged) {
		j.say("%sis logged at %s by %q, want it %s", what, at, a.DryRunDenied, want.Verdict.words())
	}
}

func (v verdict) words() string {
	if v == letIn {
		return "let in"
	}
	return string(v)
}

func same(a, b float64) bool { return math.Abs(a-b) < 0.006 }

func percent(share float64) string { return fmt.Sprintf("%.4g%%", share*100) }

func sortedInts[V any](m map[int]V) []int {
	keys := make([]int, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
