package trace_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/trace"
)

// routed adds a subset v2 and a VirtualService with these routes to consumed.
func routed(routes string) string {
	return strings.Replace(consumed, "  trafficPolicy:\n", `  subsets:
  - name: v2
    trafficPolicy: {tls: {mode: ISTIO_MUTUAL, sni: outbound_.8000_.v2_.httpbin.global.isthmus.internal}}
  trafficPolicy:
`, 1) + `
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin, namespace: app2}
spec:
  hosts: [httpbin.global]
` + routes
}

const (
	toV2  = "    route: [{destination: {host: httpbin.global, subset: v2, port: {number: 8000}}}]\n"
	toAll = "    route: [{destination: {host: httpbin.global, port: {number: 8000}}}]\n"
	v2    = "p0 100% two/httpbin-v2:80 via two"
)

var bothVersions = []string{"p0 50% two/httpbin-v1:80 via two", "p0 50% two/httpbin-v2:80 via two"}

func TestRouteMatchesAreEvaluated(t *testing.T) {
	with := func(change func(*trace.Call)) trace.Call {
		c := get("httpbin.global", 8000)
		change(&c)
		return c
	}
	header := func(value string) trace.Call {
		return with(func(c *trace.Call) { c.Headers = map[string]string{"End-User": value} })
	}
	path := func(path string) trace.Call { return with(func(c *trace.Call) { c.Path = path }) }
	method := func(method string) trace.Call { return with(func(c *trace.Call) { c.Method = method }) }
	for _, c := range []struct {
		match    string
		yes, not trace.Call
	}{
		{"{headers: {end-user: {exact: jason}}}", header("jason"), header("json")},
		{"{headers: {end-user: {exact: jason}}}", header("jason"), path("/")},
		{"{headers: {end-user: {prefix: ja}}}", header("jason"), header("aja")},
		{"{headers: {end-user: {regex: 'j.*n'}}}", header("jason"), header("jason2")},
		{"{headers: {end-user: {}}}", header("any"), path("/")},
		{"{withoutHeaders: {end-user: {exact: jason}}}", header("other"), header("jason")},
		{"{withoutHeaders: {end-user: {exact: jason}}}", path("/"), header("jason")},
		{"{withoutHeaders: {end-user: {}}}", path("/"), header("jason")},
		{"{uri: {prefix: /a}}", path("/abc?x=1"), path("/b")},
		{"{uri: {exact: /a}}", path("/a?x=1"), path("/abc")},
		{"{uri: {regex: '/a[0-9]+'}}", path("/a12?x=1"), path("/a12/b")},
		{"{uri: {exact: /a}, ignoreUriCase: true}", path("/A"), path("/B")},
		{"{method: {exact: POST}}", method("POST"), method("GET")},
		{"{queryParams: {a: {exact: '1'}}}", path("/?b=2&a=1"), path("/?a=2")},
		{"{queryParams: {a: {prefix: '1'}}}", path("/?a=12"), path("/a=1")},
		{"{authority: {prefix: httpbin}}", path("/"), with(func(c *trace.Call) { c.Headers = map[string]string{"Host": "HTTPBIN.global"} })},
		{"{uri: {prefix: /a}, headers: {end-user: {exact: jason}}}", with(func(c *trace.Call) {
			c.Path, c.Headers = "/a", map[string]string{"end-user": "jason"}
		}), path("/a")},
	} {
		t.Run(c.match, func(t *testing.T) {
			m := start(t, isolated(t, routed("  http:\n  - match: ["+c.match+"]\n"+toV2+"  - name: rest\n"+toAll), published))
			expect(t, "a matching call", m.Trace(c.yes), v2)
			expect(t, "another call", m.Trace(c.not), bothVersions...)
		})
	}
}

func TestFirstMatchingRouteIsUsed(t *testing.T) {
	routes := "  http:\n  - match: [{uri: {prefix: /a}}]\n" + toV2 + "  - match: [{uri: {prefix: /}}]\n" + toAll + "  - match: [{uri: {prefix: /b}}]\n" + toV2
	m := start(t, isolated(t, routed(routes), published))
	call := get("httpbin.global", 8000)
	call.Path = "/b"
	expect(t, "the second route, although the prefix of the third is longer", m.Trace(call), bothVersions...)
}

func TestRouteActionsAreFollowed(t *testing.T) {
	split := "    route:\n    - {destination: {host: httpbin.global, subset: v2, port: {number: 8000}}, weight: 20}\n" +
		"    - {destination: {host: httpbin.global, port: {number: 8000}}, weight: 80}\n"
	for name, c := range map[string]struct {
		route string
		want  []string
	}{
		"weights":         {split, []string{"p0 40% two/httpbin-v1:80 via two", "p0 40% two/httpbin-v2:80 via two", "p0 20% two/httpbin-v2:80 via two"}},
		"redirect":        {"    redirect: {uri: /new, authority: new.example, redirectCode: 302}\n", []string{"100% redirect 302 http://new.example/new"}},
		"direct response": {"    directResponse: {status: 418}\n", []string{"100% response 418"}},
		"abort":           {toV2 + "    fault: {abort: {httpStatus: 503, percentage: {value: 100}}}\n", []string{"100% fault abort 503"}},
		"abort of a share": {
			toV2 + "    fault: {abort: {httpStatus: 503, percentage: {value: 25}}}\n", []string{"p0 75% two/httpbin-v2:80 via two", "25% fault abort 503"},
		},
		"mirror": {
			toV2 + "    mirror: {host: httpbin.global, port: {number: 8000}}\n    mirrorPercentage: {value: 10}\n",
			[]string{v2, "mirror p0 5% two/httpbin-v1:80 via two", "mirror p0 5% two/httpbin-v2:80 via two"},
		},
		"undefined subset": {
			"    route: [{destination: {host: httpbin.global, subset: v9, port: {number: 8000}}}]\n",
			[]string{"dead p0 100%: no cluster outbound|8000|v9|httpbin.global", "error no cluster outbound|8000|v9|httpbin.global"},
		},
		"unknown host": {
			"    route: [{destination: {host: unknown.global, port: {number: 8000}}}]\n",
			[]string{"dead p0 100%: no cluster outbound|8000||unknown.global", "error no cluster outbound|8000||unknown.global"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, name, start(t, isolated(t, routed("  http:\n  - name: only\n"+c.route), published)).Trace(get("httpbin.global", 8000)), c.want...)
		})
	}
}

func TestRoutePolicyUsesTheNamesOfIstiosFields(t *testing.T) {
	m := start(t, isolated(t, routed(`  http:
  - timeout: 5s
    retries: {attempts: 3, perTryTimeout: 2s, retryOn: "5xx"}
    rewrite: {uri: /new, authority: new.example}
    fault: {delay: {fixedDelay: 1s, percentage: {value: 10}}}
    headers: {request: {set: {x-a: "1"}, add: {x-b: "2"}, remove: [x-c]}, response: {set: {x-d: "4"}}}
`+toV2), published))
	want := map[string]string{
		"timeout": "5s", "retries.attempts": "3", "retries.perTryTimeout": "2s", "retries.retryOn": "5xx", "rewrite.uri": "/new",
		"rewrite.authority": "new.example", "fault.delay": "1s 10%", "headers.request.set.x-a": "1", "headers.request.add.x-b": "2",
		"headers.request.remove.x-c": "", "headers.response.set.x-d": "4",
	}
	if diff := cmp.Diff(want, m.Trace(get("httpbin.global", 8000)).Policy); diff != "" {
		t.Errorf("policy of the route (-want +got):\n%s", diff)
	}
}

func TestTCPAndTLSRoutesAreFollowed(t *testing.T) {
	call := trace.Call{Cluster: "one", Pod: "sleep", Host: "httpbin.global", Port: 9000, Protocol: "TCP", Address: "241.0.0.1"}
	subset := strings.Replace(routed(`  tcp:
  - match: [{port: 9000}]
    route:
    - {destination: {host: httpbin.global, subset: v2, port: {number: 9000}}, weight: 25}
    - {destination: {host: httpbin.global, port: {number: 9000}}, weight: 75}
`), "outbound_.8000_.v2_", "outbound_.9000_.v2_", 1)
	expect(t, "TCP by weight", start(t, isolated(t, subset, published)).Trace(call),
		"p0 37.5% two/httpbin-v1:9090 via two", "p0 37.5% two/httpbin-v2:9090 via two", "p0 25% two/httpbin-v2:9090 via two")

	asTLS := strings.NewReplacer("name: tcp-isthmus-9000, protocol: TCP", "name: tls-isthmus-9000, protocol: TLS", "tcp-isthmus-9000", "tls-isthmus-9000")
	caller := asTLS.Replace(deleteLines(routed(`  tls:
  - match: [{port: 9000, sniHosts: [httpbin.global]}]
    route: [{destination: {host: httpbin.global, subset: v2, port: {number: 9000}}}]
`), "addresses: [241.0.0.1]"))
	m := start(t, isolated(t, strings.Replace(caller, "outbound_.8000_.v2_", "outbound_.9000_.v2_", 1), asTLS.Replace(published)))
	call.Protocol, call.Address = "TLS", ""
	expect(t, "TLS by server name, inside the TLS of the sidecars", m.Trace(call), "p0 100% two/httpbin-v2:9090 via two")
	call.SNI = "other.example"
	expect(t, "another server name", m.Trace(call), "passthrough")
}

func TestPublicGatewayForwardsExposedHosts(t *testing.T) {
	exposed := func(server, route string) string {
		return consumed + fmt.Sprintf(`
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public, namespace: istio-ingress}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: public, protocol: %s
    hosts: [httpbin.example]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: public, namespace: istio-ingress}
spec:
  hosts: [httpbin.example]
  gateways: [public]
%s`, server, route)
	}
	call := trace.Call{Cluster: "one", Pod: "public", Host: "httpbin.example", Port: 443, Protocol: "HTTP"}
	ended := exposed("HTTPS}\n    tls: {mode: SIMPLE, credentialName: httpbin-example}",
		"  http:\n  - route: [{destination: {host: httpbin.global, port: {number: 8000}}}]\n")
	m := start(t, withPublic(isolated(t, ended, published)))
	got := m.Trace(call)
	expect(t, "TLS that the gateway terminates", got, bothVersions...)
	if id := got.Arrivals[0].Identity; id != "spiffe://one.example/ns/istio-ingress/sa/ingress" {
		t.Errorf("the pod sees the identity %q instead of that of the gateway", id)
	}
	call.Host = "other.example"
	expect(t, "a name that is not exposed", m.Trace(call), "error no filter chain of listener 0.0.0.0_8443 at one/public-gateway matches the call")

	passed := exposed("TLS}\n    tls: {mode: PASSTHROUGH}",
		"  tls:\n  - match: [{sniHosts: [httpbin.example]}]\n    route: [{destination: {host: httpbin.global, port: {number: 9000}}}]\n")
	call = trace.Call{Cluster: "one", Pod: "public", Host: "httpbin.example", Port: 443, Protocol: "TLS"}
	expect(t, "TLS that the gateway forwards", start(t, withPublic(isolated(t, passed, published))).Trace(call),
		"p0 50% two/httpbin-v1:9090 via two", "p0 50% two/httpbin-v2:9090 via two")
}
