package promise

import (
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/trace"
)

// kept is a call with a trace that keeps its promise: 70 % to a pod at home and else by the gateway of north, 30 % to another in north.
func kept() (Call, trace.Result) {
	call := Call{Caller: "web", Callee: "cart", Want: Want{
		Identity: "spiffe://mesh/ns/web/sa/web",
		Policy:   map[string]string{"timeout": "90s"},
		Destinations: []Destination{
			{Share: 0.7, Tiers: []Tier{
				{Ways: []Way{{Cluster: "home", Pods: []string{"v1-0"}, Share: 0.7, Port: 80}}},
				{Ways: []Way{{Cluster: "north", Pods: []string{"v1-0"}, Share: 0.7, Port: 80, Gateways: []string{"north"}, SNI: "v1"}}},
			}},
			{Share: 0.3, Tiers: []Tier{
				{Weighted: true, Ways: []Way{{Cluster: "north", Pods: []string{"v2-0"}, Share: 0.3, Port: 80, Gateways: []string{"north"}, SNI: "v2"}}},
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

func TestAPromiseKeptHasNoProblems(t *testing.T) {
	call, result := kept()
	if problems := Judge(call, result, true); len(problems) > 0 {
		t.Errorf("%q", problems)
	}
}

func TestEveryBrokenPromiseIsTold(t *testing.T) {
	for reason, c := range map[string]struct {
		spoil func(*Call, *trace.Result)
		want  string
	}{
		"a pod is missing":              {func(_ *Call, r *trace.Result) { r.Arrivals = r.Arrivals[1:] }, "goes to north, want home, then north"},
		"a pod too many":                {func(_ *Call, r *trace.Result) { r.Arrivals[0].Pod = "v9-0" }, "arrives at v9-0 in home, which takes no part"},
		"nobody":                        {func(_ *Call, r *trace.Result) { r.Arrivals, r.Error = nil, "no endpoints" }, "reaches nobody: no endpoints"},
		"the wrong order":               {func(_ *Call, r *trace.Result) { r.Arrivals[0].Priority, r.Arrivals[2].Priority = 1, 0 }, "goes to north, then home"},
		"one priority instead of two":   {func(_ *Call, r *trace.Result) { r.Arrivals[2].Priority = 0 }, "goes to home and north"},
		"the wrong share":               {func(_ *Call, r *trace.Result) { r.Arrivals[1].Share = 0.5 }, "sends 50% to north, want 30%"},
		"a share of nothing":            {func(_ *Call, r *trace.Result) { r.Arrivals[0].Share = 0 }, "never takes its way"},
		"no gateway":                    {func(_ *Call, r *trace.Result) { r.Arrivals[2].Via = nil }, "want one of [north]"},
		"two gateways":                  {func(_ *Call, r *trace.Result) { r.Arrivals[2].Via = []string{"south", "north"} }, "want one of [north]"},
		"a gateway instead of none":     {func(_ *Call, r *trace.Result) { r.Arrivals[0].Via = []string{"home"} }, "want one of []"},
		"another SNI":                   {func(_ *Call, r *trace.Result) { r.Arrivals[2].SNI = "v2" }, `asking for "v2", want "v1"`},
		"another port":                  {func(_ *Call, r *trace.Result) { r.Arrivals[0].Port = 8080 }, "reaches port 8080"},
		"another identity":              {func(_ *Call, r *trace.Result) { r.Arrivals[0].Identity = "" }, `seen as ""`},
		"mTLS fails":                    {func(_ *Call, r *trace.Result) { r.Arrivals[0].Rejected = "identity" }, "fails at v1-0 in home: identity"},
		"a policy in the way":           {func(_ *Call, r *trace.Result) { r.Arrivals[0].Denied = "p" }, `denied at v1-0 in home by "p"`},
		"no policy in the way":          {func(c *Call, _ *trace.Result) { c.Want.Verdict = refused }, "want it refused"},
		"nothing in the log":            {func(c *Call, _ *trace.Result) { c.Want.Verdict = logged }, "want it logged"},
		"another timeout":               {func(_ *Call, r *trace.Result) { r.Policy["timeout"] = "1s" }, `timeout is "1s"`},
		"an answer nobody wanted":       {func(_ *Call, r *trace.Result) { r.Answer = "response 503" }, "answered by the proxy"},
		"a way that ends nowhere":       {func(_ *Call, r *trace.Result) { r.DeadEnds = []trace.DeadEnd{{Reason: "gone"}} }, "ends nowhere: gone"},
		"out of the mesh":               {func(_ *Call, r *trace.Result) { r.Passthrough = true }, "leaves the mesh"},
		"a loop":                        {func(_ *Call, r *trace.Result) { r.Escapes = []string{"south"} }, "a loop"},
		"what the trace cannot decide":  {func(_ *Call, r *trace.Result) { r.Undecided = []string{"x"} }, "could not decide: x"},
		"no error where nobody lives":   {func(c *Call, _ *trace.Result) { c.Want.Destinations = nil }, "does not fail"},
		"a copy that nobody wanted":     {func(_ *Call, r *trace.Result) { r.Mirrors = r.Arrivals[:1] }, "the copy arrives at v1-0"},
		"a stranger who is let in":      {func(c *Call, _ *trace.Result) { c.Want.Nowhere, c.Want.Verdict = true, refused }, "lets the call in"},
		"what nobody published, open":   {func(c *Call, _ *trace.Result) { c.Want.Nowhere = true }, "arrives at v1-0 in home"},
		"an external that is a pod":     {func(c *Call, _ *trace.Result) { c.Want.External = true }, "instead of outside"},
		"an external that is shut":      {func(c *Call, r *trace.Result) { c.Want.External, r.Arrivals = true, nil }, "does not get out"},
		"a wish of the owner forgotten": {func(c *Call, _ *trace.Result) { c.Want.Policy["retries.retryOn"] = "reset" }, "retries.retryOn"},
	} {
		t.Run(reason, func(t *testing.T) {
			call, result := kept()
			c.spoil(&call, &result)
			if got := strings.Join(Judge(call, result, true), "\n"); !strings.Contains(got, c.want) {
				t.Errorf("told\n%s\nwant a line with %q", got, c.want)
			}
		})
	}
}
