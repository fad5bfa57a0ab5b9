package expected

import (
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/trace"
)

// matching is a call and a trace that matches it: 70 % of the calls go to a pod at home, or through
// the gateway of north if that pod is down; 30 % go to another pod in north.
func matching() (Call, trace.Result) {
	call := Call{Caller: "web", Callee: "cart", Want: Want{
		Identity: "spiffe://mesh/ns/web/sa/web",
		Policy:   map[string]string{"timeout": "90s"},
		Destinations: []Destination{
			{Share: 0.7, Priorities: []Priority{
				{Paths: []Path{{Cluster: "home", Pods: []string{"v1-0"}, Share: 0.7, Port: 80}}},
				{Paths: []Path{{Cluster: "north", Pods: []string{"v1-0"}, Share: 0.7, Port: 80, Gateways: []string{"north"}, SNI: "v1"}}},
			}},
			{Share: 0.3, Priorities: []Priority{
				{Weighted: true, Paths: []Path{{Cluster: "north", Pods: []string{"v2-0"}, Share: 0.3, Port: 80, Gateways: []string{"north"}, SNI: "v2"}}},
			}},
		},
	}}
	call.Cluster, call.Host, call.Port = "home", "cart.global", 80
	me := call.Want.Identity
	return call, trace.Result{
		Policy: map[string]string{"timeout": "1m30s", "retries.attempts": "2"},
		Arrivals: []trace.Arrival{
			{Priority: 0, Share: 0.7, Cluster: "home", Pod: "v1-0", Port: 80, Identity: me},
			{Priority: 0, Share: 0.3, Cluster: "north", Pod: "v2-0", Port: 80, Via: []string{"north"}, SNI: "v2", Identity: me},
			{Priority: 1, Share: 0.7, Cluster: "north", Pod: "v1-0", Port: 80, Via: []string{"north"}, SNI: "v1", Identity: me},
		},
	}
}

func TestMatchingTraceHasNoMismatches(t *testing.T) {
	call, result := matching()
	if texts := Compare(call, result, true); len(texts) > 0 {
		t.Errorf("%q", texts)
	}
}

func TestEveryMismatchIsReported(t *testing.T) {
	for reason, c := range map[string]struct {
		change func(*Call, *trace.Result)
		want   string
	}{
		"a pod is missing":            {func(_ *Call, r *trace.Result) { r.Arrivals = r.Arrivals[1:] }, "goes to north, want home, then north"},
		"an additional pod":           {func(_ *Call, r *trace.Result) { r.Arrivals[0].Pod = "v9-0" }, "arrives at v9-0 in home, which is not a destination"},
		"no pod":                      {func(_ *Call, r *trace.Result) { r.Arrivals, r.Error = nil, "no endpoints" }, "reaches no pod: no endpoints"},
		"the wrong order":             {func(_ *Call, r *trace.Result) { r.Arrivals[0].Priority, r.Arrivals[2].Priority = 1, 0 }, "goes to north, then home"},
		"one priority instead of two": {func(_ *Call, r *trace.Result) { r.Arrivals[2].Priority = 0 }, "goes to home and north"},
		"the wrong share":             {func(_ *Call, r *trace.Result) { r.Arrivals[1].Share = 0.5 }, "sends 50% to north, want 30%"},
		"a share of zero":             {func(_ *Call, r *trace.Result) { r.Arrivals[0].Share = 0 }, "has no share of calls"},
		"no gateway":                  {func(_ *Call, r *trace.Result) { r.Arrivals[2].Via = nil }, "want one of [north]"},
		"two gateways":                {func(_ *Call, r *trace.Result) { r.Arrivals[2].Via = []string{"south", "north"} }, "want one of [north]"},
		"a gateway instead of none":   {func(_ *Call, r *trace.Result) { r.Arrivals[0].Via = []string{"home"} }, "want one of []"},
		"another SNI":                 {func(_ *Call, r *trace.Result) { r.Arrivals[2].SNI = "v2" }, `with the SNI "v2", want "v1"`},
		"another port":                {func(_ *Call, r *trace.Result) { r.Arrivals[0].Port = 8080 }, "reaches port 8080"},
		"another identity":            {func(_ *Call, r *trace.Result) { r.Arrivals[0].Identity = "" }, `has the identity ""`},
		"mTLS fails":                  {func(_ *Call, r *trace.Result) { r.Arrivals[0].Rejected = "identity" }, "fails at v1-0 in home: identity"},
		"a policy denies the call":    {func(_ *Call, r *trace.Result) { r.Arrivals[0].Denied = "p" }, `denied at v1-0 in home by "p"`},
		"no policy denies the call":   {func(c *Call, _ *trace.Result) { c.Want.Access = accessDenied }, "want it denied"},
		"no policy logs the call":     {func(c *Call, _ *trace.Result) { c.Want.Access = accessLogged }, "want it logged"},
		"another timeout":             {func(_ *Call, r *trace.Result) { r.Policy["timeout"] = "1s" }, `timeout is "1s"`},
		"an unexpected local reply":   {func(_ *Call, r *trace.Result) { r.LocalReply = "response 503" }, "answered by the proxy"},
		"a path that ends early":      {func(_ *Call, r *trace.Result) { r.DeadEnds = []trace.DeadEnd{{Reason: "gone"}} }, "does not reach a pod: gone"},
		"passthrough":                 {func(_ *Call, r *trace.Result) { r.Passthrough = true }, "leaves the mesh"},
		"a possible loop":             {func(_ *Call, r *trace.Result) { r.LoopRisks = []string{"south"} }, "a loop: south"},
		"an undecided trace":          {func(_ *Call, r *trace.Result) { r.Undecided = []string{"x"} }, "could not decide: x"},
		"no error without endpoints":  {func(c *Call, _ *trace.Result) { c.Want.Destinations = nil }, "does not fail"},
		"an unexpected mirror":        {func(_ *Call, r *trace.Result) { r.Mirrors = r.Arrivals[:1] }, "the mirrored request arrives at v1-0"},
		"a mirror that fails": {func(c *Call, r *trace.Result) {
			c.Want.Mirrors, r.DeadMirrors = c.Want.Destinations, []string{"no endpoints"}
		}, "the mirrored request does not arrive: no endpoints"},
		"an undeclared caller that is accepted": {func(c *Call, _ *trace.Result) { c.Want.Forbidden, c.Want.Access = true, accessDenied }, "accepts the call"},
		"a reachable unpublished service":       {func(c *Call, _ *trace.Result) { c.Want.Forbidden = true }, "arrives at v1-0 in home"},
		"an external that is a pod":             {func(c *Call, _ *trace.Result) { c.Want.External = true }, "instead of outside the mesh"},
		"an unreachable external":               {func(c *Call, r *trace.Result) { c.Want.External, r.Arrivals = true, nil }, "does not leave the mesh"},
		"a missing policy of the route":         {func(c *Call, _ *trace.Result) { c.Want.Policy["retries.retryOn"] = "reset" }, "retries.retryOn"},
	} {
		t.Run(reason, func(t *testing.T) {
			call, result := matching()
			c.change(&call, &result)
			if got := strings.Join(Compare(call, result, true), "\n"); !strings.Contains(got, c.want) {
				t.Errorf("got\n%s\nwant a line with %q", got, c.want)
			}
		})
	}
}
