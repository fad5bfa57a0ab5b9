package trace_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/scenario"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/trace"
)

// selecting selects the httpbin pods of all clusters that istiod watches.
const selecting = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: crosscluster, namespace: istio-system}
spec:
  selector: {istio: eastwestgateway}
  servers:
  - port: {number: 15443, name: tls, protocol: TLS}
    tls: {mode: AUTO_PASSTHROUGH}
    hosts: ["*.local", "*.global"]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: httpbin, namespace: app2}
spec:
  hosts: [httpbin.global]
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
  - {number: 8000, name: http-isthmus-8000, protocol: HTTP, targetPort: 80}
  workloadSelector: {labels: {app: httpbin}}
`

const withDetection = selecting + `
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: httpbin, namespace: app2}
spec:
  host: httpbin.global
  trafficPolicy:
    outlierDetection: {consecutive5xxErrors: 5, interval: 10s, baseEjectionTime: 30s, maxEjectionPercent: 100}
`

// group has two primaries that watch each other. Cluster one runs httpbin v1; cluster two runs v1
// and v2.
func group(t *testing.T, resources, network1, network2 string) *scenario.Scenario {
	t.Helper()
	sc := withLocalPod(isolated(t, resources, resources))
	for i := range sc.Clusters {
		c := &sc.Clusters[i]
		c.TrustDomain, c.TrustDomainAliases, c.RequestedNetworkView = "", nil, true
		c.IstioID, c.Network, c.Watched = "id-"+c.Name, []string{network1, network2}[i], []string{[]string{"two", "one"}[i]}
	}
	return sc
}

func TestPodsOfWatchedClustersAreReached(t *testing.T) {
	identity := "spiffe://cluster.local/ns/app1/sa/sleep"
	m := start(t, group(t, selecting, "", ""))
	expect(t, "one network: from pod to pod", m.Trace(get("httpbin.global", 8000)),
		"p0 33.3% one/httpbin-v1:80", "p0 33.3% two/httpbin-v1:80", "p0 33.3% two/httpbin-v2:80")
	expect(t, "the Kubernetes name", m.Trace(get("httpbin.app2.svc.cluster.local", 8000)),
		"p0 33.3% one/httpbin-v1:80", "p0 33.3% two/httpbin-v1:80", "p0 33.3% two/httpbin-v2:80")

	m = start(t, group(t, selecting, "net1", "net2"))
	got := m.Trace(get("httpbin.global", 8000))
	expect(t, "two networks: through the gateway of the other network", got,
		"p0 33.3% one/httpbin-v1:80", "p0 33.3% two/httpbin-v1:80 via two", "p0 33.3% two/httpbin-v2:80 via two")
	for _, a := range got.Arrivals {
		if a.Identity != identity {
			t.Errorf("%s sees %q, want %q", a.Pod, a.Identity, identity)
		}
	}

	m = start(t, group(t, withDetection, "net1", "net2"))
	expect(t, "the own zone first", m.Trace(get("httpbin.global", 8000)),
		"p0 100% one/httpbin-v1:80", "p1 50% two/httpbin-v1:80 via two", "p1 50% two/httpbin-v2:80 via two")
}

func TestGatewayThatSeesOtherNetworksIsALoopRisk(t *testing.T) {
	sc := group(t, withDetection, "net1", "net2")
	for i := range sc.Clusters {
		sc.Clusters[i].RequestedNetworkView = false
	}
	expect(t, "a loop if the pods of the gateway fail", start(t, sc).Trace(get("httpbin.global", 8000)),
		"p0 100% one/httpbin-v1:80", "p1 50% two/httpbin-v1:80 via two", "p1 50% two/httpbin-v2:80 via two",
		"loop risk gateway of two, cluster outbound_.8000_._.httpbin.global, priority 1: gateway of one")
}

func TestGatewayWithHostNameInAGroupIsResolved(t *testing.T) {
	sc := group(t, withDetection, "net1", "net2")
	sc.Clusters[1].Gateways[0].Address = "gw.two.example"
	expect(t, "istiod resolves the name", start(t, sc).Trace(get("httpbin.global", 8000)),
		"p0 100% one/httpbin-v1:80", "p1 50% two/httpbin-v1:80 via two", "p1 50% two/httpbin-v2:80 via two")
}

func TestPodsOfAnotherNetworkWithoutItsGatewayCannotBeReached(t *testing.T) {
	sc := group(t, withDetection, "net1", "net2")
	sc.Clusters[1].Gateways = nil
	expect(t, "istiod keeps the endpoints, which cannot be reached", start(t, sc).Trace(get("httpbin.global", 8000)),
		"p0 100% one/httpbin-v1:80",
		`dead p1 50%: two/httpbin-v1 of cluster two cannot be reached from the network "net1" of one/sleep`,
		`dead p1 50%: two/httpbin-v2 of cluster two cannot be reached from the network "net1" of one/sleep`)
}

func TestSelectorCanNameACluster(t *testing.T) {
	only := strings.Replace(selecting, "{app: httpbin}", "{app: httpbin, topology.istio.io/cluster: id-two}", 1)
	expect(t, "the cluster label of istiod", start(t, group(t, only, "", "")).Trace(get("httpbin.global", 8000)),
		"p0 50% two/httpbin-v1:80", "p0 50% two/httpbin-v2:80")
}

func TestWatchedPodsKeepTheirTrustDomain(t *testing.T) {
	sc := group(t, selecting, "", "")
	sc.Clusters[0].TrustDomain, sc.Clusters[1].TrustDomain = "one.example", "two.example"
	sc.Clusters[1].TrustDomainAliases = []string{"one.example"}
	m := start(t, sc)
	expect(t, "the caller accepts the trust domains of watched pods", m.Trace(get("httpbin.global", 8000)),
		"p0 33.3% one/httpbin-v1:80", "p0 33.3% two/httpbin-v1:80", "p0 33.3% two/httpbin-v2:80")
}

func TestRemoteClusterIsConfiguredByItsPrimary(t *testing.T) {
	sc := group(t, selecting, "net1", "net2")
	sc.Clusters[1].ControlPlane, sc.Clusters[1].Watched, sc.Bundles["two"] = "one", nil, nil
	sc.Pods = append(sc.Pods, sleep("two", "10.2.0.9"))
	m := start(t, sc)
	expect(t, "from the primary", m.Trace(get("httpbin.global", 8000)),
		"p0 33.3% one/httpbin-v1:80", "p0 33.3% two/httpbin-v1:80 via two", "p0 33.3% two/httpbin-v2:80 via two")
	call := get("httpbin.global", 8000)
	call.Cluster = "two"
	expect(t, "from the remote", m.Trace(call),
		"p0 33.3% one/httpbin-v1:80 via one", "p0 33.3% two/httpbin-v1:80", "p0 33.3% two/httpbin-v2:80")
}

func TestInvalidScenariosAreErrors(t *testing.T) {
	for reason, change := range map[string]func(*scenario.Scenario){
		`pod sleep is in cluster "nine", which is not in the scenario`: func(sc *scenario.Scenario) { sc.Pods[0].Cluster = "nine" },
		"two pods are named two/httpbin-v1":                            func(sc *scenario.Scenario) { sc.Pods[2].Name = "httpbin-v1" },
		`there is a bundle for cluster "nine", which is not in the scenario`: func(sc *scenario.Scenario) {
			sc.Bundles["nine"] = sc.Bundles["one"]
		},
		`cluster one has the control plane of "nine", which is not in the scenario`: func(sc *scenario.Scenario) { sc.Clusters[0].ControlPlane = "nine" },
		"cluster one has the control plane of two, which is itself remote":          func(sc *scenario.Scenario) { sc.Clusters[0].ControlPlane, sc.Clusters[1].ControlPlane = "two", "one" },
		"control plane of one: ServiceEntry/app2/x: Istio has no kind Nothing in networking.istio.io/v1": func(sc *scenario.Scenario) {
			sc.Bundles["one"]["ServiceEntry/app2/x"] = map[string]any{"apiVersion": "networking.istio.io/v1", "kind": "Nothing"}
		},
		"load balancer 192.0.2.80: no pod of cluster two names the service app2/other": func(sc *scenario.Scenario) {
			sc.LoadBalancers = []scenario.LoadBalancer{{Cluster: "two", Address: "192.0.2.80", Namespace: "app2", Service: "other"}}
		},
	} {
		sc := isolated(t, consumed, published)
		change(sc)
		_, err := trace.Start(t, sc)
		if err == nil {
			t.Errorf("no error, want %q", reason)
			continue
		}
		if diff := cmp.Diff(reason, err.Error()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}
