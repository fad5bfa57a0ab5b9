package apply

import (
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/internal/istio"
)

func TestEntriesThatFitNeitherEachOtherNorWhatWasAreTold(t *testing.T) {
	before, after, ordered := entry("shop", "cart", "gw.example.com"), entry("shop", "cart", "192.0.2.1"), rule("shop", "cart")
	specOf(before)["resolution"] = "DNS"
	fieldsOf(listOf(specOf(after), "endpoints")[0])["locality"] = "eu"
	specOf(ordered)["trafficPolicy"] = map[string]any{"loadBalancer": map[string]any{"localityLbSetting": map[string]any{"failoverPriority": []any{"a"}}}}
	plan := Make(bundleOf(after, ordered), ourObjects(before), PlanOptions{Owner: testOwner, Prune: true, MaxPrunePercent: 100})
	action := plan.Actions[0]
	if action.Key != keyOf(after) || action.Effect != Changes || action.twice() || stageOf(action, true) > lastBeforePause() {
		t.Errorf("%s %s, written twice: %v, at %d", action.Key, action.Effect, action.twice(), stageOf(action, true))
	}
}

func TestAnUpdateTellsWhetherCallersMayNotice(t *testing.T) {
	const (
		to      = "route: [{destination: {host: a}}]"
		entry   = "{hosts: [a], location: MESH_INTERNAL, resolution: STATIC, ports: [{name: http, number: 80, protocol: HTTP}], endpoints: [{address: 192.0.2.1}]}"
		pods    = "{selector: {matchLabels: {app: a}}, action: ALLOW, rules: [{from: [{source: {principals: [a]}}]}]}"
		tunnel  = "tls: {mode: ISTIO_MUTUAL, sni: outbound_.80_._.a.x}"
		further = "portLevelSettings: [{port: {number: 90}, tls: {mode: ISTIO_MUTUAL, sni: outbound_.90_._.a.x}}]"
		server  = "{hosts: [a.x], port: {name: https, number: 443, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: a}}"
	)
	swap := func(text string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(text) }
	tests := map[string]struct {
		reason, kind, before, after string
		want                        Effect
	}{
		"timeout":                 {"calls that took longer fail", "VirtualService", "{hosts: [a], http: [{timeout: 2s, " + to + "}]}", "{hosts: [a], http: [{timeout: 1ms, " + to + "}]}", Changes},
		"fault":                   {"calls fail", "VirtualService", "{hosts: [a], http: [{" + to + "}]}", "{hosts: [a], http: [{fault: {abort: {httpStatus: 500, percentage: {value: 100}}}, " + to + "}]}", Changes},
		"no timeout any more":     {"calls that ended do not", "VirtualService", "{hosts: [a], http: [{timeout: 2s, " + to + "}]}", "{hosts: [a], http: [{" + to + "}]}", Changes},
		"route before another":    {"calls go elsewhere", "VirtualService", "{hosts: [a], http: [{" + to + "}]}", "{hosts: [a], http: [{match: [{uri: {prefix: /new}}], route: [{destination: {host: b}}]}, {" + to + "}]}", Changes},
		"route of a further port": {"it had none", "VirtualService", "{hosts: [a], http: [{match: [{port: 80}], " + to + "}]}", "{hosts: [a], http: [{match: [{port: 80}], " + to + "}, {match: [{port: 90}], " + to + "}]}", Adds},
		"further host":            {"the other is routed as before", "VirtualService", "{hosts: [a], http: [{" + to + "}]}", "{hosts: [a, b], http: [{" + to + "}]}", Adds},
		"limit":                   {"calls fail", "DestinationRule", "{host: a, trafficPolicy: {connectionPool: {http: {http2MaxRequests: 2000}}}}", "{host: a, trafficPolicy: {connectionPool: {http: {http2MaxRequests: 1}}}}", Changes},
		"first limit":             {"calls fail", "DestinationRule", "{host: a}", "{host: a, trafficPolicy: {connectionPool: {http: {http2MaxRequests: 1}}}}", Changes},
		"TLS mode":                {"the other side may not speak it", "DestinationRule", "{host: a, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}", "{host: a, trafficPolicy: {tls: {mode: DISABLE}}}", Changes},
		"limit beside a subset":   {"one of the two is enough", "DestinationRule", "{host: a, trafficPolicy: {connectionPool: {tcp: {maxConnections: 9}}}}", "{host: a, trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}, subsets: [{name: v1, labels: {v: '1'}}]}", Changes},
		"for more callers":        {"they had another", "DestinationRule", "{host: a, workloadSelector: {matchLabels: {app: b}}}", "{host: a}", Changes},
		"through gateways":        {"calls went without", "DestinationRule", "{host: a, subsets: [{name: v1, labels: {v: '1'}}]}", "{host: a, trafficPolicy: {" + tunnel + "}, subsets: [{name: v1, labels: {v: '1'}}]}", Changes},
		"subset":                  {"nothing led to it", "DestinationRule", "{host: a, subsets: [{name: v2, labels: {v: '2'}}]}", "{host: a, subsets: [{name: v1, labels: {v: '1'}}, {name: v2, labels: {v: '2'}}]}", Adds},
		"labels of a subset":      {"other pods answer", "DestinationRule", "{host: a, subsets: [{name: v1, labels: {v: '2'}}]}", "{host: a, subsets: [{name: v1, labels: {v: '1'}}]}", Changes},
		"gateways on a further port": {
			"nobody could call it", "DestinationRule", "{host: a, trafficPolicy: {" + tunnel + "}, subsets: [{name: v1, trafficPolicy: {" + tunnel + "}}]}",
			"{host: a, trafficPolicy: {" + tunnel + ", " + further + "}, subsets: [{name: v1, trafficPolicy: {" + tunnel + ", " + further + "}}]}", Adds,
		},
		"endpoint":                   {"the other stays", "ServiceEntry", entry, swap(entry, "{address: 192.0.2.1}", "{address: 192.0.2.0}, {address: 192.0.2.1}"), Adds},
		"weight of an endpoint":      {"calls go elsewhere", "ServiceEntry", entry, swap(entry, "192.0.2.1", "192.0.2.1, weight: 9"), Changes},
		"first names to prove":       {"endpoints may not have them", "ServiceEntry", entry, swap(entry, "location", "subjectAltNames: [x], location"), Changes},
		"further name to prove":      {"the other is as good as before", "ServiceEntry", swap(entry, "location", "subjectAltNames: [x], location"), swap(entry, "location", "subjectAltNames: [x, y], location"), Adds},
		"another protocol":           {"the other side may not speak it", "ServiceEntry", entry, swap(entry, "protocol: HTTP", "protocol: TCP"), Changes},
		"further port":               {"the other stays", "ServiceEntry", entry, swap(entry, "protocol: HTTP}", "protocol: HTTP}, {name: grpc, number: 90, protocol: GRPC}"), Adds},
		"mark":                       {"no caller sees it", "ServiceEntry", entry, swap(entry, "{hosts", "{annotations: {note: x}, hosts"), Adds},
		"both":                       {"one endpoint comes and one goes", "ServiceEntry", entry, swap(entry, "192.0.2.1", "192.0.2.2"), Replaces},
		"endpoint that goes":         {"it only goes", "ServiceEntry", swap(entry, "{address: 192.0.2.1}", "{address: 192.0.2.0}, {address: 192.0.2.1}"), entry, Removes},
		"further caller":             {"the other is let in as before", "AuthorizationPolicy", pods, swap(pods, "[a]", "[a, b]"), Adds},
		"rule that demands less":     {"whoever fulfilled the other fulfils it", "AuthorizationPolicy", swap(pods, "}]}]}", "}], to: [{operation: {methods: [GET]}}]}]}"), pods, Adds},
		"caller that goes":           {"it only goes", "AuthorizationPolicy", swap(pods, "[a]", "[a, b]"), pods, Removes},
		"further host of a gateway":  {"the other is served as before", "Gateway", "{selector: {istio: g}, servers: [" + server + "]}", "{selector: {istio: g}, servers: [" + swap(server, "[a.x]", "[a.x, b.x]") + "]}", Adds},
		"certificate":                {"clients may not trust it", "Gateway", "{selector: {istio: g}, servers: [" + server + "]}", "{selector: {istio: g}, servers: [" + swap(server, "credentialName: a", "credentialName: b") + "]}", Changes},
		"further host that is seen":  {"the other is seen as before", "Sidecar", "{egress: [{hosts: [shop/a]}]}", "{egress: [{hosts: [shop/a, shop/b]}]}", Adds},
		"outbound traffic":           {"calls to hosts of nobody fail", "Sidecar", "{egress: [{hosts: [shop/a]}]}", "{outboundTrafficPolicy: {mode: REGISTRY_ONLY}, egress: [{hosts: [shop/a]}]}", Changes},
		"mTLS":                       {"calls without it fail", "PeerAuthentication", "{mtls: {mode: PERMISSIVE}}", "{mtls: {mode: STRICT}}", Changes},
		"target of a port of a stub": {"nothing may listen there", "Service", "{ports: [{name: http, port: 80, protocol: TCP, targetPort: 80}]}", "{ports: [{name: http, port: 80, protocol: TCP, targetPort: 81}]}", Changes},
		"further port of a stub":     {"the other stays", "Service", "{ports: [{name: http, port: 80, protocol: TCP, targetPort: 80}]}", "{ports: [{name: http, port: 80, protocol: TCP, targetPort: 80}, {name: grpc, port: 90, protocol: TCP, targetPort: 90}]}", Adds},
		"endpoint where there was none": {
			"nobody was answered", "ServiceEntry",
			"{labels: {isthmus.dev/no-endpoint: 'true'}, hosts: [a], location: MESH_INTERNAL, resolution: STATIC, ports: [{name: http, number: 80, protocol: HTTP}], workloadSelector: {labels: {isthmus.dev/no-endpoint: 'true'}}}",
			swap(entry, "location", "subjectAltNames: [x], location"), Adds,
		},
	}
	validator, err := istio.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			before, after := specimen(t, test.kind, test.before), specimen(t, test.kind, test.after)
			validator.Default(before)
			validator.Default(after)
			plan := Make(bundleOf(after), ourObjects(before), PlanOptions{Owner: testOwner, Prune: true, MaxPrunePercent: 100})
			if len(plan.Actions) != 1 || plan.Actions[0].Verb != Update {
				t.Fatalf("the plan is %v", verbs(plan))
			}
			action := plan.Actions[0]
			if action.Effect != test.want {
				t.Errorf("%s: it %s, and not %s", test.reason, action.Effect, test.want)
			}
			as := action
			as.Effect = Adds
			if steps, _ := stages(plan.Actions); test.want == Changes && (len(steps) != 1 || stageOf(action, true) != stageOf(as, true)) {
				t.Errorf("it is not written once, in the order of what widens")
			}
		})
	}
}
