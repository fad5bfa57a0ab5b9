package trace_test

import (
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/trace"
)

const external = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: app1}
spec:
  hosts: [HOST]
  location: MESH_EXTERNAL
  resolution: RESOLUTION
  ports:
  - {number: 443, name: tls, protocol: TLS}
  - {number: 80, name: http, protocol: HTTP, targetPort: 443}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: api, namespace: app1}
spec:
  host: "HOST"
  trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE, sni: api.example}}]}
`

func TestExternalServicesAreReached(t *testing.T) {
	caller := strings.NewReplacer("HOST", "api.example", "RESOLUTION", "DNS").Replace(external)
	m := start(t, isolated(t, caller, published))
	call := trace.Call{Cluster: "one", Pod: "sleep", Host: "api.example", Port: 443, Protocol: "TLS"}
	expect(t, "TLS of the application", m.Trace(call), "p0 100% /:0api.example:443")
	got := m.Trace(get("api.example", 80))
	expect(t, "TLS originated by the sidecar", got, "p0 100% /:0api.example:443")
	if sni := got.Arrivals[0].SNI; sni != "api.example" {
		t.Errorf("the sidecar uses the SNI %q", sni)
	}

	caller = strings.NewReplacer(`[HOST]`, `["*.example"]`, `"HOST"`, `"*.example"`, "RESOLUTION", "NONE").Replace(external)
	m = start(t, isolated(t, caller, published))
	expect(t, "a wildcard uses the address of the application", m.Trace(call), "passthrough")
}

func TestSidecarResourceLimitsClusters(t *testing.T) {
	scoped := consumed + `
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: sleep, namespace: app1}
spec: {egress: [{hosts: ["istio-system/*"]}]}
`
	m := start(t, isolated(t, scoped, published))
	for _, name := range m.Clusters("one", "sleep") {
		if strings.Contains(name, "httpbin") {
			t.Errorf("the sidecar has %s, which it does not list", name)
		}
	}
	expect(t, "a host outside the Sidecar resource leaves the mesh", m.Trace(get("httpbin.global", 8000)), "passthrough")
}

func TestEnvoyClusterReturnsTheClusterOfADestination(t *testing.T) {
	m := start(t, isolated(t, consumed, published))
	if c := m.EnvoyCluster("one", "sleep", "httpbin.global", 8000, ""); c.GetOutlierDetection().GetConsecutiveGatewayFailure().GetValue() != 5 {
		t.Errorf("outlier detection is %v", c.GetOutlierDetection())
	}
	if c := m.EnvoyCluster("one", "sleep", "httpbin.global", 8001, ""); c != nil {
		t.Errorf("there is a cluster for a port without a service: %v", c)
	}
	if n := len(m.Endpoints("one", "sleep", "httpbin.global", 8000, "").GetEndpoints()); n != 1 {
		t.Errorf("%d localities, want only that of the gateway", n)
	}
}
