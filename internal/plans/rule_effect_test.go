package plans_test

import (
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/nested"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/plantest"
)

func TestConflictingEntriesAreChangedInOnePhase(t *testing.T) {
	before, after, ordered := istiotest.ServiceEntry("shop", "cart", "gw.example.com"), istiotest.ServiceEntry("shop", "cart", "192.0.2.1"), istiotest.DestinationRule("shop", "cart")
	istiotest.Spec(before)["resolution"] = "DNS"
	nested.Map(nested.List(istiotest.Spec(after), "endpoints")[0])["locality"] = "eu"
	istiotest.Spec(ordered)["trafficPolicy"] = map[string]any{"loadBalancer": map[string]any{"localityLbSetting": map[string]any{"failoverPriority": []any{"a"}}}}
	plan := plans.Make(istiotest.Bundle(after, ordered), plantest.LiveState(before), plans.Options{Owner: plantest.Owner, Prune: true, MaxPrunePercent: 100})
	action := plan.Actions[0]
	if action.Key != render.KeyOf(after) || action.Effect != plans.Changes || action.NeedsTwoPhases() || plans.StageOf(action, true) > plans.LastAdditiveStage() {
		t.Errorf("%s %s, written twice: %v, at %d", action.Key, action.Effect, action.NeedsTwoPhases(), plans.StageOf(action, true))
	}
}

func TestEffectOfAnUpdate(t *testing.T) {
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
		want                        plans.Effect
	}{
		"timeout":                 {"calls that took longer fail", "VirtualService", "{hosts: [a], http: [{timeout: 2s, " + to + "}]}", "{hosts: [a], http: [{timeout: 1ms, " + to + "}]}", plans.Changes},
		"fault":                   {"calls fail", "VirtualService", "{hosts: [a], http: [{" + to + "}]}", "{hosts: [a], http: [{fault: {abort: {httpStatus: 500, percentage: {value: 100}}}, " + to + "}]}", plans.Changes},
		"no timeout any more":     {"calls that ended do not", "VirtualService", "{hosts: [a], http: [{timeout: 2s, " + to + "}]}", "{hosts: [a], http: [{" + to + "}]}", plans.Changes},
		"route before another":    {"calls go elsewhere", "VirtualService", "{hosts: [a], http: [{" + to + "}]}", "{hosts: [a], http: [{match: [{uri: {prefix: /new}}], route: [{destination: {host: b}}]}, {" + to + "}]}", plans.Changes},
		"route of a further port": {"it had none", "VirtualService", "{hosts: [a], http: [{match: [{port: 80}], " + to + "}]}", "{hosts: [a], http: [{match: [{port: 80}], " + to + "}, {match: [{port: 90}], " + to + "}]}", plans.Adds},
		"further host":            {"the other is routed as before", "VirtualService", "{hosts: [a], http: [{" + to + "}]}", "{hosts: [a, b], http: [{" + to + "}]}", plans.Adds},
		"limit":                   {"calls fail", "DestinationRule", "{host: a, trafficPolicy: {connectionPool: {http: {http2MaxRequests: 2000}}}}", "{host: a, trafficPolicy: {connectionPool: {http: {http2MaxRequests: 1}}}}", plans.Changes},
		"first limit":             {"calls fail", "DestinationRule", "{host: a}", "{host: a, trafficPolicy: {connectionPool: {http: {http2MaxRequests: 1}}}}", plans.Changes},
		"TLS mode":                {"the other side may not speak it", "DestinationRule", "{host: a, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}", "{host: a, trafficPolicy: {tls: {mode: DISABLE}}}", plans.Changes},
		"limit beside a subset":   {"one of the two is enough", "DestinationRule", "{host: a, trafficPolicy: {connectionPool: {tcp: {maxConnections: 9}}}}", "{host: a, trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}, subsets: [{name: v1, labels: {v: '1'}}]}", plans.Changes},
		"for more callers":        {"they had another", "DestinationRule", "{host: a, workloadSelector: {matchLabels: {app: b}}}", "{host: a}", plans.Changes},
		"through gateways":        {"calls went without", "DestinationRule", "{host: a, subsets: [{name: v1, labels: {v: '1'}}]}", "{host: a, trafficPolicy: {" + tunnel + "}, subsets: [{name: v1, labels: {v: '1'}}]}", plans.Changes},
		"subset":                  {"nothing led to it", "DestinationRule", "{host: a, subsets: [{name: v2, labels: {v: '2'}}]}", "{host: a, subsets: [{name: v1, labels: {v: '1'}}, {name: v2, labels: {v: '2'}}]}", plans.Adds},
		"labels of a subset":      {"other pods answer", "DestinationRule", "{host: a, subsets: [{name: v1, labels: {v: '2'}}]}", "{host: a, subsets: [{name: v1, labels: {v: '1'}}]}", plans.Changes},
		"gateways on a further port": {
			"nobody could call it", "DestinationRule", "{host: a, trafficPolicy: {" + tunnel + "}, subsets: [{name: v1, trafficPolicy: {" + tunnel + "}}]}",
			"{host: a, trafficPolicy: {" + tunnel + ", " + further + "}, subsets: [{name: v1, trafficPolicy: {" + tunnel + ", " + further + "}}]}", plans.Adds,
		},
		"endpoint":                   {"the other stays", "ServiceEntry", entry, swap(entry, "{address: 192.0.2.1}", "{address: 192.0.2.0}, {address: 192.0.2.1}"), plans.Adds},
		"weight of an endpoint":      {"calls go elsewhere", "ServiceEntry", entry, swap(entry, "192.0.2.1", "192.0.2.1, weight: 9"), plans.Changes},
		"first names to prove":       {"endpoints may not have them", "ServiceEntry", entry, swap(entry, "location", "subjectAltNames: [x], location"), plans.Changes},
		"further name to prove":      {"the other is as good as before", "ServiceEntry", swap(entry, "location", "subjectAltNames: [x], location"), swap(entry, "location", "subjectAltNames: [x, y], location"), plans.Adds},
		"another protocol":           {"the other side may not speak it", "ServiceEntry", entry, swap(entry, "protocol: HTTP", "protocol: TCP"), plans.Changes},
		"further port":               {"the other stays", "ServiceEntry", entry, swap(entry, "protocol: HTTP}", "protocol: HTTP}, {name: grpc, number: 90, protocol: GRPC}"), plans.Adds},
		"mark":                       {"no caller sees it", "ServiceEntry", entry, swap(entry, "{hosts", "{annotations: {note: x}, hosts"), plans.Adds},
		"both":                       {"one endpoint comes and one goes", "ServiceEntry", entry, swap(entry, "192.0.2.1", "192.0.2.2"), plans.Replaces},
		"endpoint that goes":         {"it only goes", "ServiceEntry", swap(entry, "{address: 192.0.2.1}", "{address: 192.0.2.0}, {address: 192.0.2.1}"), entry, plans.Removes},
		"further caller":             {"the other is let in as before", "AuthorizationPolicy", pods, swap(pods, "[a]", "[a, b]"), plans.Adds},
		"rule that demands less":     {"whoever fulfilled the other fulfils it", "AuthorizationPolicy", swap(pods, "}]}]}", "}], to: [{operation: {methods: [GET]}}]}]}"), pods, plans.Adds},
		"caller that goes":           {"it only goes", "AuthorizationPolicy", swap(pods, "[a]", "[a, b]"), pods, plans.Removes},
		"further host of a gateway":  {"the other is served as before", "Gateway", "{selector: {istio: g}, servers: [" + server + "]}", "{selector: {istio: g}, servers: [" + swap(server, "[a.x]", "[a.x, b.x]") + "]}", plans.Adds},
		"certificate":                {"clients may not trust it", "Gateway", "{selector: {istio: g}, servers: [" + server + "]}", "{selector: {istio: g}, servers: [" + swap(server, "credentialName: a", "credentialName: b") + "]}", plans.Changes},
		"further host that is seen":  {"the other is seen as before", "Sidecar", "{egress: [{hosts: [shop/a]}]}", "{egress: [{hosts: [shop/a, shop/b]}]}", plans.Adds},
		"outbound traffic":           {"calls to hosts of nobody fail", "Sidecar", "{egress: [{hosts: [shop/a]}]}", "{outboundTrafficPolicy: {mode: REGISTRY_ONLY}, egress: [{hosts: [shop/a]}]}", plans.Changes},
		"mTLS":                       {"calls without it fail", "PeerAuthentication", "{mtls: {mode: PERMISSIVE}}", "{mtls: {mode: STRICT}}", plans.Changes},
		"target of a port of a stub": {"nothing may listen there", "Service", "{ports: [{name: http, port: 80, protocol: TCP, targetPort: 80}]}", "{ports: [{name: http, port: 80, protocol: TCP, targetPort: 81}]}", plans.Changes},
		"further port of a stub":     {"the other stays", "Service", "{ports: [{name: http, port: 80, protocol: TCP, targetPort: 80}]}", "{ports: [{name: http, port: 80, protocol: TCP, targetPort: 80}, {name: grpc, port: 90, protocol: TCP, targetPort: 90}]}", plans.Adds},
		"endpoint where there was none": {
			"nobody was answered", "ServiceEntry",
			"{labels: {isthmus.dev/no-endpoint: 'true'}, hosts: [a], location: MESH_INTERNAL, resolution: STATIC, ports: [{name: http, number: 80, protocol: HTTP}], workloadSelector: {labels: {isthmus.dev/no-endpoint: 'true'}}}",
			swap(entry, "location", "subjectAltNames: [x], location"), plans.Adds,
		},
	}
	validator, err := istio.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			before, after := istiotest.Parse(t, test.kind, test.before), istiotest.Parse(t, test.kind, test.after)
			validator.Default(before)
			validator.Default(after)
			plan := plans.Make(istiotest.Bundle(after), plantest.LiveState(before), plans.Options{Owner: plantest.Owner, Prune: true, MaxPrunePercent: 100})
			if len(plan.Actions) != 1 || plan.Actions[0].Verb != plans.Update {
				t.Fatalf("the plan is %v", plantest.Verbs(plan))
			}
			action := plan.Actions[0]
			if action.Effect != test.want {
				t.Errorf("%s: it %s, and not %s", test.reason, action.Effect, test.want)
			}
			as := action
			as.Effect = plans.Adds
			if steps, _ := plans.Stages(plan.Actions); test.want == plans.Changes && (len(steps) != 1 || plans.StageOf(action, true) != plans.StageOf(as, true)) {
				t.Errorf("it is not written once, in the order of what widens")
			}
		})
	}
}
