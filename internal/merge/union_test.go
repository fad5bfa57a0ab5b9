package merge

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
)

// widening is one case: the spec that the bundle has, that of the cluster, and what becomes of them.
type widening struct {
	reason              string
	desired, live, want string
	// same says that want is the desired or the live spec.
	same string
}

const (
	theDesired = "desired"
	theLive    = "live"
)

func testWidenings(t *testing.T, kind string, tests map[string]widening) {
	t.Helper()
	validator, err := istio.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			desired, live := istiotest.Parse(t, kind, test.desired), istiotest.Parse(t, kind, test.live)
			want := map[string]*unstructured.Unstructured{theDesired: desired, theLive: live}[test.same]
			if want == nil {
				want = istiotest.Parse(t, kind, test.want)
			}
			for _, object := range []*unstructured.Unstructured{desired, live, want} {
				validator.Default(object)
				if violations := validator.Validate(object); len(violations) > 0 {
					t.Fatalf("the test itself is not valid: %v", violations)
				}
			}
			got := Union(desired, live)
			if diff := cmp.Diff(want.Object, got.Object); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.reason, diff)
			}
			if again := Union(desired, got); !cmp.Equal(again.Object, got.Object) {
				t.Errorf("%s: widened again it is another one:\n%s", test.reason, cmp.Diff(got.Object, again.Object))
			}
		})
	}
}

func TestAServiceEntryLosesNothing(t *testing.T) {
	const (
		alike = "hosts: [cart.example.com]\nlocation: MESH_INTERNAL\nports: [{number: 80, name: http, protocol: HTTP}]\n"
		a     = "{address: 192.0.2.1, ports: {http: 15443}, labels: {v: a}}"
		b     = "{address: 192.0.2.2, ports: {http: 15443}, labels: {v: b}}"
		c     = "{address: gw.example.com, ports: {http: 15443}}"
		none  = "resolution: STATIC\nlabels: {isthmus.dev/no-endpoint: 'true'}\nworkloadSelector: {labels: {isthmus.dev/no-endpoint: 'true'}}"
	)
	testWidenings(t, "ServiceEntry", map[string]widening{
		"equal":           {reason: "nothing is lost", desired: alike + "resolution: STATIC\nendpoints: [" + a + "]", live: alike + "resolution: STATIC\nendpoints: [" + a + "]", same: theDesired},
		"what only grows": {reason: "nothing is lost", desired: alike + "resolution: STATIC\nendpoints: [" + a + "," + b + "]", live: alike + "resolution: STATIC\nendpoints: [" + b + "]", same: theDesired},
		"what only shrinks": {
			reason:  "the live one has everything, in an order that is as good",
			desired: alike + "exportTo: [a]\nresolution: STATIC\nsubjectAltNames: [x]\nendpoints: [" + a + "]",
			live:    alike + "exportTo: [a, z]\nresolution: STATIC\naddresses: [241.0.0.1]\nsubjectAltNames: [x, z]\nendpoints: [" + b + ", " + a + "]",
			same:    theLive,
		},
		"lists": {
			reason:  "hosts, addresses, names and whom it is exported to are united, in the order of those that are sorted",
			desired: "{hosts: [a.example.com, d.example.com], addresses: [241.0.0.2], exportTo: [a, c], subjectAltNames: [z, x], location: MESH_INTERNAL, resolution: STATIC}",
			live:    "{hosts: [c.example.com, a.example.com], addresses: [241.0.0.1], exportTo: [b], subjectAltNames: [x, w], location: MESH_INTERNAL, resolution: STATIC}",
			want:    "{hosts: [a.example.com, c.example.com, d.example.com], addresses: [241.0.0.1, 241.0.0.2], exportTo: [a, b, c], subjectAltNames: [z, x, w], location: MESH_INTERNAL, resolution: STATIC}",
		},
		"exported to all": {
			reason:  "everybody is not less than anybody",
			desired: alike + "resolution: STATIC\nexportTo: [a, b]", live: alike + "resolution: STATIC\nexportTo: ['*']",
			same: theLive,
		},
		"to be exported to all": {
			reason:  "nobody is named beside everybody",
			desired: alike + "resolution: STATIC\nexportTo: ['*']", live: alike + "resolution: STATIC\nexportTo: [a]",
			same: theDesired,
		},
		"exported to whom the mesh says": {
			reason:  "that is mostly everybody, and otherwise not those who are named",
			desired: alike + "resolution: STATIC\nexportTo: [a]", live: alike + "resolution: STATIC",
			want: alike + "resolution: STATIC\nexportTo: ['*']",
		},
		"exported to its own namespace by both its names": {
			reason:  "Istio refuses to hear it twice",
			desired: alike + "resolution: STATIC\nexportTo: [shop]", live: alike + "resolution: STATIC\nexportTo: ['.', pay]",
			want: alike + "resolution: STATIC\nexportTo: [pay, shop]",
		},
		"exported to nobody": {
			reason:  "that is nothing to lose",
			desired: alike + "resolution: STATIC\nexportTo: [a]", live: alike + "resolution: STATIC\nexportTo: ['~']",
			same: theDesired,
		},
		"to be exported to nobody": {
			reason:  "nobody and somebody do not go together",
			desired: alike + "resolution: STATIC\nexportTo: ['~']", live: alike + "resolution: STATIC\nexportTo: [a]",
			same: theLive,
		},
		"an endpoint that moved": {
			reason:  "another address is another endpoint; one that is only weighted anew is not",
			desired: alike + "resolution: STATIC\nendpoints: [{address: 192.0.2.1, labels: {v: a}, ports: {http: 15443}, weight: 5}, " + b + "]",
			live:    alike + "resolution: STATIC\nendpoints: [" + a + ", {address: 192.0.2.9, labels: {v: a}}]",
			want:    alike + "resolution: STATIC\nendpoints: [{address: 192.0.2.1, labels: {v: a}, ports: {http: 15443}, weight: 5}, {address: 192.0.2.9, labels: {v: a}}, " + b + "]",
		},
		"no endpoint any more": {
			reason:  "the old ones stay, and so does what they are",
			desired: alike + none + "\nsubjectAltNames: []",
			live:    alike + "resolution: DNS\nsubjectAltNames: [x]\nendpoints: [" + a + ", " + c + "]",
			same:    theLive,
		},
		"no pods any more": {
			reason:  "the selector stays, with the pods' port",
			desired: alike + none,
			live:    "{hosts: [cart.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}], workloadSelector: {labels: {app: cart}}}",
			same:    theLive,
		},
		"the first endpoint": {
			reason:  "that no pod is selected is nothing to lose",
			desired: alike + "resolution: STATIC\nendpoints: [" + a + "]", live: alike + none,
			same: theDesired,
		},
		"other pods": {
			reason:  "one selector cannot find both",
			desired: alike + "resolution: STATIC\nexportTo: [a]\nworkloadSelector: {labels: {app: b}}",
			live:    alike + "resolution: STATIC\nexportTo: [b]\nworkloadSelector: {labels: {app: a}}",
			want:    alike + "resolution: STATIC\nexportTo: [a, b]\nworkloadSelector: {labels: {app: a}}",
		},
		"more pods": {
			reason:  "fewer labels find all that more of them find",
			desired: alike + "resolution: STATIC\nworkloadSelector: {labels: {app: a}}", live: alike + "resolution: STATIC\nworkloadSelector: {labels: {app: a, v: '1'}}",
			same: theDesired,
		},
		"a Service instead of pods": {
			reason:  "endpoints and a selector never stand together; the other half will be looked up, so this one is too",
			desired: alike + "resolution: DNS\nendpoints: [{address: cart.shop.svc.cluster.local}]",
			live:    "{hosts: [cart.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}], workloadSelector: {labels: {app: cart}}}",
			want:    "{hosts: [cart.example.com], location: MESH_INTERNAL, resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}], workloadSelector: {labels: {app: cart}}}",
		},
		"pods instead of a Service": {
			reason:  "the name stays, and goes on to be looked up",
			desired: "{hosts: [cart.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}], workloadSelector: {labels: {app: cart}}}",
			live:    alike + "resolution: DNS\nendpoints: [{address: cart.shop.svc.cluster.local}]",
			same:    theLive,
		},
		"addresses instead of a name": {
			reason:  "STATIC takes no names",
			desired: alike + "resolution: STATIC\nendpoints: [" + a + "]", live: alike + "resolution: DNS\nendpoints: [" + c + "]",
			want: alike + "resolution: DNS\nendpoints: [" + c + ", " + a + "]",
		},
		"a name instead of addresses": {
			reason:  "DNS takes addresses",
			desired: alike + "resolution: DNS\nendpoints: [" + c + "]", live: alike + "resolution: STATIC\nendpoints: [" + a + "]",
			want: alike + "resolution: DNS\nendpoints: [" + a + ", " + c + "]",
		},
		"another single name": {
			reason:  "DNS_ROUND_ROBIN takes one only",
			desired: alike + "resolution: DNS_ROUND_ROBIN\nendpoints: [" + c + "]", live: alike + "resolution: DNS_ROUND_ROBIN\nendpoints: [{address: old.example.com}]",
			want: alike + "resolution: DNS\nendpoints: [{address: old.example.com}, " + c + "]",
		},
		"endpoints instead of the name itself": {
			reason:  "the name was an endpoint",
			desired: "{hosts: [api.example.com], location: MESH_EXTERNAL, resolution: STATIC, ports: [{number: 443, name: tls, protocol: TLS}], endpoints: [{address: 192.0.2.1}]}",
			live:    "{hosts: [api.example.com], location: MESH_EXTERNAL, resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}",
			same:    theLive,
		},
		"a network beside a name": {
			reason:  "the live network cannot be looked up by DNS, so calls go where they went; the name is added all the same",
			desired: "{hosts: [api.example.com], location: MESH_EXTERNAL, resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}",
			live:    "{hosts: [old.example.com], addresses: [198.51.100.0/24], location: MESH_EXTERNAL, resolution: NONE, ports: [{number: 443, name: tls, protocol: TLS}]}",
			want:    "{hosts: [api.example.com, old.example.com], addresses: [198.51.100.0/24], location: MESH_EXTERNAL, resolution: NONE, ports: [{number: 443, name: tls, protocol: TLS}]}",
		},
		"several hosts on a plain port": {
			reason:  "nobody could tell which is called: what cannot be united stays",
			desired: "{hosts: [db.example.com], location: MESH_EXTERNAL, resolution: DNS, ports: [{number: 5432, name: tcp, protocol: TCP}]}",
			live:    "{hosts: [old.example.com], location: MESH_EXTERNAL, resolution: DNS, ports: [{number: 5432, name: tcp, protocol: TCP}]}",
			same:    theLive,
		},
		"a socket on another port": {
			reason:  "a socket has one port: what cannot be united stays",
			desired: "{hosts: [a.example.com], location: MESH_EXTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 'unix:///run/a'}]}",
			live:    "{hosts: [a.example.com], location: MESH_EXTERNAL, resolution: STATIC, ports: [{number: 90, name: http-90, protocol: HTTP}], endpoints: [{address: 'unix:///run/a'}]}",
			same:    theLive,
		},
		"a port that is gone": {
			reason:  "it stays, and new endpoints answer on it where the old ones do",
			desired: "{hosts: [a.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http-80, protocol: HTTP}], endpoints: [{address: 192.0.2.1, ports: {http-80: 15443}, labels: {isthmus.dev/remote: 'true'}}, {address: 192.0.2.2, ports: {http-80: 15444}, labels: {isthmus.dev/remote: 'true'}}]}",
			live:    "{hosts: [a.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http-80, protocol: HTTP}, {number: 90, name: http-90, protocol: HTTP}], endpoints: [{address: 192.0.2.1, ports: {http-80: 15443, http-90: 15443}, labels: {isthmus.dev/remote: 'true'}}]}",
			want:    "{hosts: [a.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http-80, protocol: HTTP}, {number: 90, name: http-90, protocol: HTTP}], endpoints: [{address: 192.0.2.1, ports: {http-80: 15443, http-90: 15443}, labels: {isthmus.dev/remote: 'true'}}, {address: 192.0.2.2, ports: {http-80: 15444, http-90: 15444}, labels: {isthmus.dev/remote: 'true'}}]}",
		},
		"a new port": {
			reason:  "gateways that are kept answer on it as on all others; what is called by its own number needs no word",
			desired: "{hosts: [a.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http-80, protocol: HTTP}, {number: 90, name: http-90, protocol: HTTP}], endpoints: [{address: 192.0.2.1, ports: {http-80: 15443, http-90: 15443}, labels: {isthmus.dev/remote: 'true'}}]}",
			live:    "{hosts: [a.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http-80, protocol: HTTP}], endpoints: [{address: 192.0.2.1, ports: {http-80: 15443}, labels: {isthmus.dev/remote: 'true'}}, {address: 192.0.2.2, ports: {http-80: 15443}, labels: {isthmus.dev/remote: 'true'}}, {address: 192.0.2.3, ports: {http-80: 8080}}]}",
			want:    "{hosts: [a.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http-80, protocol: HTTP}, {number: 90, name: http-90, protocol: HTTP}], endpoints: [{address: 192.0.2.1, ports: {http-80: 15443, http-90: 15443}, labels: {isthmus.dev/remote: 'true'}}, {address: 192.0.2.2, ports: {http-80: 15443, http-90: 15443}, labels: {isthmus.dev/remote: 'true'}}, {address: 192.0.2.3, ports: {http-80: 8080}}]}",
		},
		"another protocol": {
			reason:  "a number has one port, the desired one, and endpoints call it by its name",
			desired: "{hosts: [a.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: tcp-80, protocol: TCP}], endpoints: [{address: 192.0.2.1, ports: {tcp-80: 15443}}]}",
			live:    "{hosts: [a.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http-80, protocol: HTTP}], endpoints: [{address: 192.0.2.1, ports: {http-80: 15443}}, {address: 192.0.2.2, ports: {http-80: 15443}}]}",
			want:    "{hosts: [a.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: tcp-80, protocol: TCP}], endpoints: [{address: 192.0.2.1, ports: {tcp-80: 15443}}, {address: 192.0.2.2, ports: {tcp-80: 15443}}]}",
		},
		"another port behind a number": {
			reason:  "what is called by the entry's word for it goes on to be",
			desired: "{hosts: [a.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 9090}], endpoints: [{address: 192.0.2.1}]}",
			live:    "{hosts: [a.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 192.0.2.2}]}",
			want:    "{hosts: [a.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 9090}], endpoints: [{address: 192.0.2.2, ports: {http: 80}}, {address: 192.0.2.1}]}",
		},
		"another number of the same name": {
			reason:  "both numbers are called, so the old one gets another name",
			desired: "{hosts: [a.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 8080, name: http, protocol: HTTP}], endpoints: [{address: 192.0.2.1, ports: {http: 1}}]}",
			live:    "{hosts: [a.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 192.0.2.1, ports: {http: 1}}]}",
			want:    "{hosts: [a.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http-80, protocol: HTTP}, {number: 8080, name: http, protocol: HTTP}], endpoints: [{address: 192.0.2.1, ports: {http: 1, http-80: 1}}]}",
		},
	})
}

func TestADestinationRuleLosesNothing(t *testing.T) {
	testWidenings(t, "DestinationRule", map[string]widening{
		"subsets": {
			reason:  "by name; of the same name it is the desired one",
			desired: "{host: a, exportTo: [a], subsets: [{name: v1, labels: {v: '1'}}, {name: v3, labels: {v: '3'}}]}",
			live:    "{host: a, exportTo: [b], subsets: [{name: v1, labels: {v: one}}, {name: v2, labels: {v: two}}]}",
			want:    "{host: a, exportTo: [a, b], subsets: [{name: v1, labels: {v: '1'}}, {name: v2, labels: {v: two}}, {name: v3, labels: {v: '3'}}]}",
		},
		"no subset any more": {
			reason:  "the policy is the desired one",
			desired: "{host: a, trafficPolicy: {outlierDetection: {interval: 5s}}}",
			live:    "{host: a, trafficPolicy: {outlierDetection: {interval: 9s}, connectionPool: {tcp: {maxConnections: 1}}}, subsets: [{name: v1, labels: {v: one}}]}",
			want:    "{host: a, trafficPolicy: {outlierDetection: {interval: 5s}}, subsets: [{name: v1, labels: {v: one}}]}",
		},
		"no gateway any more": {
			reason:  "those that are kept are asked for the name that they know, in the order that went with them",
			desired: "{host: a, trafficPolicy: {connectionPool: {tcp: {maxConnections: 9}}}, subsets: [{name: v1, labels: {v: '1'}}]}",
			live: `{host: a, trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}, outlierDetection: {interval: 9s}, tls: {mode: ISTIO_MUTUAL, sni: outbound_.80_._.a.x},
				portLevelSettings: [{port: {number: 90}, tls: {mode: ISTIO_MUTUAL, sni: outbound_.90_._.a.x}}, {port: {number: 91}, connectionPool: {tcp: {maxConnections: 1}}}]},
				subsets: [{name: v1, labels: {v: '1'}, trafficPolicy: {tls: {mode: ISTIO_MUTUAL, sni: outbound_.80_.v1_.a.x}}}]}`,
			want: `{host: a, trafficPolicy: {connectionPool: {tcp: {maxConnections: 9}}, outlierDetection: {interval: 9s}, tls: {mode: ISTIO_MUTUAL, sni: outbound_.80_._.a.x},
				portLevelSettings: [{port: {number: 90}, tls: {mode: ISTIO_MUTUAL, sni: outbound_.90_._.a.x}}]},
				subsets: [{name: v1, labels: {v: '1'}, trafficPolicy: {tls: {mode: ISTIO_MUTUAL, sni: outbound_.80_.v1_.a.x}}}]}`,
		},
		"a port that is gone": {
			reason:  "each port has a name of its own at gateways",
			desired: "{host: a, trafficPolicy: {tls: {mode: ISTIO_MUTUAL, sni: outbound_.90_._.a.x}}}",
			live: `{host: a, trafficPolicy: {outlierDetection: {interval: 9s}, tls: {mode: ISTIO_MUTUAL, sni: outbound_.80_._.a.x},
				portLevelSettings: [{port: {number: 90}, tls: {mode: ISTIO_MUTUAL, sni: outbound_.90_._.a.x}}, {port: {number: 91}, tls: {mode: ISTIO_MUTUAL, sni: outbound_.91_._.a.x}}]}}`,
			want: `{host: a, trafficPolicy: {tls: {mode: ISTIO_MUTUAL, sni: outbound_.90_._.a.x},
				portLevelSettings: [{port: {number: 91}, tls: {mode: ISTIO_MUTUAL, sni: outbound_.91_._.a.x}}, {port: {number: 80}, outlierDetection: {interval: 9s}, tls: {mode: ISTIO_MUTUAL, sni: outbound_.80_._.a.x}}]}}`,
		},
		"other names at gateways": {
			reason:  "those of the ports that there are, are the desired ones",
			desired: "{host: a, trafficPolicy: {tls: {mode: ISTIO_MUTUAL, sni: outbound_.80_._.a.y}}}", live: "{host: a, trafficPolicy: {tls: {mode: ISTIO_MUTUAL, sni: outbound_.80_._.a.x}}}",
			same: theDesired,
		},
		"for some callers only": {
			reason:  "the others would lose it",
			desired: "{host: a, workloadSelector: {matchLabels: {app: b}}}", live: "{host: a, exportTo: [b]}",
			same: theLive,
		},
	})
}

func TestAVirtualServiceLosesNothing(t *testing.T) {
	const to = "route: [{destination: {host: a}}]"
	testWidenings(t, "VirtualService", map[string]widening{
		"lists": {
			reason:  "hosts and whom it is exported to are united; the route is the desired one",
			desired: "{hosts: [a], exportTo: [b], http: [{timeout: 1s, " + to + "}]}",
			live:    "{hosts: [a, c], exportTo: [a], http: [{timeout: 2s, " + to + "}]}",
			want:    "{hosts: [a, c], exportTo: [a, b], http: [{timeout: 1s, " + to + "}]}",
		},
		"gateways": {
			reason:  "without any it is for the proxies of the mesh",
			desired: "{hosts: [a], gateways: [shop/public], http: [{" + to + "}]}", live: "{hosts: [a], http: [{" + to + "}]}",
			want: "{hosts: [a], gateways: [mesh, shop/public], http: [{" + to + "}]}",
		},
		"routes of a port that is gone": {
			reason:  "a host that is routed on some port is reached on none without a route",
			desired: "{hosts: [a], http: [{match: [{port: 90}], " + to + "}], tcp: [{match: [{port: 70}], " + to + "}]}",
			live:    "{hosts: [a], http: [{match: [{port: 80, uri: {exact: /}}, {port: 90}], timeout: 1s, " + to + "}, {match: [{port: 80}], " + to + "}], tcp: [{match: [{port: 70}], " + to + "}], tls: [{match: [{port: 443, sniHosts: [a]}], " + to + "}]}",
			want:    "{hosts: [a], http: [{match: [{port: 80, uri: {exact: /}}], timeout: 1s, " + to + "}, {match: [{port: 80}], " + to + "}, {match: [{port: 90}], " + to + "}], tcp: [{match: [{port: 70}], " + to + "}], tls: [{match: [{port: 443, sniHosts: [a]}], " + to + "}]}",
		},
		"routes of a port that another kind of route has": {
			reason:  "the port is routed",
			desired: "{hosts: [a], tcp: [{match: [{port: 80}], " + to + "}]}", live: "{hosts: [a], http: [{match: [{port: 80}], " + to + "}]}",
			same: theDesired,
		},
		"a route for every port": {
			reason:  "no port is without one",
			desired: "{hosts: [a], http: [{" + to + "}]}", live: "{hosts: [a], http: [{match: [{port: 80}], " + to + "}]}",
			same: theDesired,
		},
	})
}

func TestAnAuthorizationPolicyGrantsNoLess(t *testing.T) {
	const on = "selector: {matchLabels: {app: a}}\n"
	testWidenings(t, "AuthorizationPolicy", map[string]widening{
		"principals": {
			reason:  "callers with equal needs share a rule",
			desired: on + "rules: [{from: [{source: {principals: [a, c]}}], to: [{operation: {ports: ['80']}}]}]",
			live:    on + "rules: [{from: [{source: {principals: [b, c]}}], to: [{operation: {ports: ['80']}}]}]",
			want:    on + "rules: [{from: [{source: {principals: [a, b, c]}}], to: [{operation: {ports: ['80']}}]}]",
		},
		"other needs": {
			reason:  "a rule that grants what no other grants is kept, and one that does not is not",
			desired: on + "rules: [{from: [{source: {principals: [a, b]}}], to: [{operation: {ports: ['80', '90']}}]}, {from: [{source: {principals: [c]}}]}]",
			live:    on + "rules: [{from: [{source: {principals: [a]}}], to: [{operation: {ports: ['80']}}]}, {from: [{source: {principals: [d]}}], to: [{operation: {ports: ['80']}}]}, {from: [{source: {principals: [c]}}], to: [{operation: {methods: [GET]}}]}]",
			want:    on + "rules: [{from: [{source: {principals: [d]}}], to: [{operation: {ports: ['80']}}]}, {from: [{source: {principals: [a, b]}}], to: [{operation: {ports: ['80', '90']}}]}, {from: [{source: {principals: [c]}}]}]",
		},
		"nobody any more": {
			reason:  "without rules nobody is let in",
			desired: on, live: on + "rules: [{from: [{source: {principals: [a]}}]}]",
			want: on + "rules: [{from: [{source: {principals: [a]}}]}]",
		},
		"everybody": {
			reason:  "a rule without conditions is for all",
			desired: on + "rules: [{from: [{source: {principals: [a]}}]}]", live: on + "rules: [{}]",
			want: on + "rules: [{}, {from: [{source: {principals: [a]}}]}]",
		},
		"somebody after nobody": {reason: "nothing is lost", desired: on + "rules: [{}]", live: on, same: theDesired},
		"conditions that are no principals": {
			reason:  "what more is demanded, or excepted, is less",
			desired: on + "rules: [{from: [{source: {namespaces: [a], notPrincipals: [x]}}], when: [{key: k, values: [v]}]}]",
			live:    on + "rules: [{from: [{source: {namespaces: [a], notPrincipals: [x, z]}}], when: [{key: k, values: [v]}, {key: l, values: [w]}]}, {from: [{source: {namespaces: [a]}}]}]",
			want:    on + "rules: [{from: [{source: {namespaces: [a]}}]}, {from: [{source: {namespaces: [a], notPrincipals: [x]}}], when: [{key: k, values: [v]}]}]",
		},
		"other pods": {
			reason:  "its first policy closes a workload",
			desired: "selector: {matchLabels: {app: b}}\nrules: [{}]", live: on,
			want: on + "rules: [{}]",
		},
		"fewer pods": {
			reason:  "a workload without a policy is open",
			desired: "selector: {matchLabels: {app: a, v: '1'}}\nrules: [{}]", live: on,
			same: theDesired,
		},
		"no pods but a Service": {
			reason:  "whether it is for the same ones is not known",
			desired: "targetRefs: [{kind: Service, name: a}]\nrules: [{}]", live: on,
			want: on + "rules: [{}]",
		},
		"enforced at last": {
			reason:  "what was only tried let everybody in",
			desired: on + "rules: [{}]", live: on + "annotations: {istio.io/dry-run: 'true'}",
			want: on + "rules: [{}]\nannotations: {istio.io/dry-run: 'true'}",
		},
		"only tried again": {
			reason:  "nothing is lost, and who may call is reported on",
			desired: on + "annotations: {istio.io/dry-run: 'true'}", live: on + "rules: [{}]",
			want: on + "rules: [{}]\nannotations: {istio.io/dry-run: 'true'}",
		},
		"denies more": {reason: "that is access lost", desired: on + "action: DENY\nrules: [{}]", live: on + "action: DENY\nrules: [{to: [{operation: {ports: ['80']}}]}]", same: theLive},
		"denies less": {
			reason: "nothing is lost", desired: on + "action: DENY\nrules: [{to: [{operation: {ports: ['80']}}]}]",
			live: on + "action: DENY\nrules: [{to: [{operation: {ports: ['90']}}]}, {to: [{operation: {ports: ['80']}}]}]", same: theDesired,
		},
		"denies instead of allowing": {reason: "one cannot be turned into the other", desired: on + "action: DENY\nrules: [{}]", live: on + "rules: [{}]", same: theLive},
		"allows instead of denying":  {reason: "the first policy that allows closes a workload to all others", desired: on + "rules: [{}]", live: on + "action: DENY\nrules: [{}]", same: theLive},
		"audits instead of allowing": {reason: "nobody is kept out by an audit", desired: on + "action: AUDIT", live: on, same: theDesired},
	})
}

func TestAGatewayLosesNothing(t *testing.T) {
	const tls = "port: {number: 443, name: tls, protocol: TLS}, tls: {mode: PASSTHROUGH}"
	testWidenings(t, "Gateway", map[string]widening{
		"hosts": {
			reason:  "of the same server they are united",
			desired: "{selector: {a: b}, servers: [{" + tls + ", hosts: [shop/c, shop/a]}]}", live: "{selector: {a: b}, servers: [{" + tls + ", hosts: [shop/a, shop/b]}]}",
			want: "{selector: {a: b}, servers: [{" + tls + ", hosts: [shop/c, shop/a, shop/b]}]}",
		},
		"servers": {
			reason:  "by the name of the port",
			desired: "{servers: [{" + tls + ", hosts: [a]}]}",
			live:    "{servers: [{port: {number: 15443, name: tls-discovery, protocol: TLS}, tls: {mode: AUTO_PASSTHROUGH}, hosts: ['*.local']}]}",
			want:    "{servers: [{port: {number: 15443, name: tls-discovery, protocol: TLS}, tls: {mode: AUTO_PASSTHROUGH}, hosts: ['*.local']}, {" + tls + ", hosts: [a]}]}",
		},
		"another server for the same host": {
			reason:  "istiod would drop one of them as a whole",
			desired: "{servers: [{" + tls + ", hosts: [a]}]}",
			live:    "{servers: [{port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: a}, hosts: [a, b]}]}",
			want:    "{servers: [{port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: a}, hosts: [b]}, {" + tls + ", hosts: [a]}]}",
		},
		"nothing else than another server": {
			reason:  "the host is served on that port",
			desired: "{servers: [{" + tls + ", hosts: [a]}]}", live: "{servers: [{port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: a}, hosts: [a]}]}",
			same: theDesired,
		},
		"another number of the same name": {
			reason:  "others still come in by the old one",
			desired: "{servers: [{port: {number: 15444, name: tls, protocol: TLS}, tls: {mode: AUTO_PASSTHROUGH}, hosts: ['*.x']}]}",
			live:    "{servers: [{port: {number: 15443, name: tls, protocol: TLS}, tls: {mode: AUTO_PASSTHROUGH}, hosts: ['*.x']}]}",
			want:    "{servers: [{port: {number: 15443, name: tls-15443, protocol: TLS}, tls: {mode: AUTO_PASSTHROUGH}, hosts: ['*.x']}, {port: {number: 15444, name: tls, protocol: TLS}, tls: {mode: AUTO_PASSTHROUGH}, hosts: ['*.x']}]}",
		},
		"another workload": {
			reason:  "the one that has it would lose it",
			desired: "{selector: {a: c}, servers: [{" + tls + ", hosts: [a]}]}", live: "{selector: {a: b}, servers: [{" + tls + ", hosts: [a]}]}",
			same: theLive,
		},
	})
}

func TestASidecarLosesNothing(t *testing.T) {
	const on = "workloadSelector: {labels: {app: a}}\n"
	testWidenings(t, "Sidecar", map[string]widening{
		"hosts": {
			reason:  "by listener",
			desired: on + "egress: [{hosts: [a/*, c/*]}]", live: on + "egress: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [x/*]}, {hosts: [b/*]}]",
			want: on + "egress: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [x/*]}, {hosts: [a/*, b/*, c/*]}]",
		},
		"a listener that is new": {
			reason:  "the one for all other ports has to be the last",
			desired: on + "egress: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [x/*]}]", live: on + "egress: [{hosts: [b/*]}]",
			want: on + "egress: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [x/*]}, {hosts: [b/*]}]",
		},
		"everything": {
			reason:  "without egress a proxy is told of all",
			desired: on + "egress: [{hosts: [a/*]}]", live: on + "outboundTrafficPolicy: {mode: ALLOW_ANY}",
			want: on + "egress: [{hosts: ['*/*', a/*]}]",
		},
		"everything from now on": {reason: "nothing is lost", desired: on + "outboundTrafficPolicy: {mode: ALLOW_ANY}", live: on + "egress: [{hosts: [a/*]}]", same: theDesired},
		"other pods": {
			reason:  "they saw everything",
			desired: "workloadSelector: {labels: {app: b}}\negress: [{hosts: [a/*]}]", live: on + "egress: [{hosts: [a/*]}]",
			same: theLive,
		},
		"fewer pods": {
			reason:  "the others see everything",
			desired: "workloadSelector: {labels: {app: a, v: '1'}}\negress: [{hosts: [a/*]}]", live: on + "egress: [{hosts: [a/*]}]",
			same: theDesired,
		},
	})
}

func TestAStubLosesNothing(t *testing.T) {
	testWidenings(t, "Service", map[string]widening{
		"ports": {
			reason:  "by number",
			desired: "{ports: [{name: http, port: 80}, {name: grpc, port: 90}]}", live: "{ports: [{name: web, port: 80}, {name: db, port: 70}]}",
			want: "{ports: [{name: http, port: 80}, {name: db, port: 70}, {name: grpc, port: 90}]}",
		},
		"another number of the same name": {
			reason:  "a name has one port",
			desired: "{ports: [{name: a-name-of-nearly-sixty-three-letters-which-is-the-longest-there, port: 90}]}",
			live:    "{ports: [{name: a-name-of-nearly-sixty-three-letters-which-is-the-longest-there, port: 80}]}",
			want:    "{ports: [{name: a-name-of-nearly-sixty-three-letters-which-is-the-longest-th-80, port: 80}, {name: a-name-of-nearly-sixty-three-letters-which-is-the-longest-there, port: 90}]}",
		},
	})
}

func TestAddressOfAStubIsNothingToKeep(t *testing.T) {
	desired := istiotest.StubService(t, "shop", "cart")
	live := desired.DeepCopy()
	istiotest.Spec(live)["clusterIP"], istiotest.Spec(live)["clusterIPs"] = "10.0.0.1", []any{"10.0.0.1"}
	istiotest.Spec(live)["ports"] = append(istiotest.Spec(live)["ports"].([]any), map[string]any{"name": "db", "port": int64(70), "protocol": "TCP", "targetPort": int64(70)})
	wide := Union(desired, live)
	if fields := Differences(wide, istiotest.WithLabels(live, map[string]string{ownership.LabelPartOf: "applyset-test"}), "applyset-test"); len(fields) > 0 {
		t.Errorf("it has all ports and is changed in %v", fields)
	}
}

func TestOtherKindsAreAsTheBundleSays(t *testing.T) {
	desired := istiotest.Parse(t, "PeerAuthentication", "mtls: {mode: STRICT}")
	if got := Union(desired, istiotest.Parse(t, "PeerAuthentication", "mtls: {mode: PERMISSIVE}")); got != desired {
		t.Errorf("got %v", got)
	}
}

func TestALiveObjectWithoutASpecHasNothingToLose(t *testing.T) {
	for kind := range unions {
		desired := istiotest.Parse(t, kind, "{}")
		live := istiotest.Parse(t, kind, "{}")
		delete(live.Object, "spec")
		if got := Union(desired, live); got != desired {
			t.Errorf("%s: got %v", kind, got)
		}
	}
}

func TestAnEntryThatKeepsItsEndpointsIsNotOneOfANameOnly(t *testing.T) {
	desired := istiotest.Parse(t, "ServiceEntry", "{hosts: [a.example.com], labels: {isthmus.dev/no-endpoint: 'true'}, location: MESH_INTERNAL, resolution: STATIC, workloadSelector: {labels: {isthmus.dev/no-endpoint: 'true'}}}")
	live := istiotest.Parse(t, "ServiceEntry", "{hosts: [a.example.com], location: MESH_INTERNAL, resolution: STATIC, workloadSelector: {labels: {app: a}}}")
	if got := Union(desired, live); got.GetLabels()[render.LabelNoEndpoint] != "" || !HasEndpoints(got) {
		t.Errorf("labels %v", got.GetLabels())
	}
	if got := Union(live, desired); got.GetLabels()[render.LabelNoEndpoint] != "" || !HasEndpoints(got) {
		t.Errorf("the other way round: labels %v", got.GetLabels())
	}
}
