package render

import "testing"

func TestResourceFieldIsTracedToTheManifest(t *testing.T) {
	cases := []struct{ reason, kind, path, want string }{
		{"an HTTP route", "VirtualService", "spec.http[0].retries.attempts", ".routes"},
		{"a TCP route", "VirtualService", "spec.tcp[1].match[0].port", ".tcpRoutes"},
		{"a TLS route", "VirtualService", "spec.tls[0].match[0].sniHosts", ".tlsRoutes"},
		{"the policy of a port", "DestinationRule", "spec.trafficPolicy.portLevelSettings[0].connectionPool.tcp", ".traffic.connectionPool"},
		{"the policy of a subset", "DestinationRule", "spec.subsets[0].trafficPolicy.outlierDetection.interval", ".traffic.outlierDetection"},
		{"the labels of a subset", "DestinationRule", "spec.subsets[0].labels.version", ".versions"},
		{"the pods of a service", "ServiceEntry", "spec.workloadSelector.labels.app", ".backend.selector"},
		{"an address of a placement, or a gateway of the inventory", "ServiceEntry", "spec.endpoints[0].address", ".placement"},
		{"a port", "ServiceEntry", "spec.ports[0].targetPort", ".ports"},
		{"the pods of a policy", "AuthorizationPolicy", "spec.selector.matchLabels.app", ".backend.selector"},
		{"the callers of a policy", "AuthorizationPolicy", "spec.rules[0].from[0].source.principals[0]", ".authorization"},
		{"the certificate of a public gateway", "Gateway", "spec.servers[0].tls.credentialName", ".expose"},
		{"the hosts of a public gateway", "Gateway", "spec.servers[0].hosts[0]", ".hosts"},
		{"the hosts of a Sidecar", "Sidecar", "spec.egress[0].hosts[0]", ".egress"},
		{"the pods of a Sidecar", "Sidecar", "spec.workloadSelector.labels.app", ".backend.selector"},
		{"a kind that only an extended template makes", "EnvoyFilter", "spec.configPatches[0]", ""},
		{"metadata", "VirtualService", "metadata.name", ""},
	}
	for _, c := range cases {
		t.Run(c.reason, func(t *testing.T) {
			if got := serviceSource(c.kind, c.path); got != c.want {
				t.Errorf("%s %s: got %q, want %q", c.kind, c.path, got, c.want)
			}
		})
	}
}

func TestResourceFieldIsTracedToTheExternal(t *testing.T) {
	cases := []struct{ reason, kind, path, want string }{
		{"endpoints", "ServiceEntry", "spec.endpoints[0].address", ".endpoints"},
		{"a field without an index", "ServiceEntry", "spec.resolution", ".resolution"},
		{"the whole entry", "ServiceEntry", "", ""},
		{"the policy", "DestinationRule", "spec.trafficPolicy.loadBalancer.simple", ".traffic.loadBalancer"},
	}
	for _, c := range cases {
		t.Run(c.reason, func(t *testing.T) {
			if got := externalSource(c.kind, c.path); got != c.want {
				t.Errorf("%s %s: got %q, want %q", c.kind, c.path, got, c.want)
			}
		})
	}
}
