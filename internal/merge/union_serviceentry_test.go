package merge

import "testing"

func TestUnionOfServiceEntriesLosesNothing(t *testing.T) {
	const (
		entry   = "hosts: [cart.example.com]\nlocation: MESH_INTERNAL\nports: [{number: 80, name: http, protocol: HTTP}]\n"
		a       = "{address: 192.0.2.1, ports: {http: 15443}, labels: {v: a}}"
		b       = "{address: 192.0.2.2, ports: {http: 15443}, labels: {v: b}}"
		name    = "{address: gw.example.com, ports: {http: 15443}}"
		nothing = "resolution: STATIC\nlabels: {isthmus.dev/no-endpoint: 'true'}\nworkloadSelector: {labels: {isthmus.dev/no-endpoint: 'true'}}"
		appPods = "hosts: [cart.example.com]\nlocation: MESH_INTERNAL\nworkloadSelector: {labels: {app: cart}}\n" +
			"ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]\n"

		external = "location: MESH_EXTERNAL\nports: [{number: 443, name: tls, protocol: TLS}]\n"
		database = "location: MESH_EXTERNAL\nresolution: DNS\nports: [{number: 5432, name: tcp, protocol: TCP}]\n"
		socket   = "hosts: [a.example.com]\nlocation: MESH_EXTERNAL\nresolution: STATIC\nendpoints: [{address: 'unix:///run/a'}]\n"

		internal = "hosts: [a.example.com]\nlocation: MESH_INTERNAL\nresolution: STATIC\n"
		port80   = "{number: 80, name: http-80, protocol: HTTP}"
		port90   = "{number: 90, name: http-90, protocol: HTTP}"
		remote   = "labels: {isthmus.dev/remote: 'true'}"
	)
	testUnions(t, "ServiceEntry", map[string]unionCase{
		"equal": {
			reason:  "nothing is lost",
			desired: entry + "resolution: STATIC\nendpoints: [" + a + "]", live: entry + "resolution: STATIC\nendpoints: [" + a + "]",
			wantSide: theDesired,
		},
		"desired has more": {
			reason:  "nothing is lost",
			desired: entry + "resolution: STATIC\nendpoints: [" + a + "," + b + "]", live: entry + "resolution: STATIC\nendpoints: [" + b + "]",
			wantSide: theDesired,
		},
		"live has more": {
			reason:  "the live object has everything, in another order",
			desired: entry + "exportTo: [a]\nresolution: STATIC\nsubjectAltNames: [x]\nendpoints: [" + a + "]",
			live: entry + "exportTo: [a, z]\nresolution: STATIC\naddresses: [241.0.0.1]\nsubjectAltNames: [x, z]\n" +
				"endpoints: [" + b + ", " + a + "]",
			wantSide: theLive,
		},
		"lists": {
			reason: "hosts, addresses, subjectAltNames and exportTo are united, and stay sorted if they are",
			desired: `{hosts: [a.example.com, d.example.com], addresses: [241.0.0.2], exportTo: [a, c], subjectAltNames: [z, x],
				location: MESH_INTERNAL, resolution: STATIC}`,
			live: `{hosts: [c.example.com, a.example.com], addresses: [241.0.0.1], exportTo: [b], subjectAltNames: [x, w],
				location: MESH_INTERNAL, resolution: STATIC}`,
			want: `{hosts: [a.example.com, c.example.com, d.example.com], addresses: [241.0.0.1, 241.0.0.2],
				exportTo: [a, b, c], subjectAltNames: [z, x, w], location: MESH_INTERNAL, resolution: STATIC}`,
		},
		"live exported to all namespaces": {
			reason:  "all namespaces include the desired ones",
			desired: entry + "resolution: STATIC\nexportTo: [a, b]", live: entry + "resolution: STATIC\nexportTo: ['*']",
			wantSide: theLive,
		},
		"desired exported to all namespaces": {
			reason:  "all namespaces include the live ones",
			desired: entry + "resolution: STATIC\nexportTo: ['*']", live: entry + "resolution: STATIC\nexportTo: [a]",
			wantSide: theDesired,
		},
		"live without exportTo": {
			reason:  "the default of the mesh mostly is all namespaces, and otherwise not the desired ones",
			desired: entry + "resolution: STATIC\nexportTo: [a]", live: entry + "resolution: STATIC",
			want: entry + "resolution: STATIC\nexportTo: ['*']",
		},
		"own namespace by name and by dot": {
			reason:  "Istio rejects a list with both",
			desired: entry + "resolution: STATIC\nexportTo: [shop]", live: entry + "resolution: STATIC\nexportTo: ['.', pay]",
			want: entry + "resolution: STATIC\nexportTo: [pay, shop]",
		},
		"live exported to no namespace": {
			reason:  "nothing is lost",
			desired: entry + "resolution: STATIC\nexportTo: [a]", live: entry + "resolution: STATIC\nexportTo: ['~']",
			wantSide: theDesired,
		},
		"desired exported to no namespace": {
			reason:  "no namespace excludes all others",
			desired: entry + "resolution: STATIC\nexportTo: ['~']", live: entry + "resolution: STATIC\nexportTo: [a]",
			wantSide: theLive,
		},
		"another address and another weight": {
			reason:  "another address is another endpoint, another weight is not",
			desired: entry + "resolution: STATIC\nendpoints: [{address: 192.0.2.1, labels: {v: a}, ports: {http: 15443}, weight: 5}, " + b + "]",
			live:    entry + "resolution: STATIC\nendpoints: [" + a + ", {address: 192.0.2.9, labels: {v: a}}]",
			want: entry + "resolution: STATIC\nendpoints: [{address: 192.0.2.1, labels: {v: a}, ports: {http: 15443}, weight: 5}, " +
				"{address: 192.0.2.9, labels: {v: a}}, " + b + "]",
		},
		"no desired endpoint": {
			reason:   "the live endpoints stay with their resolution and names",
			desired:  entry + nothing + "\nsubjectAltNames: []",
			live:     entry + "resolution: DNS\nsubjectAltNames: [x]\nendpoints: [" + a + ", " + name + "]",
			wantSide: theLive,
		},
		"no desired pods": {
			reason:  "the selector stays with the port of the pods",
			desired: entry + nothing, live: appPods + "resolution: STATIC",
			wantSide: theLive,
		},
		"first endpoint": {
			reason:  "the live selector matches no pod, so nothing is lost",
			desired: entry + "resolution: STATIC\nendpoints: [" + a + "]", live: entry + nothing,
			wantSide: theDesired,
		},
		"other pods": {
			reason:  "one selector cannot select both",
			desired: entry + "resolution: STATIC\nexportTo: [a]\nworkloadSelector: {labels: {app: b}}",
			live:    entry + "resolution: STATIC\nexportTo: [b]\nworkloadSelector: {labels: {app: a}}",
			want:    entry + "resolution: STATIC\nexportTo: [a, b]\nworkloadSelector: {labels: {app: a}}",
		},
		"more pods": {
			reason:   "a selector with fewer labels selects all pods of the live one",
			desired:  entry + "resolution: STATIC\nworkloadSelector: {labels: {app: a}}",
			live:     entry + "resolution: STATIC\nworkloadSelector: {labels: {app: a, v: '1'}}",
			wantSide: theDesired,
		},
		"a Service instead of pods": {
			reason:  "endpoints exclude a selector; the other entry of the host will use DNS, so this one does as well",
			desired: entry + "resolution: DNS\nendpoints: [{address: cart.shop.svc.cluster.local}]",
			live:    appPods + "resolution: STATIC",
			want:    appPods + "resolution: DNS",
		},
		"pods instead of a Service": {
			reason:   "the name stays, with DNS",
			desired:  appPods + "resolution: STATIC",
			live:     entry + "resolution: DNS\nendpoints: [{address: cart.shop.svc.cluster.local}]",
			wantSide: theLive,
		},
		"addresses instead of a name": {
			reason:  "STATIC takes no names",
			desired: entry + "resolution: STATIC\nendpoints: [" + a + "]", live: entry + "resolution: DNS\nendpoints: [" + name + "]",
			want: entry + "resolution: DNS\nendpoints: [" + name + ", " + a + "]",
		},
		"a name instead of addresses": {
			reason:  "DNS takes addresses",
			desired: entry + "resolution: DNS\nendpoints: [" + name + "]", live: entry + "resolution: STATIC\nendpoints: [" + a + "]",
			want: entry + "resolution: DNS\nendpoints: [" + a + ", " + name + "]",
		},
		"another single name": {
			reason:  "DNS_ROUND_ROBIN takes one endpoint only",
			desired: entry + "resolution: DNS_ROUND_ROBIN\nendpoints: [" + name + "]",
			live:    entry + "resolution: DNS_ROUND_ROBIN\nendpoints: [{address: old.example.com}]",
			want:    entry + "resolution: DNS\nendpoints: [{address: old.example.com}, " + name + "]",
		},
		"endpoints instead of the host itself": {
			reason:   "the live endpoint is the host",
			desired:  external + "hosts: [api.example.com]\nresolution: STATIC\nendpoints: [{address: 192.0.2.1}]",
			live:     external + "hosts: [api.example.com]\nresolution: DNS",
			wantSide: theLive,
		},
		"a name and a live network": {
			reason:  "DNS takes no network, so the live resolution stays; the desired host is added",
			desired: external + "hosts: [api.example.com]\nresolution: DNS",
			live:    external + "hosts: [old.example.com]\naddresses: [198.51.100.0/24]\nresolution: NONE",
			want:    external + "hosts: [api.example.com, old.example.com]\naddresses: [198.51.100.0/24]\nresolution: NONE",
		},
		"several hosts on a TCP port": {
			reason:  "Istio cannot tell which host is called, so the live entry stays",
			desired: database + "hosts: [db.example.com]", live: database + "hosts: [old.example.com]",
			wantSide: theLive,
		},
		"a socket on another port": {
			reason:   "a socket has one port, so the live entry stays",
			desired:  socket + "ports: [{number: 80, name: http, protocol: HTTP}]",
			live:     socket + "ports: [{number: 90, name: http-90, protocol: HTTP}]",
			wantSide: theLive,
		},
		"removed port": {
			reason: "the port stays, and new gateways have it as well",
			desired: internal + "ports: [" + port80 + "]\nendpoints: [" +
				"{address: 192.0.2.1, ports: {http-80: 15443}, " + remote + "}, {address: 192.0.2.2, ports: {http-80: 15444}, " + remote + "}]",
			live: internal + "ports: [" + port80 + ", " + port90 + "]\nendpoints: [" +
				"{address: 192.0.2.1, ports: {http-80: 15443, http-90: 15443}, " + remote + "}]",
			want: internal + "ports: [" + port80 + ", " + port90 + "]\nendpoints: [" +
				"{address: 192.0.2.1, ports: {http-80: 15443, http-90: 15443}, " + remote + "}, " +
				"{address: 192.0.2.2, ports: {http-80: 15444, http-90: 15444}, " + remote + "}]",
		},
		"new port": {
			reason: "gateways that stay have the new port; an endpoint without a target is called on the number of the port",
			desired: internal + "ports: [" + port80 + ", " + port90 + "]\nendpoints: [" +
				"{address: 192.0.2.1, ports: {http-80: 15443, http-90: 15443}, " + remote + "}]",
			live: internal + "ports: [" + port80 + "]\nendpoints: [" +
				"{address: 192.0.2.1, ports: {http-80: 15443}, " + remote + "}, {address: 192.0.2.2, ports: {http-80: 15443}, " + remote + "}, " +
				"{address: 192.0.2.3, ports: {http-80: 8080}}]",
			want: internal + "ports: [" + port80 + ", " + port90 + "]\nendpoints: [" +
				"{address: 192.0.2.1, ports: {http-80: 15443, http-90: 15443}, " + remote + "}, " +
				"{address: 192.0.2.2, ports: {http-80: 15443, http-90: 15443}, " + remote + "}, {address: 192.0.2.3, ports: {http-80: 8080}}]",
		},
		"another protocol": {
			reason:  "a number has one port, the desired one, and live endpoints use its name",
			desired: internal + "ports: [{number: 80, name: tcp-80, protocol: TCP}]\nendpoints: [{address: 192.0.2.1, ports: {tcp-80: 15443}}]",
			live: internal + "ports: [" + port80 + "]\nendpoints: [" +
				"{address: 192.0.2.1, ports: {http-80: 15443}}, {address: 192.0.2.2, ports: {http-80: 15443}}]",
			want: internal + "ports: [{number: 80, name: tcp-80, protocol: TCP}]\nendpoints: [" +
				"{address: 192.0.2.1, ports: {tcp-80: 15443}}, {address: 192.0.2.2, ports: {tcp-80: 15443}}]",
		},
		"another targetPort": {
			reason:  "live endpoints keep the target that they had by default",
			desired: internal + "ports: [{number: 80, name: http, protocol: HTTP, targetPort: 9090}]\nendpoints: [{address: 192.0.2.1}]",
			live:    internal + "ports: [{number: 80, name: http, protocol: HTTP}]\nendpoints: [{address: 192.0.2.2}]",
			want: internal + "ports: [{number: 80, name: http, protocol: HTTP, targetPort: 9090}]\n" +
				"endpoints: [{address: 192.0.2.2, ports: {http: 80}}, {address: 192.0.2.1}]",
		},
		"another number of the same name": {
			reason:  "both numbers are called, so the live port gets another name",
			desired: internal + "ports: [{number: 8080, name: http, protocol: HTTP}]\nendpoints: [{address: 192.0.2.1, ports: {http: 1}}]",
			live:    internal + "ports: [{number: 80, name: http, protocol: HTTP}]\nendpoints: [{address: 192.0.2.1, ports: {http: 1}}]",
			want: internal + "ports: [{number: 80, name: http-80, protocol: HTTP}, {number: 8080, name: http, protocol: HTTP}]\n" +
				"endpoints: [{address: 192.0.2.1, ports: {http: 1, http-80: 1}}]",
		},
	})
}
