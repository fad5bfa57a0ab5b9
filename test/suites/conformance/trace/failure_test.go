package trace_test

import (
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/scenario"
)

const throughV1 = "p0 50% two/httpbin-v1:80 via two"

// Each case has one fault. A trace that missed it could not prove that a scenario without faults
// works.
func TestTraceFindsFaults(t *testing.T) {
	for name, c := range map[string]struct {
		reason            string
		caller, publisher string
		change            func(*scenario.Scenario)
		want              []string
	}{
		"wrong SNI": {
			reason: "the publisher exports the service under another name",
			caller: strings.ReplaceAll(consumed, "_.httpbin.global.isthmus.internal", "_.other.global.isthmus.internal"), publisher: published,
			want: []string{
				`dead p0 100% two: unknown SNI "outbound_.8000_._.other.global.isthmus.internal" at gateway of two`,
				`error unknown SNI "outbound_.8000_._.other.global.isthmus.internal" at gateway of two`,
			},
		},
		"missing SAN": {
			reason: "the caller does not accept the identity of the pods",
			caller: strings.ReplaceAll(consumed, "sa/httpbin]", "sa/other]"), publisher: published,
			want: []string{
				throughV1 + " BUT identity spiffe://two.example/ns/app2/sa/httpbin not accepted by the caller",
				"p0 50% two/httpbin-v2:80 via two BUT identity spiffe://two.example/ns/app2/sa/httpbin not accepted by the caller",
				"error identity spiffe://two.example/ns/app2/sa/httpbin not accepted by the caller",
			},
		},
		"missing trust domain alias": {
			reason: "the publisher does not accept the caller's trust domain",
			caller: consumed, publisher: published,
			change: func(sc *scenario.Scenario) { sc.Clusters[1].TrustDomainAliases = nil },
			want: []string{
				throughV1 + " BUT identity spiffe://one.example/ns/app1/sa/sleep not accepted by two/httpbin-v1",
				"p0 50% two/httpbin-v2:80 via two BUT identity spiffe://one.example/ns/app1/sa/sleep not accepted by two/httpbin-v2",
				"error identity spiffe://one.example/ns/app1/sa/sleep not accepted by two/httpbin-v1; " +
					"identity spiffe://one.example/ns/app1/sa/sleep not accepted by two/httpbin-v2",
			},
		},
		"pod without sidecar": {
			reason: "a gateway forwards TLS, so its endpoints do not include pods without TLS",
			caller: consumed, publisher: published,
			change: func(sc *scenario.Scenario) { sc.Pods[1].NoSidecar = true },
			want:   []string{"p0 100% two/httpbin-v2:80 via two"},
		},
		"no pods": {
			reason: "the gateway has the service, but no endpoints",
			caller: consumed, publisher: published,
			change: func(sc *scenario.Scenario) { sc.Pods = sc.Pods[:1] },
			want: []string{
				"dead p0 100% two: no endpoints for outbound_.8000_._.httpbin.global.isthmus.internal at gateway of two",
				"error no endpoints for outbound_.8000_._.httpbin.global.isthmus.internal at gateway of two",
			},
		},
		"pods not ready": {
			reason: "pods that are not ready are no endpoints",
			caller: consumed, publisher: published,
			change: func(sc *scenario.Scenario) { sc.Pods[2].Ready = false },
			want:   []string{"p0 100% two/httpbin-v1:80 via two"},
		},
		"gateway unreachable": {
			reason: "the only gateway is down",
			caller: consumed, publisher: published,
			change: func(sc *scenario.Scenario) { sc.Clusters[1].GatewayUnreachable = true },
			want:   []string{"dead p0 100%: gateway of two unreachable", "error gateway of two unreachable"},
		},
		"gateway on another port": {
			reason: "the caller uses a port without a listener",
			caller: consumed, publisher: published,
			change: func(sc *scenario.Scenario) { sc.Clusters[1].Gateways[0].Port = 443 },
			want: []string{
				"dead p0 100%: no gateway at 192.0.2.2 listens on port 15443", "error no gateway at 192.0.2.2 listens on port 15443",
			},
		},
		"no Gateway": {
			reason: "the gateway's pods have no listener",
			caller: consumed, publisher: strings.TrimPrefix(published, exportGateway),
			want: []string{
				"dead p0 100% two: gateway of two does not listen on port 15443", "error gateway of two does not listen on port 15443",
			},
		},
		"overlapping gateways": {
			reason: "two servers have the same host, so Envoy rejects the whole listener",
			caller: consumed, publisher: published + overlapping,
			want: []string{
				"dead p0 100% two: gateway of two: " + rejectedListener, "error gateway of two: " + rejectedListener,
			},
		},
		"wrong target port": {
			reason: "the container listens on another port than the ServiceEntry states",
			caller: consumed, publisher: strings.Replace(published, "targetPort: 80}", "targetPort: 81}", 1),
			want: []string{
				"dead p0 50% two: two/httpbin-v1 does not listen on port 81", "dead p0 50% two: two/httpbin-v2 does not listen on port 81",
				"error two/httpbin-v1 does not listen on port 81; two/httpbin-v2 does not listen on port 81",
			},
		},
		"no TLS to the gateway": {
			reason: "without a server name the gateway cannot route",
			caller: strings.ReplaceAll(consumed, "mode: ISTIO_MUTUAL", "mode: DISABLE"), publisher: published,
			want: []string{`dead p0 100% two: unknown SNI "" at gateway of two`, `error unknown SNI "" at gateway of two`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			sc := isolated(t, c.caller, c.publisher)
			if c.change != nil {
				c.change(sc)
			}
			expect(t, c.reason, start(t, sc).Trace(get("httpbin.global", 8000)), c.want...)
		})
	}
}

const rejectedListener = "Envoy rejects listener 0.0.0.0_15443: two of its filter chains match the server name " +
	`"outbound_.8000_._.httpbin.global.isthmus.internal", the protocol "istio" and the addresses ""`

const overlapping = `
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: other-gateway, namespace: istio-system}
spec:
  selector: {istio: eastwestgateway}
  servers:
  - port: {number: 15443, name: tls, protocol: TLS}
    tls: {mode: AUTO_PASSTHROUGH}
    hosts: ["*.internal"]
`

// A gateway that serves a host with remote endpoints forwards to other gateways.
func TestExportUnderThePlainHostCausesLoops(t *testing.T) {
	both := func(other string) string {
		remote := strings.NewReplacer("_.httpbin.global.isthmus.internal", "_.httpbin.global", "192.0.2.2", other).Replace(consumed)
		return strings.ReplaceAll(exportGateway, "*.isthmus.internal", "*.global") + "\n---\n" + remote
	}
	sc := isolated(t, both("192.0.2.2"), both("192.0.2.1"))
	sc.Pods = sc.Pods[:1]
	expect(t, "no pod anywhere: each gateway forwards to the other", start(t, sc).Trace(get("httpbin.global", 8000)),
		"dead p0 100% two,one: loop: two again", "error loop: two again")

	local := strings.NewReplacer("httpbin-export", "httpbin-local", ".isthmus.internal", "", "  exportTo: [istio-system]\n", "").Replace(
		strings.TrimPrefix(published, exportGateway))
	locals, _, _ := strings.Cut(local, "\n---\napiVersion: networking.istio.io/v1\nkind: DestinationRule")
	locals = strings.Replace(locals, "  location:", "  addresses: [241.0.0.1]\n  subjectAltNames: [spiffe://two.example/ns/app2/sa/httpbin]\n  location:", 1)
	sc = isolated(t, both("192.0.2.2"), strings.ReplaceAll(both("192.0.2.1"), "eu/eu-b", "us/us-a")+locals)
	expect(t, "with pods: the loop starts when they fail", start(t, sc).Trace(get("httpbin.global", 8000)),
		throughV1, "p0 50% two/httpbin-v2:80 via two",
		"loop risk gateway of two, cluster outbound_.8000_._.httpbin.global, priority 1: gateway of one")
}

func TestUnknownHostLeavesTheMesh(t *testing.T) {
	m := start(t, isolated(t, consumed, published))
	expect(t, "no virtual host", m.Trace(get("nowhere.example", 80)), "passthrough")
	call := get("httpbin.global", 9000)
	call.Protocol, call.Address = "TCP", "198.51.100.7"
	expect(t, "a TCP call to another address than the service's", m.Trace(call), "passthrough")
}

func TestRejectedListenersAreListed(t *testing.T) {
	got := start(t, isolated(t, consumed, published+overlapping)).RejectedListeners()
	if len(got) != 1 || !strings.HasPrefix(got[0], "two/crosscluster-gateway-0: Envoy rejects listener") {
		t.Errorf("rejected listeners: %q", got)
	}
	if got := start(t, isolated(t, consumed, published)).RejectedListeners(); len(got) != 0 {
		t.Errorf("rejected listeners of a valid scenario: %q", got)
	}
}

func TestGatewayForwardsToPublishedServicesOnly(t *testing.T) {
	m := start(t, isolated(t, consumed, published))
	const sni = "outbound_.8000_.v2_.httpbin.global.isthmus.internal"
	expect(t, "a published name", m.TraceGateway("two", sni, "spiffe://one.example/ns/x/sa/y"), "p0 100% two/httpbin-v2:80 via two")
	expect(t, "a client without a certificate is rejected", m.TraceGateway("two", sni, ""),
		"p0 100% two/httpbin-v2:80 via two BUT two/httpbin-v2 requires mTLS", "error two/httpbin-v2 requires mTLS")
	expect(t, "a client of an unknown trust domain is rejected", m.TraceGateway("two", sni, "spiffe://three.example/ns/x/sa/y"),
		"p0 100% two/httpbin-v2:80 via two BUT identity spiffe://three.example/ns/x/sa/y not accepted by two/httpbin-v2",
		"error identity spiffe://three.example/ns/x/sa/y not accepted by two/httpbin-v2")
	const unpublished = "outbound_.8000_._.httpbin.app2.svc.cluster.local"
	expect(t, "a name that is not published is rejected", m.TraceGateway("two", unpublished, "spiffe://one.example/ns/x/sa/y"),
		`dead p0 100% two: unknown SNI "`+unpublished+`" at gateway of two`, `error unknown SNI "`+unpublished+`" at gateway of two`)
}
