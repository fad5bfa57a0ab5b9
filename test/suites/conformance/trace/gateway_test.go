package trace_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/trace"
)

func TestCallThroughTheGatewayKeepsTheCallersIdentity(t *testing.T) {
	m := start(t, isolated(t, consumed, published))
	for _, c := range []struct {
		reason string
		call   trace.Call
		port   int
		sni    string
	}{
		{"HTTP is routed by authority", get("httpbin.global", 8000), 80, "outbound_.8000_._.httpbin.global.isthmus.internal"},
		{"TCP is routed by address", trace.Call{
			Cluster: "one", Pod: "sleep", Host: "httpbin.global", Port: 9000, Protocol: "TCP", Address: "241.0.0.1",
		}, 9090, "outbound_.9000_._.httpbin.global.isthmus.internal"},
	} {
		to := func(pod string) trace.Arrival {
			return trace.Arrival{
				Share: 0.5, Cluster: "two", Pod: pod, Port: c.port, Via: []string{"two"}, SNI: c.sni,
				Identity: "spiffe://one.example/ns/app1/sa/sleep",
			}
		}
		got := m.Trace(c.call)
		want := trace.Result{Arrivals: []trace.Arrival{to("httpbin-v1"), to("httpbin-v2")}}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(trace.Result{}, "Policy")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.reason, diff)
		}
	}
}
