package suite

import (
	"path/filepath"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/promise"
)

// A gateway stands for all pods behind it. What Envoy gets has to give it up when it cannot be reached, never for what an application
// answers, and has to use all of them again when all were given up.
func TestGatewaysAreGivenUpForFailuresToReachThemOnly(t *testing.T) {
	for _, world := range []string{"jason", "several-gateways", "multi-primary-several-networks"} {
		t.Run(world, func(t *testing.T) {
			t.Parallel()
			r := scene{name: world, dir: filepath.Join(worldsDir, world)}.load(t)
			w := worldOf(r, promise.Deviations{})
			m := start(t, w)
			looked := 0
			for _, call := range declared(t, r.Mesh, w) {
				if len(r.Mesh.Services[call.Callee].Traffic) > 0 {
					continue
				}
				c := m.EnvoyCluster(call.Cluster, call.Pod, call.Host, call.Port, "")
				if c == nil || len(r.Mesh.Services[call.Callee].Placement) < 2 {
					continue
				}
				looked++
				outlier(t, c)
			}
			if looked == 0 {
				t.Error("no call leaves its cluster: the world shows nothing")
			}
		})
	}
}

func outlier(t *testing.T, c *clusterv3.Cluster) {
	t.Helper()
	d := c.GetOutlierDetection()
	for reason, good := range map[string]bool{
		"failures to reach an endpoint count apart from answers":            d.GetSplitExternalLocalOriginErrors(),
		"five of them in a row eject it":                                    d.GetConsecutiveLocalOriginFailure().GetValue() == 5,
		"they always do":                                                    d.GetEnforcingConsecutiveLocalOriginFailure() == nil || d.GetEnforcingConsecutiveLocalOriginFailure().GetValue() == 100,
		"no 5xx ejects it":                                                  d.GetEnforcingConsecutive_5Xx() != nil && d.GetEnforcingConsecutive_5Xx().GetValue() == 0,
		"no gateway error ejects it":                                        d.GetEnforcingConsecutiveGatewayFailure().GetValue() == 0,
		"no success rate ejects it":                                         d.GetEnforcingSuccessRate() != nil && d.GetEnforcingSuccessRate().GetValue() == 0,
		"all endpoints may be ejected, so that the next cluster takes over": d.GetMaxEjectionPercent().GetValue() == 100,
		"with nearly all ejected, all are used again":                       c.GetCommonLbConfig().GetHealthyPanicThreshold().GetValue() == 1,
	} {
		if !good {
			t.Errorf("%s: not so: %s, panic threshold %v", reason, d, c.GetCommonLbConfig().GetHealthyPanicThreshold())
		}
	}
}
