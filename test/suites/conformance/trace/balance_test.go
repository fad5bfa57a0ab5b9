package trace_test

import (
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/scenario"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/trace"
)

// localHalf is the ServiceEntry of local httpbin pods; consumed holds the remote endpoints.
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

func withLocalPod(sc *scenario.Scenario) *scenario.Scenario {
	sc.Pods = append(sc.Pods, httpbin("one", "10.1.0.2", "v1"))
	return sc
}

func TestNearerEndpointsHavePriorityWithOutlierDetection(t *testing.T) {
	const local, v1, v2 = "p0 100% one/httpbin-v1:80", "p1 50% two/httpbin-v1:80 via two", "p1 50% two/httpbin-v2:80 via two"
	sc := withLocalPod(isolated(t, consumed+localHalf, published))
	expect(t, "with outlier detection local pods come before gateways of another zone", start(t, sc).Trace(get("httpbin.global", 8000)), local, v1, v2)

	blind := strings.ReplaceAll(consumed, "outlierDetection:", "connectionPool: {tcp: {maxConnections: 9}}\n    unused:")
	blind = deleteLines(blind, "unused:")
	sc = withLocalPod(isolated(t, blind+localHalf, published))
	expect(t, "without outlier detection all endpoints have one priority", start(t, sc).Trace(get("httpbin.global", 8000)),
		"p0 50% one/httpbin-v1:80", "p0 25% two/httpbin-v1:80 via two", "p0 25% two/httpbin-v2:80 via two")

	sc = withLocalPod(isolated(t, consumed+localHalf, published))
	sc.Pods[3].Ready = false
	expect(t, "only gateways are left", start(t, sc).Trace(get("httpbin.global", 8000)),
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

func TestConsistentServiceEntriesGiveTheSameResultInAnyOrderOfAge(t *testing.T) {
	sc := withLocalPod(isolated(t, consumed+localHalf, published))
	m, err := trace.Start(t, sc, trace.YoungestFirst())
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "the result for reversed ages", m.Trace(get("httpbin.global", 8000)),
		"p0 100% one/httpbin-v1:80", "p1 50% two/httpbin-v1:80 via two", "p1 50% two/httpbin-v2:80 via two")
}

func TestConflictingServiceEntriesDependOnAge(t *testing.T) {
	sc := withLocalPod(isolated(t, consumed+strings.ReplaceAll(localHalf, "sa/httpbin]", "sa/other]"), published))
	older := format(start(t, sc).Trace(get("httpbin.global", 8000)))
	m, err := trace.Start(t, sc, trace.YoungestFirst())
	if err != nil {
		t.Fatal(err)
	}
	if younger := format(m.Trace(get("httpbin.global", 8000))); strings.Join(older, "") == strings.Join(younger, "") {
		t.Errorf("ServiceEntries with different subjectAltNames give the same result for reversed ages: %q", older)
	}
}

// weighted adds a second gateway, in another region, to the remote endpoints, and weights to both.
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

// threeClusters adds a third cluster with one httpbin pod.
func threeClusters(sc *scenario.Scenario) *scenario.Scenario {
	third := sc.Clusters[1]
	third.Name, third.ControlPlane, third.Gateways = "three", "three", []scenario.Gateway{gatewayOf(3)}
	sc.Clusters = append(sc.Clusters, third)
	sc.Bundles["three"] = sc.Bundles["two"]
	sc.Pods = append(sc.Pods, httpbin("three", "10.3.0.1", "v1"))
	return sc
}

func TestWeightsOfEndpointsAreShares(t *testing.T) {
	spread := strings.Replace(weighted("70", "30"), "  trafficPolicy:\n",
		"  trafficPolicy:\n    loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {enabled: false}}\n", 1)
	sc := threeClusters(isolated(t, spread, published))
	expect(t, "70 to 30, distributed over the pods of each gateway", start(t, sc).Trace(get("httpbin.global", 8000)),
		"p0 30% three/httpbin-v1:80 via three", "p0 35% two/httpbin-v1:80 via two", "p0 35% two/httpbin-v2:80 via two")

	sc.Clusters[1].GatewayUnreachable = true
	expect(t, "with outlier detection the other gateway gets the calls of an ejected one", start(t, sc).Trace(get("httpbin.global", 8000)),
		"p0 100% three/httpbin-v1:80 via three", "dead p0 0%: gateway of two unreachable")

	sc = threeClusters(isolated(t, deleteLines(spread, "outlierDetection:"), published))
	sc.Clusters[1].GatewayUnreachable = true
	expect(t, "without outlier detection the calls fail", start(t, sc).Trace(get("httpbin.global", 8000)),
		"p0 30% three/httpbin-v1:80 via three", "dead p0 70%: gateway of two unreachable")
}

func TestFartherRegionHasLowerPriority(t *testing.T) {
	sc := threeClusters(isolated(t, weighted("1", "1"), published))
	expect(t, "the other region is second", start(t, sc).Trace(get("httpbin.global", 8000)),
		"p0 50% two/httpbin-v1:80 via two", "p0 50% two/httpbin-v2:80 via two", "p1 100% three/httpbin-v1:80 via three")
}

func TestGatewayWithHostNameIsResolved(t *testing.T) {
	dns := func(text string) string {
		return strings.NewReplacer("resolution: STATIC", "resolution: DNS", "address: 192.0.2.2", "address: gw.two.example").Replace(text)
	}
	sc := withLocalPod(isolated(t, dns(consumed+localHalf), published))
	sc.Clusters[1].Gateways[0].Address = "gw.two.example"
	expect(t, "pods and gateways in one STRICT_DNS cluster, with their priorities", start(t, sc).Trace(get("httpbin.global", 8000)),
		"p0 100% one/httpbin-v1:80", "p1 50% two/httpbin-v1:80 via two", "p1 50% two/httpbin-v2:80 via two")

	sc.Clusters[1].Gateways[0].Address = "gw.elsewhere.example"
	expect(t, "a host name that is not in the scenario is external", start(t, sc).Trace(get("httpbin.global", 8000)),
		"p0 100% one/httpbin-v1:80", "p1 100% /:0gw.two.example:15443")
}

func TestKubernetesServiceBehindTheGatewayUsesReadyPods(t *testing.T) {
	byName := strings.NewReplacer(
		"resolution: STATIC", "resolution: DNS", ", targetPort: 80}", "}", ", targetPort: 9090}", "}",
		"  workloadSelector: {labels: {app: httpbin}}", `  endpoints:
  - address: httpbin.app2.svc.cluster.local
    labels: {security.istio.io/tlsMode: istio}`,
	).Replace(published)
	sc := isolated(t, consumed, byName)
	expect(t, "calls are distributed over the ready pods", start(t, sc).Trace(get("httpbin.global", 8000)),
		"p0 50% two/httpbin-v1:80 via two", "p0 50% two/httpbin-v2:80 via two")
	sc.Pods[1].Ready = false
	expect(t, "pods that are not ready get no calls", start(t, sc).Trace(get("httpbin.global", 8000)), "p0 100% two/httpbin-v2:80 via two")
}

func TestLoadBalancerOfTheServiceIsReachedWithoutGateway(t *testing.T) {
	direct := strings.NewReplacer(
		"address: 192.0.2.2", "address: 192.0.2.80", "ports: {http-isthmus-8000: 15443, tcp-isthmus-9000: 15443}", "ports: {}",
	).Replace(consumed)
	sc := isolated(t, direct, published)
	sc.LoadBalancers = []scenario.LoadBalancer{{Cluster: "two", Address: "192.0.2.80", Namespace: "app2", Service: "httpbin"}}
	expect(t, "no gateway", start(t, sc).Trace(get("httpbin.global", 8000)), "p0 50% two/httpbin-v1:80", "p0 50% two/httpbin-v2:80")
}
