package trace_test

import (
	"testing"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/trace"
)

func withPolicy(action, rules string) string {
	return published + `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: httpbin, namespace: app2}
spec:
  selector: {matchLabels: {app: httpbin, version: v2}}
  action: ` + action + "\n" + rules
}

func TestAuthorizationPolicyOfThePodIsEvaluated(t *testing.T) {
	http := trace.Call{Cluster: "one", Pod: "sleep", Host: "httpbin.global", Port: 8000, Protocol: "HTTP", Path: "/get?x=1"}
	tcp := trace.Call{Cluster: "one", Pod: "sleep", Host: "httpbin.global", Port: 9000, Protocol: "TCP", Address: "241.0.0.1"}
	const allowed, denied = "", " BUT ALLOW app2/httpbin"
	for _, c := range []struct {
		action, rules string
		call          trace.Call
		want          string
	}{
		{"ALLOW", "  rules: [{from: [{source: {principals: [one.example/ns/app1/sa/sleep]}}]}]", http, allowed},
		{"ALLOW", "  rules: [{from: [{source: {principals: [one.example/ns/app1/sa/sleep]}}]}]", tcp, allowed},
		{"ALLOW", "  rules: [{from: [{source: {principals: [one.example/ns/app1/sa/other]}}]}]", http, denied},
		{"ALLOW", "  rules: [{from: [{source: {principals: [one.example/ns/app1/sa/other]}}]}]", tcp, denied},
		{"ALLOW", "  rules: [{from: [{source: {principals: ['*/sa/sleep']}}]}]", http, allowed},
		{"ALLOW", "  rules: [{from: [{source: {notPrincipals: ['*/sa/sleep']}}]}]", http, denied},
		{"ALLOW", "  rules: [{from: [{source: {namespaces: [app1]}}]}]", http, allowed},
		{"ALLOW", "  rules: [{from: [{source: {namespaces: [app]}}]}]", http, denied},
		{"ALLOW", "  rules: [{from: [{source: {notNamespaces: [app1]}}]}]", http, denied},
		{"ALLOW", "  rules: [{from: [{source: {serviceAccounts: [app1/sleep]}}]}]", http, allowed},
		{"ALLOW", "  rules: [{to: [{operation: {ports: ['80']}}]}]", http, allowed},
		{"ALLOW", "  rules: [{to: [{operation: {ports: ['8000']}}]}]", http, denied},
		{"ALLOW", "  rules: [{to: [{operation: {ports: ['9090']}}]}]", tcp, allowed},
		{"ALLOW", "  rules: [{to: [{operation: {notPorts: ['80']}}]}]", http, denied},
		{"ALLOW", "  rules: [{to: [{operation: {methods: [GET], paths: [/get]}}]}]", http, allowed},
		{"ALLOW", "  rules: [{to: [{operation: {methods: [POST], paths: [/get]}}]}]", http, denied},
		{"ALLOW", "  rules: [{to: [{operation: {paths: ['/g*']}}]}]", http, allowed},
		{"ALLOW", "  rules: [{to: [{operation: {notPaths: ['*t']}}]}]", http, denied},
		{"ALLOW", "  rules: [{to: [{operation: {hosts: ['httpbin.global*']}}]}]", http, allowed},
		{"ALLOW", "  rules: [{to: [{operation: {methods: [GET]}}]}]", tcp, " BUT ALLOW without a rule"},
		{"ALLOW", "  rules: [{from: [{source: {namespaces: [app1]}}], to: [{operation: {ports: ['81']}}]}, {from: [{source: {namespaces: [x]}}]}]", http, denied},
		{"ALLOW", "  rules: [{when: [{key: connection.sni, values: ['outbound_.8000_*']}]}]", http, allowed},
		{"ALLOW", "  rules: [{}]", http, allowed},
		{"ALLOW", "", http, denied},
		{"DENY", "  rules: [{from: [{source: {namespaces: [app1]}}]}]", http, " BUT DENY app2/httpbin"},
		{"DENY", "  rules: [{from: [{source: {namespaces: [app1]}}]}]", tcp, " BUT DENY app2/httpbin"},
		{"DENY", "  rules: [{from: [{source: {namespaces: [other]}}]}]", http, allowed},
		{"ALLOW", "  rules: [{when: [{key: source.ip, values: [10.0.0.0/8]}]}]", http, "\nundecided at two/httpbin-v2: policy app2/httpbin: unsupported principal *rbacv3.Principal_DirectRemoteIp"},
		{"ALLOW", "  rules: [{to: [{operation: {paths: ['/a/{*}']}}]}]", http, "\nundecided at two/httpbin-v2: policy app2/httpbin: unsupported permission *rbacv3.Permission_UriTemplate"},
	} {
		t.Run(c.action+c.rules+c.call.Protocol, func(t *testing.T) {
			port := "80"
			if c.call.Protocol == "TCP" {
				port = "9090"
			}
			want := []string{"p0 50% two/httpbin-v1:" + port + " via two", "p0 50% two/httpbin-v2:" + port + " via two"}
			if c.want != "" && c.want[0] == '\n' {
				want = append(want, c.want[1:])
			} else {
				want[1] += c.want
			}
			expect(t, "v1 has no policy, v2 has this policy", start(t, isolated(t, consumed, withPolicy(c.action, c.rules))).Trace(c.call), want...)
		})
	}
}

func TestDryRunPolicyDoesNotDenyCalls(t *testing.T) {
	annotated := withPolicy("ALLOW", "  rules: [{from: [{source: {namespaces: [other]}}]}]")
	annotated = annotated[:len(published)] + "\n---\n" + `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: httpbin, namespace: app2, annotations: {istio.io/dry-run: "true"}}
spec:
  selector: {matchLabels: {app: httpbin, version: v2}}
  rules: [{from: [{source: {namespaces: [other]}}]}]
`
	m := start(t, isolated(t, consumed, annotated))
	expect(t, "HTTP", m.Trace(get("httpbin.global", 8000)),
		"p0 50% two/httpbin-v1:80 via two", "p0 50% two/httpbin-v2:80 via two DRYRUN ALLOW app2/httpbin")
	call := trace.Call{Cluster: "one", Pod: "sleep", Host: "httpbin.global", Port: 9000, Protocol: "TCP", Address: "241.0.0.1"}
	expect(t, "TCP", m.Trace(call), "p0 50% two/httpbin-v1:9090 via two", "p0 50% two/httpbin-v2:9090 via two DRYRUN ALLOW app2/httpbin")
}

func TestPeerAuthenticationModesAreFollowed(t *testing.T) {
	mode := func(mode string) string {
		return published + "\n---\n" + `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: app2}
spec: {mtls: {mode: ` + mode + `}}
`
	}
	m := start(t, isolated(t, consumed, mode("STRICT")))
	expect(t, "STRICT accepts the certificate of a sidecar", m.Trace(get("httpbin.global", 8000)), bothVersions...)

	sc := isolated(t, consumed, mode("STRICT"))
	sc.Pods = append(sc.Pods, sleep("two", "10.2.0.9"))
	sc.Bundles["two"]["DestinationRule/app1/plain"] = bundle(t, `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: plain, namespace: app1}
spec: {host: httpbin.app2.svc.cluster.local, trafficPolicy: {tls: {mode: DISABLE}}}
`)["DestinationRule/app1/plain"]
	plain := trace.Call{Cluster: "two", Pod: "sleep", Host: "httpbin.app2", Port: 8000, Protocol: "HTTP"}
	expect(t, "STRICT rejects plain text", start(t, sc).Trace(plain),
		"p0 50% two/httpbin-v1:80 BUT no filter chain of two/httpbin-v1 matches the connection to port 80",
		"p0 50% two/httpbin-v2:80 BUT no filter chain of two/httpbin-v2 matches the connection to port 80",
		"error no filter chain of two/httpbin-v1 matches the connection to port 80; no filter chain of two/httpbin-v2 matches the connection to port 80")

	expect(t, "the gateway has no endpoints without mTLS", start(t, isolated(t, consumed, mode("DISABLE"))).Trace(get("httpbin.global", 8000)),
		"dead p0 100% two: no endpoints for outbound_.8000_._.httpbin.global.isthmus.internal at gateway of two",
		"error no endpoints for outbound_.8000_._.httpbin.global.isthmus.internal at gateway of two")
}
