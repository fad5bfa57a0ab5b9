package trace_test

import (
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/trace"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/world"
)

// localHalf is httpbin in the caller's cluster, beside the remote half.
const localHalf = `
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: httpbin-local, namespace: app2}
spec:
  hosts: [httpbin.global]
  addresses: [241.0.0.1]
  exportTo: ["*"]
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
  - {number: 8000, name: http-isthmus-8000, protocol: HTTP, targetPort: 80}
  - {number: 9000, name: tcp-isthmus-9000, protocol: TCP, targetPort: 9090}
  subjectAltNames: [spiffe://two.example/ns/app2/sa/httpbin]
  workloadSelector: {labels: {app: httpbin}}
`

func withLocalPod(w *world.World) *world.World {
	w.Pods = append(w.Pods, httpbin("one", "10.1.0.2", "v1"))
	return w
}

func TestNearestGoesFirst(t *testing.T) {
	const local, v1, v2 = "p0 100% one/httpbin-v1:80", "p1 50% two/httpbin-v1:80 via two", "p1 50% two/httpbin-v2:80 via two"
	w := withLocalPod(isolated(t, consumed+localHalf, published))
	expect(t, "with outlier detection pods go before gateways of another zone", start(t, w).Trace(get("httpbin.global", 8000)), local, v1, v2)

	blind := strings.ReplaceAll(consumed, "outlierDetection:", "connectionPool: {tcp: {maxConnections: 9}}\n    unused:")
	blind = deleteLines(blind, "unused:")
	w = withLocalPod(isolated(t, blind+localHalf, published))
	expect(t, "without, all are alike", start(t, w).Trace(get("httpbin.global", 8000)),
		"p0 50% one/httpbin-v1:80", "p0 25% two/httpbin-v1:80 via two", "p0 25% two/httpbin-v2:80 via two")

	w = withLocalPod(isolated(t, consumed+localHalf, published))
	w.Pods[3].Ready = false
	expect(t, "gateways are all that is left", start(t, w).Trace(get("httpbin.global", 8000)),
		"p0 50% two/httpbin-v1:80 via two", "p0 50% two/httpbin-v2:80 via two")
}

func deleteLines(text, containing string) string {
	var kept []string
	for _, line := range strings.Split(text, "\n") {
		if !strings.Contains(line, containing) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

func TestAgeOfResourcesDoesNotMatterWhereHalvesAgree(t *testing.T) {
	w := withLocalPod(isolated(t, consumed+localHalf, published))
	m, err := trace.Start(t, w, trace.YoungestFirst())
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "the same as in the other order", m.Trace(get("httpbin.global", 8000)),
		"p0 100% one/httpbin-v1:80", "p1 50% two/httpbin-v1:80 via two", "p1 50% two/httpbin-v2:80 via two")
}

func TestAgeOfResourcesMattersWhereHalvesDiffer(t *testing.T) {
	w := withLocalPod(isolated(t, consumed+strings.ReplaceAll(localHalf, "sa/httpbin]", "sa/other]"), published))
	older := ways(start(t, w).Trace(get("httpbin.global", 8000)))
	m, err := trace.Start(t, w, trace.YoungestFirst())
	if err != nil {
		t.Fatal(err)
	}
	if younger := ways(m.Trace(get("httpbin.global", 8000))); strings.Join(older, "") == strings.Join(younger, "") {
		t.Errorf("halves with different names of servers are traced alike in both orders: %q", older)
	}
}

// weighted adds a second gateway to the remote endpoints, in another region, and weights to both.
func weighted(one, two string) string {
	return strings.Replace(consumed, `    locality: eu/eu-b
`, `    locality: eu/eu-b
    weight: `+one+`
  - address: 192.0.2.3
    ports: {http-isthmus-8000: 15443, tcp-isthmus-9000: 15443}
    locality: us/us-a
    weight: `+two+`
`, 1)
}

// threeClusters adds a third cluster with one httpbin.
func threeClusters(w *world.World) *world.World {
	third := w.Clusters[1]
	third.Name, third.ControlPlane, third.Gateways = "three", "three", []world.Gateway{gatewayOf(3)}
	w.Clusters = append(w.Clusters, third)
	w.Bundles["three"] = w.Bundles["two"]
	w.Pods = append(w.Pods, httpbin("three", "10.3.0.1", "v1"))
	return w
}

func TestWeightsOfEndpointsAreShares(t *testing.T) {
	spread := strings.Replace(weighted("70", "30"), "  trafficPolicy:\n",
		"  trafficPolicy:\n    loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {enabled: false}}\n", 1)
	w := threeClusters(isolated(t, spread, published))
	expect(t, "70 to 30, over what is behind each gateway", start(t, w).Trace(get("httpbin.global", 8000)),
		"p0 30% three/httpbin-v1:80 via three", "p0 35% two/httpbin-v1:80 via two", "p0 35% two/httpbin-v2:80 via two")

	w.Clusters[1].GatewayUnreachable = true
	expect(t, "what outlier detection ejects goes to the others", start(t, w).Trace(get("httpbin.global", 8000)),
		"p0 100% three/httpbin-v1:80 via three", "dead p0 0%: gateway of two unreachable")

	w = threeClusters(isolated(t, deleteLines(spread, "outlierDetection:"), published))
	w.Clusters[1].GatewayUnreachable = true
	expect(t, "without outlier detection it fails", start(t, w).Trace(get("httpbin.global", 8000)),
		"p0 30% three/httpbin-v1:80 via three", "dead p0 70%: gateway of two unreachable")
}

func TestStandbyGoesLast(t *testing.T) {
	w := threeClusters(isolated(t, weighted("1", "1"), published))
	expect(t, "the far region is second", start(t, w).Trace(get("httpbin.global", 8000)),
		"p0 50% two/httpbin-v1:80 via two", "p0 50% two/httpbin-v2:80 via two", "p1 100% three/httpbin-v1:80 via three")
}

func TestGatewaysByName(t *testing.T) {
	dns := func(text string) string {
		return strings.NewReplacer("resolution: STATIC", "resolution: DNS", "address: 192.0.2.2", "address: gw.two.example").Replace(text)
	}
	w := withLocalPod(isolated(t, dns(consumed+localHalf), published))
	w.Clusters[1].Gateways[0].Address = "gw.two.example"
	expect(t, "pods and gateways in one STRICT_DNS cluster, with their priorities", start(t, w).Trace(get("httpbin.global", 8000)),
		"p0 100% one/httpbin-v1:80", "p1 50% two/httpbin-v1:80 via two", "p1 50% two/httpbin-v2:80 via two")

	w.Clusters[1].Gateways[0].Address = "gw.elsewhere.example"
	expect(t, "a name of nobody in the world is an external", start(t, w).Trace(get("httpbin.global", 8000)),
		"p0 100% one/httpbin-v1:80", "p1 100% /:0gw.two.example:15443")
}

func TestServiceOfKubernetesBehindTheGateway(t *testing.T) {
	byName := strings.NewReplacer(
		"resolution: STATIC", "resolution: DNS", ", targetPort: 80}", "}", ", targetPort: 9090}", "}",
		"  workloadSelector: {labels: {app: httpbin}}", `  endpoints:
  - address: httpbin.app2.svc.cluster.local
    labels: {security.istio.io/tlsMode: istio}`,
	).Replace(published)
	w := isolated(t, consumed, byName)
	expect(t, "kube-proxy spreads over the ready pods", start(t, w).Trace(get("httpbin.global", 8000)),
		"p0 50% two/httpbin-v1:80 via two", "p0 50% two/httpbin-v2:80 via two")
	w.Pods[1].Ready = false
	expect(t, "and not over others", start(t, w).Trace(get("httpbin.global", 8000)), "p0 100% two/httpbin-v2:80 via two")
}

func TestLoadBalancerOfTheServiceItself(t *testing.T) {
	direct := strings.NewReplacer(
		"address: 192.0.2.2", "address: 192.0.2.80", "ports: {http-isthmus-8000: 15443, tcp-isthmus-9000: 15443}", "ports: {}",
	).Replace(consumed)
	w := isolated(t, direct, published)
	w.LoadBalancers = []world.LoadBalancer{{Cluster: "two", Address: "192.0.2.80", Namespace: "app2", Service: "httpbin"}}
	expect(t, "no gateway in between", start(t, w).Trace(get("httpbin.global", 8000)), "p0 50% two/httpbin-v1:80", "p0 50% two/httpbin-v2:80")
}
