package render

import "testing"

func TestAFieldOfAResourceIsTracedToTheManifest(t *testing.T) {
	cases := []struct{ reason, kind, path, want string }{
		{"an HTTP route", "VirtualService", "spec.http[0].retries.attempts", ".routes"},
		{"a TCP route", "VirtualService", "spec.tcp[1].match[0].port", ".tcpRoutes"},
		{"a TLS route", "VirtualService", "spec.tls[0].match[0].sniHosts", ".tlsRoutes"},
		{"the policy of a port is the policy", "DestinationRule", "spec.trafficPolicy.portLevelSettings[0].connectionPool.tcp", ".traffic.connectionPool"},
		{"the policy of a subset is the policy too", "DestinationRule", "spec.subsets[0].trafficPolicy.outlierDetection.interval", ".traffic.outlierDetection"},
		{"the labels of a subset", "DestinationRule", "spec.subsets[0].labels.version", ".versions"},
		{"the pods of a service", "ServiceEntry", "spec.workloadSelector.labels.app", ".backend.selector"},
		{"an address of a placement, or a gateway of the inventory", "ServiceEntry", "spec.endpoints[0].address", ".placement"},
		{"a port", "ServiceEntry", "spec.ports[0].targetPort", ".ports"},
		{"whom a policy guards", "AuthorizationPolicy", "spec.selector.matchLabels.app", ".backend.selector"},
		{"whom a policy lets in", "AuthorizationPolicy", "spec.rules[0].from[0].source.principals[0]", ".authorization"},
		{"the certificate of a public gateway", "Gateway", "spec.servers[0].tls.credentialName", ".expose"},
		{"the names on a public gateway", "Gateway", "spec.servers[0].hosts[0]", ".hosts"},
		{"what a Sidecar lets see", "Sidecar", "spec.egress[0].hosts[0]", ".egress"},
		{"whose Sidecar it is", "Sidecar", "spec.workloadSelector.labels.app", ".backend.selector"},
		{"a kind that only a template makes", "EnvoyFilter", "spec.configPatches[0]", ""},
		{"the name is the template's", "VirtualService", "metadata.name", ""},
	}
	for _, c := range cases {
		t.Run(c.reason, func(t *testing.T) {
			if got := serviceSource(c.kind, c.path); got != c.want {
				t.Errorf("%s %s: got %q, want %q", c.kind, c.path, got, c.want)
			}
		})
	}
}

func TestAFieldOfAnExternalsResourceIsTracedToTheExternal(t *testing.T) {
	cases := []struct{ reason, kind, path, want string }{
		{"its endpoints are its own", "ServiceEntry", "spec.endpoints[0].address", ".endpoints"},
		{"a field without index", "ServiceEntry", "spec.resolution", ".resolution"},
		{"the entry as a whole", "ServiceEntry", "", ""},
		{"its policy", "DestinationRule", "spec.trafficPolicy.loadBalancer.simple", ".traffic.loadBalancer"},
	}
	for _, c := range cases {
		t.Run(c.reason, func(t *testing.T) {
			if got := externalSource(c.kind, c.path); got != c.want {
				t.Errorf("%s %s: got %q, want %q", c.kind, c.path, got, c.want)
			}
		})
	}
}
