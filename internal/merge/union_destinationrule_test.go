package merge

import "testing"

func TestUnionOfDestinationRulesLosesNothing(t *testing.T) {
	const (
		sni80 = "tls: {mode: ISTIO_MUTUAL, sni: outbound_.80_._.a.x}"
		sni90 = "tls: {mode: ISTIO_MUTUAL, sni: outbound_.90_._.a.x}"
		sni91 = "tls: {mode: ISTIO_MUTUAL, sni: outbound_.91_._.a.x}"
		v1    = "{name: v1, labels: {v: '1'}, trafficPolicy: {tls: {mode: ISTIO_MUTUAL, sni: outbound_.80_.v1_.a.x}}}"
	)
	testUnions(t, "DestinationRule", map[string]unionCase{
		"subsets": {
			reason:  "subsets are united by name, and the desired subset of a name wins",
			desired: "{host: a, exportTo: [a], subsets: [{name: v1, labels: {v: '1'}}, {name: v3, labels: {v: '3'}}]}",
			live:    "{host: a, exportTo: [b], subsets: [{name: v1, labels: {v: one}}, {name: v2, labels: {v: two}}]}",
			want: `{host: a, exportTo: [a, b],
				subsets: [{name: v1, labels: {v: '1'}}, {name: v2, labels: {v: two}}, {name: v3, labels: {v: '3'}}]}`,
		},
		"removed subset": {
			reason:  "the trafficPolicy is the desired one",
			desired: "{host: a, trafficPolicy: {outlierDetection: {interval: 5s}}}",
			live: `{host: a, trafficPolicy: {outlierDetection: {interval: 9s}, connectionPool: {tcp: {maxConnections: 1}}},
				subsets: [{name: v1, labels: {v: one}}]}`,
			want: "{host: a, trafficPolicy: {outlierDetection: {interval: 5s}}, subsets: [{name: v1, labels: {v: one}}]}",
		},
		"no desired gateway": {
			reason:  "live gateways keep the SNI that they know and the load balancing that goes with them",
			desired: "{host: a, trafficPolicy: {connectionPool: {tcp: {maxConnections: 9}}}, subsets: [{name: v1, labels: {v: '1'}}]}",
			live: "{host: a, trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}, outlierDetection: {interval: 9s}, " + sni80 + `,
				portLevelSettings: [{port: {number: 90}, ` + sni90 + "}, {port: {number: 91}, connectionPool: {tcp: {maxConnections: 1}}}]},\n" +
				"subsets: [" + v1 + "]}",
			want: "{host: a, trafficPolicy: {connectionPool: {tcp: {maxConnections: 9}}, outlierDetection: {interval: 9s}, " + sni80 + `,
				portLevelSettings: [{port: {number: 90}, ` + sni90 + "}]}, subsets: [" + v1 + "]}",
		},
		"removed port": {
			reason:  "each port has its own SNI at gateways",
			desired: "{host: a, trafficPolicy: {" + sni90 + "}}",
			live: "{host: a, trafficPolicy: {outlierDetection: {interval: 9s}, " + sni80 + `,
				portLevelSettings: [{port: {number: 90}, ` + sni90 + "}, {port: {number: 91}, " + sni91 + "}]}}",
			want: "{host: a, trafficPolicy: {" + sni90 + `, portLevelSettings: [{port: {number: 91}, ` + sni91 + `},
				{port: {number: 80}, outlierDetection: {interval: 9s}, ` + sni80 + "}]}}",
		},
		"another SNI": {
			reason:   "the SNI of a desired port is the desired one",
			desired:  "{host: a, trafficPolicy: {tls: {mode: ISTIO_MUTUAL, sni: outbound_.80_._.a.y}}}",
			live:     "{host: a, trafficPolicy: {" + sni80 + "}}",
			wantSide: theDesired,
		},
		"desired for some callers only": {
			reason:  "the other callers would lose the rule",
			desired: "{host: a, workloadSelector: {matchLabels: {app: b}}}", live: "{host: a, exportTo: [b]}",
			wantSide: theLive,
		},
	})
}

func TestUnionOfVirtualServicesLosesNothing(t *testing.T) {
	const to = "route: [{destination: {host: a}}]"
	testUnions(t, "VirtualService", map[string]unionCase{
		"lists": {
			reason:  "hosts and exportTo are united, and the route is the desired one",
			desired: "{hosts: [a], exportTo: [b], http: [{timeout: 1s, " + to + "}]}",
			live:    "{hosts: [a, c], exportTo: [a], http: [{timeout: 2s, " + to + "}]}",
			want:    "{hosts: [a, c], exportTo: [a, b], http: [{timeout: 1s, " + to + "}]}",
		},
		"gateways": {
			reason:  "without gateways it is for the proxies of the mesh",
			desired: "{hosts: [a], gateways: [shop/public], http: [{" + to + "}]}", live: "{hosts: [a], http: [{" + to + "}]}",
			want: "{hosts: [a], gateways: [mesh, shop/public], http: [{" + to + "}]}",
		},
		"routes of a removed port": {
			reason:  "if one port of a host has a route, calls to a port without a route fail",
			desired: "{hosts: [a], http: [{match: [{port: 90}], " + to + "}], tcp: [{match: [{port: 70}], " + to + "}]}",
			live: "{hosts: [a], http: [{match: [{port: 80, uri: {exact: /}}, {port: 90}], timeout: 1s, " + to + `},
				{match: [{port: 80}], ` + to + `}], tcp: [{match: [{port: 70}], ` + to + `}],
				tls: [{match: [{port: 443, sniHosts: [a]}], ` + to + "}]}",
			want: "{hosts: [a], http: [{match: [{port: 80, uri: {exact: /}}], timeout: 1s, " + to + "}, {match: [{port: 80}], " + to + `},
				{match: [{port: 90}], ` + to + "}], tcp: [{match: [{port: 70}], " + to + `}],
				tls: [{match: [{port: 443, sniHosts: [a]}], ` + to + "}]}",
		},
		"port with a route of another protocol": {
			reason:  "the port has a route",
			desired: "{hosts: [a], tcp: [{match: [{port: 80}], " + to + "}]}", live: "{hosts: [a], http: [{match: [{port: 80}], " + to + "}]}",
			wantSide: theDesired,
		},
		"desired route for every port": {
			reason:  "no port is without a route",
			desired: "{hosts: [a], http: [{" + to + "}]}", live: "{hosts: [a], http: [{match: [{port: 80}], " + to + "}]}",
			wantSide: theDesired,
		},
	})
}
