package suite

import (
	"path/filepath"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/expected"
)

// A gateway is one endpoint for all pods behind it. Envoy must eject it if connections to it fail,
// and never because of a response of the application. If all gateways are ejected, Envoy must use
// all of them again.
func TestOnlyConnectionFailuresEjectGateways(t *testing.T) {
	for _, name := range []string{"jason", "several-gateways", "multi-primary-several-networks"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := scenarioFolder{name: name, dir: filepath.Join(scenariosDir, name)}.load(t)
			sc := newScenario(r, expected.Deviations{})
			m := start(t, sc)
			checked := 0
			for _, call := range declaredCalls(t, r.Mesh, sc) {
				if len(r.Mesh.Services[call.Callee].Traffic) > 0 {
					continue
				}
				c := m.EnvoyCluster(call.Cluster, call.Pod, call.Host, call.Port, "")
				if c == nil || len(r.Mesh.Services[call.Callee].Placement) < 2 {
					continue
				}
				checked++
				checkOutlierDetection(t, c)
			}
			if checked == 0 {
				t.Error("no call leaves its cluster, so the scenario tests nothing")
			}
		})
	}
}

func checkOutlierDetection(t *testing.T, c *clusterv3.Cluster) {
	t.Helper()
	d := c.GetOutlierDetection()
	for rule, ok := range map[string]bool{
		"connection failures are counted separately from responses":      d.GetSplitExternalLocalOriginErrors(),
		"five consecutive connection failures eject an endpoint":         d.GetConsecutiveLocalOriginFailure().GetValue() == 5,
		"the ejection is always enforced":                                d.GetEnforcingConsecutiveLocalOriginFailure() == nil || d.GetEnforcingConsecutiveLocalOriginFailure().GetValue() == 100,
		"5xx responses do not eject an endpoint":                         d.GetEnforcingConsecutive_5Xx() != nil && d.GetEnforcingConsecutive_5Xx().GetValue() == 0,
		"gateway errors do not eject an endpoint":                        d.GetEnforcingConsecutiveGatewayFailure().GetValue() == 0,
		"the success rate does not eject an endpoint":                    d.GetEnforcingSuccessRate() != nil && d.GetEnforcingSuccessRate().GetValue() == 0,
		"all endpoints can be ejected, so that the next cluster is used": d.GetMaxEjectionPercent().GetValue() == 100,
		"if nearly all endpoints are ejected, all are used again":        c.GetCommonLbConfig().GetHealthyPanicThreshold().GetValue() == 1,
	} {
		if !ok {
			t.Errorf("violated: %s: %s, panic threshold %v", rule, d, c.GetCommonLbConfig().GetHealthyPanicThreshold())
		}
	}
}
