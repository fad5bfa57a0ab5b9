package meshmodule_test

import "testing"

// What callers in one cluster know of a service: who takes its calls, in which order, and as whom.
func TestWhatACallerGets(t *testing.T) {
	renders(t, []rendering{
		{
			"the nearest cluster first: same zone, same region, elsewhere",
			selected + "services: api: placement: {b: {}, b2: {}, c: {}}", "a", remote,
			[]string{"spec", "endpoints", "labels"},
			[]any{ranked("b", 2), ranked("b2", 1), ranked("c", 3)},
		},
		{
			"the ranks in the order in which Envoy compares them",
			selected + "services: api: placement: {b: {}, b2: {}, c: {}}", "a", rule,
			[]string{"spec", "trafficPolicy", "loadBalancer", "localityLbSetting", "failoverPriority"},
			[]any{"isthmus.dev/failover-3", "isthmus.dev/failover-2", "isthmus.dev/failover-1"},
		},
		{
			"a standby comes last, wherever it is",
			selected + "services: api: placement: {b2: standby: true, c: {}}", "a", remote,
			[]string{"spec", "endpoints", "labels"},
			[]any{ranked("b2", 4), ranked("c", 3)},
		},
		{
			"one cluster elsewhere needs no order",
			selected + "services: api: placement: c: {}", "a", rule,
			[]string{"spec", "trafficPolicy", "loadBalancer"},
			nil,
		},
		{
			"local pods come before the only other cluster",
			selected + "services: api: placement: {a: {}, c: {}}", "a", rule,
			[]string{"spec", "trafficPolicy", "loadBalancer", "localityLbSetting", "failoverPriority"},
			[]any{"isthmus.dev/failover-3"},
		},
		{
			"weights instead of distance",
			selected + "services: api: placement: {b2: weight: 70, c: weight: 30}", "a", remote,
			[]string{"spec", "endpoints", "weight"},
			[]any{int64(70), int64(30)},
		},
		{
			"weights without an order go round robin over all, which fails over",
			selected + "services: api: placement: {b2: weight: 70, c: weight: 30}", "a", rule,
			[]string{"spec", "trafficPolicy", "loadBalancer"},
			map[string]any{"simple": "ROUND_ROBIN", "localityLbSetting": map[string]any{"enabled": false}},
		},
		{
			"shares hold with different numbers of gateways",
			selected + "clusters: c: gateways: [{address: \"192.0.2.4\"}, {address: \"192.0.2.5\"}]\nservices: api: placement: {b2: weight: 70, c: weight: 30}", "a", remote,
			[]string{"spec", "endpoints", "weight"},
			[]any{int64(4200), int64(900), int64(900)},
		},
		{
			"a draining cluster gets no new calls",
			selected + "clusters: b: state: \"draining\"\nservices: api: placement: {b: {}, c: {}}", "a", remote,
			[]string{"spec", "endpoints", "address"},
			[]any{"192.0.2.4"},
		},
		{
			"a cluster that is down is not counted on",
			selected + "clusters: b: state: \"down\"\nservices: api: placement: {b: {}, c: {}}", "a", remote,
			[]string{"spec", "endpoints", "address"},
			[]any{"192.0.2.4"},
		},
		{
			"a draining cluster goes on calling",
			selected + "clusters: a: state: \"draining\"\nservices: api: placement: c: {}", "a", remote,
			[]string{"spec", "endpoints", "address"},
			[]any{"192.0.2.4"},
		},
		{
			"a draining cluster goes on publishing for who has not heard of it",
			selected + "clusters: b: state: \"draining\"\nservices: api: placement: {b: {}, c: {}}", "b", exported,
			[]string{"spec", "hosts"},
			[]any{"api.example.com.isthmus.internal"},
		},
		{
			"with every publisher draining the name stays one of the mesh, so that a call fails in it and does not leave it",
			selected + "clusters: c: state: \"draining\"\nservices: api: placement: c: {}", "a", remote,
			[]string{"spec", "workloadSelector", "labels"},
			map[string]any{"isthmus.dev/no-endpoint": "true"},
		},
		{
			"nothing is published to nobody",
			selected + "services: api: placement: a: {}", "a", exported, nil, nil,
		},
		{
			"only local: the name works at home too",
			selected + "services: api: placement: a: {}", "a", local,
			[]string{"spec", "workloadSelector", "labels"},
			map[string]any{"app": "api"},
		},
		{
			"only local: no policy of ours",
			selected + "services: api: placement: a: {}", "a", rule, nil, nil,
		},
		{
			"a gateway with a name makes the remote half DNS",
			selected + "clusters: c: gateways: [{address: \"lb.example.com\"}]\nservices: api: placement: {a: {}, c: {}}", "a", remote,
			[]string{"spec", "resolution"},
			"DNS",
		},
		{
			"and the local half with it",
			selected + "clusters: c: gateways: [{address: \"lb.example.com\"}]\nservices: api: placement: {a: {}, c: {}}", "a", local,
			[]string{"spec", "resolution"},
			"DNS",
		},
		{
			"names that proxies resolve are ordered by their labels, within one locality",
			selected + "clusters: c: gateways: [{address: \"lb.example.com\"}]\nservices: api: placement: {b: {}, c: {}}", "a", remote,
			[]string{"spec", "endpoints", "locality"},
			[]any{nil, nil},
		},
		{
			"nearest first all the same",
			selected + "clusters: c: gateways: [{address: \"lb.example.com\"}]\nservices: api: placement: {b: {}, c: {}}", "a", rule, order,
			[]any{"isthmus.dev/failover-3", "isthmus.dev/failover-2"},
		},
		{
			"beside pods, which have localities, in two steps of it",
			selected + "clusters: c: gateways: [{address: \"lb.example.com\"}]\nservices: api: placement: {a: {}, b: {}, c: {}}", "a", remote,
			[]string{"spec", "endpoints", "locality"},
			[]any{"isthmus-near", "isthmus-far"},
		},
		{
			"from the own region to the near step",
			selected + "clusters: c: gateways: [{address: \"lb.example.com\"}]\nservices: api: placement: {a: {}, b: {}, c: {}}", "a", rule,
			[]string{"spec", "trafficPolicy", "loadBalancer", "localityLbSetting"},
			map[string]any{"enabled": true, "failover": []any{map[string]any{"from": "r1", "to": "isthmus-near"}}},
		},
		{
			"a standby is the far step",
			selected + "clusters: c: gateways: [{address: \"lb.example.com\"}]\nservices: api: placement: {a: {}, b: {}, c: standby: true, b2: {}}", "a", remote,
			[]string{"spec", "endpoints", "locality"},
			[]any{"isthmus-near", "isthmus-near", "isthmus-far"},
		},
		{
			"gateways of another port",
			selected + "clusters: c: gateways: [{address: \"192.0.2.4\", port: 443}]\nservices: api: placement: c: {}", "a", remote,
			[]string{"spec", "endpoints", "ports"},
			[]any{map[string]any{"http-isthmus-80": int64(443)}},
		},
		{
			"a cluster of another network is named by it",
			selected + "services: api: placement: c: {}", "a", remote,
			[]string{"spec", "endpoints", "network"},
			[]any{"c"},
		},
		{
			"a gateway of the own network is an address like any",
			selected + "clusters: {a: network: \"n\", c: network: \"n\"}\nservices: api: placement: c: {}", "a", remote,
			[]string{"spec", "endpoints", "network"},
			[]any{nil},
		},
		{
			"a TCP port needs a virtual address, the same in every cluster",
			selected + "services: api: {ports: http: protocol: \"TCP\", placement: {a: {}, c: {}}}", "a", remote,
			[]string{"spec", "addresses"},
			[]any{"243.80.100.217"},
		},
		{
			"both halves have it",
			selected + "services: api: {ports: http: protocol: \"TCP\", placement: {a: {}, c: {}}}", "a", local,
			[]string{"spec", "addresses"},
			[]any{"243.80.100.217"},
		},
		{
			"a virtual address of one's own",
			selected + "services: api: {vip: \"241.0.0.7\", placement: c: {}}", "a", remote,
			[]string{"spec", "addresses"},
			[]any{"241.0.0.7"},
		},
		{
			"where the sidecars answer for names, every host needs an address",
			selected + "clusters: a: dns: \"capture\"\nservices: api: placement: c: {}", "a", remote,
			[]string{"spec", "addresses"},
			[]any{"243.80.100.217"},
		},
		{
			"elsewhere an address would hide the public one",
			selected + "clusters: c: dns: \"capture\"\nservices: api: placement: c: {}", "a", remote,
			[]string{"spec", "addresses"},
			nil,
		},
		{
			"pods on standby at home come behind every active cluster, and before a standby elsewhere",
			selected + "services: api: placement: {a: standby: true, b: {}, c: {}, b2: standby: true}", "a", rule,
			[]string{"spec", "trafficPolicy", "loadBalancer", "localityLbSetting", "failoverPriority"},
			[]any{"isthmus.dev/failover-4", "isthmus.dev/active=true", "isthmus.dev/failover-3", "isthmus.dev/failover-2"},
		},
		{
			"which the active ones then say of themselves",
			selected + "services: api: placement: {a: standby: true, b: {}, b2: standby: true}", "a", remote,
			[]string{"spec", "endpoints", "labels", "isthmus.dev/active"},
			[]any{"true", nil},
		},
		{
			"a cluster's share does not grow with its versions",
			selected + "services: api: placement: {b2: weight: 70, c: weight: 30}", "a", remote,
			[]string{"spec", "endpoints", "locality"},
			[]any{nil, nil},
		},
		{
			"no address without need",
			selected + "services: api: placement: c: {}", "a", remote,
			[]string{"spec", "addresses"},
			nil,
		},
		{
			"the identities of all publishers, whatever their namespace and trust domain",
			selected + "clusters: c: trustDomain: \"c.example.com\"\nservices: api: placement: {b: {}, c: backend: {namespace: \"api2\", serviceAccounts: [\"x\", \"y\"]}}", "a", remote,
			[]string{"spec", "subjectAltNames"},
			[]any{"spiffe://c.example.com/ns/api2/sa/x", "spiffe://c.example.com/ns/api2/sa/y", "spiffe://cluster.local/ns/api/sa/api"},
		},
		{
			"a Kubernetes Service is published by its DNS name, which has to say that it speaks mTLS",
			"services: api: {backend: service: \"api-v1\", ports: http: targetPort: 8080, placement: c: {}}", "c", exported,
			[]string{"spec", "endpoints"},
			[]any{map[string]any{"address": "api-v1.api.svc.cluster.local", "ports": map[string]any{"http-isthmus-80": int64(8080)}, "labels": map[string]any{"security.istio.io/tlsMode": "istio", "isthmus.dev/cluster": "c"}}},
		},
		{
			"other pods in one cluster",
			selected + "services: api: placement: c: backend: {namespace: \"api2\", selector: app: \"legacy\"}", "c", "ServiceEntry/api2/api.example.com.isthmus.internal",
			[]string{"spec", "workloadSelector", "labels"},
			map[string]any{"app": "legacy"},
		},
		{
			"only callers see an entry",
			selected + "services: api: placement: c: {}", "a", remote,
			[]string{"spec", "exportTo"},
			[]any{"app"},
		},
		{
			"only the gateway sees an export",
			selected + "services: api: placement: c: {}", "c", exported,
			[]string{"spec", "exportTo"},
			[]any{"istio-system"},
		},
		{
			"an owner's policy instead of ours",
			selected + "services: api: {traffic: outlierDetection: consecutive5xxErrors: 7, placement: c: {}}", "a", rule,
			[]string{"spec", "trafficPolicy", "outlierDetection"},
			map[string]any{"consecutive5xxErrors": int64(7)},
		},
		{
			"an owner's locality setting is not mixed with ours",
			selected + "services: api: {traffic: loadBalancer: localityLbSetting: enabled: false, placement: {a: {}, c: {}}}", "a", rule,
			[]string{"spec", "trafficPolicy", "loadBalancer"},
			map[string]any{"localityLbSetting": map[string]any{"enabled": false}},
		},
		{
			"each version behind each gateway",
			selected + "services: api: {versions: {v1: labels: version: \"v1\", v2: labels: version: \"v2\"}, placement: {b: versions: [\"v1\"], c: {}}}", "a", remote,
			[]string{"spec", "endpoints", "labels", "version"},
			[]any{"v1", "v1", "v2"},
		},
		{
			"the gateway is asked for the version",
			selected + "services: api: {versions: {v1: labels: version: \"v1\", v2: labels: version: \"v2\"}, placement: c: {}}", "a", rule,
			[]string{"spec", "subsets", "trafficPolicy", "tls", "sni"},
			[]any{"outbound_.80_.v1_.api.example.com.isthmus.internal", "outbound_.80_.v2_.api.example.com.isthmus.internal"},
		},
	})
}
