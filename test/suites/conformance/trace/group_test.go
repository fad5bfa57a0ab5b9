package trace_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/trace"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/world"
)

// selecting is httpbin by the pods of all clusters that the istiod watches.
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

// group is two primaries that watch each other, with httpbin v1 in one and v1, v2 in two.
func group(t *testing.T, resources, network1, network2 string) *world.World {
	t.Helper()
	w := withLocalPod(isolated(t, resources, resources))
	for i := range w.Clusters {
		c := &w.Clusters[i]
		c.TrustDomain, c.TrustDomainAliases, c.RequestedNetworkView = "", nil, true
		c.IstioID, c.Network, c.Watched = "id-"+c.Name, []string{network1, network2}[i], []string{[]string{"two", "one"}[i]}
	}
	return w
}

func TestPodsOfWatchedClusters(t *testing.T) {
	identity := "spiffe://cluster.local/ns/app1/sa/sleep"
	m := start(t, group(t, selecting, "", ""))
	expect(t, "one network: directly", m.Trace(get("httpbin.global", 8000)),
		"p0 33.3% one/httpbin-v1:80", "p0 33.3% two/httpbin-v1:80", "p0 33.3% two/httpbin-v2:80")
	expect(t, "Kubernetes' own name too", m.Trace(get("httpbin.app2.svc.cluster.local", 8000)),
		"p0 33.3% one/httpbin-v1:80", "p0 33.3% two/httpbin-v1:80", "p0 33.3% two/httpbin-v2:80")

	m = start(t, group(t, selecting, "net1", "net2"))
	got := m.Trace(get("httpbin.global", 8000))
	expect(t, "two networks: by the other's gateway", got,
		"p0 33.3% one/httpbin-v1:80", "p0 33.3% two/httpbin-v1:80 via two", "p0 33.3% two/httpbin-v2:80 via two")
	for _, a := range got.Arrivals {
		if a.Identity != identity {
			t.Errorf("%s sees %q, want %q", a.Pod, a.Identity, identity)
		}
	}

	m = start(t, group(t, withDetection, "net1", "net2"))
	expect(t, "own zone first", m.Trace(get("httpbin.global", 8000)),
		"p0 100% one/httpbin-v1:80", "p1 50% two/httpbin-v1:80 via two", "p1 50% two/httpbin-v2:80 via two")
}

func TestGatewayThatSeesOtherNetworksForwardsInCircles(t *testing.T) {
	w := group(t, withDetection, "net1", "net2")
	for i := range w.Clusters {
		w.Clusters[i].RequestedNetworkView = false
	}
	expect(t, "once the pods behind it fail", start(t, w).Trace(get("httpbin.global", 8000)),
		"p0 100% one/httpbin-v1:80", "p1 50% two/httpbin-v1:80 via two", "p1 50% two/httpbin-v2:80 via two",
		"escape gateway of two, cluster outbound_.8000_._.httpbin.global, priority 1: gateway of one")
}

func TestGatewayByNameInAGroup(t *testing.T) {
	w := group(t, withDetection, "net1", "net2")
	w.Clusters[1].Gateways[0].Address = "gw.two.example"
	expect(t, "istiod resolves the name", start(t, w).Trace(get("httpbin.global", 8000)),
		"p0 100% one/httpbin-v1:80", "p1 50% two/httpbin-v1:80 via two", "p1 50% two/httpbin-v2:80 via two")
}

func TestPodsOfAnotherNetworkWithoutItsGatewayCannotBeReached(t *testing.T) {
	w := group(t, withDetection, "net1", "net2")
	w.Clusters[1].Gateways = nil
	expect(t, "istiod leaves the pods in place, but nobody gets there", start(t, w).Trace(get("httpbin.global", 8000)),
		"p0 100% one/httpbin-v1:80",
		`dead p1 50%: two/httpbin-v1 of cluster two cannot be reached from the network "net1" of one/sleep`,
		`dead p1 50%: two/httpbin-v2 of cluster two cannot be reached from the network "net1" of one/sleep`)
}

func TestSelectorByCluster(t *testing.T) {
	only := strings.Replace(selecting, "{app: httpbin}", "{app: httpbin, topology.istio.io/cluster: id-two}", 1)
	expect(t, "the label that istiod gives pods", start(t, group(t, only, "", "")).Trace(get("httpbin.global", 8000)),
		"p0 50% two/httpbin-v1:80", "p0 50% two/httpbin-v2:80")
}

func TestWatchedPodsKeepTheirTrustDomain(t *testing.T) {
	w := group(t, selecting, "", "")
	w.Clusters[0].TrustDomain, w.Clusters[1].TrustDomain = "one.example", "two.example"
	w.Clusters[1].TrustDomainAliases = []string{"one.example"}
	m := start(t, w)
	expect(t, "istiod knows the names of the pods it watches", m.Trace(get("httpbin.global", 8000)),
		"p0 33.3% one/httpbin-v1:80", "p0 33.3% two/httpbin-v1:80", "p0 33.3% two/httpbin-v2:80")
}

func TestRemoteClusterIsConfiguredByItsPrimary(t *testing.T) {
	w := group(t, selecting, "net1", "net2")
	w.Clusters[1].ControlPlane, w.Clusters[1].Watched, w.Bundles["two"] = "one", nil, nil
	w.Pods = append(w.Pods, sleep("two", "10.2.0.9"))
	m := start(t, w)
	expect(t, "from the primary", m.Trace(get("httpbin.global", 8000)),
		"p0 33.3% one/httpbin-v1:80", "p0 33.3% two/httpbin-v1:80 via two", "p0 33.3% two/httpbin-v2:80 via two")
	call := get("httpbin.global", 8000)
	call.Cluster = "two"
	expect(t, "from the remote", m.Trace(call),
		"p0 33.3% one/httpbin-v1:80 via one", "p0 33.3% two/httpbin-v1:80", "p0 33.3% two/httpbin-v2:80")
}

func TestFaultsOfAWorldAreErrors(t *testing.T) {
	for reason, change := range map[string]func(*world.World){
		`pod sleep is in cluster "nine", which is not in the world`: func(w *world.World) { w.Pods[0].Cluster = "nine" },
		"two pods are named two/httpbin-v1":                         func(w *world.World) { w.Pods[2].Name = "httpbin-v1" },
		`there is a bundle for cluster "nine", which is not in the world`: func(w *world.World) {
			w.Bundles["nine"] = w.Bundles["one"]
		},
		`cluster one has the control plane of "nine", which is not in the world`: func(w *world.World) { w.Clusters[0].ControlPlane = "nine" },
		"cluster one has the control plane of two, which is itself remote":       func(w *world.World) { w.Clusters[0].ControlPlane, w.Clusters[1].ControlPlane = "two", "one" },
		"control plane of one: ServiceEntry/app2/x: no kind Nothing in networking.istio.io/v1 is known to Istio": func(w *world.World) {
			w.Bundles["one"]["ServiceEntry/app2/x"] = map[string]any{"apiVersion": "networking.istio.io/v1", "kind": "Nothing"}
		},
		"load balancer 192.0.2.80: no pod of cluster two names the service app2/other": func(w *world.World) {
			w.LoadBalancers = []world.LoadBalancer{{Cluster: "two", Address: "192.0.2.80", Namespace: "app2", Service: "other"}}
		},
	} {
		w := isolated(t, consumed, published)
		change(w)
		_, err := trace.Start(t, w)
		if err == nil {
			t.Errorf("no error, want %q", reason)
			continue
		}
		if diff := cmp.Diff(reason, err.Error()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}
