package merge

import "testing"

func TestUnionOfAuthorizationPoliciesDeniesNoMore(t *testing.T) {
	const (
		on     = "selector: {matchLabels: {app: a}}\n"
		port80 = "to: [{operation: {ports: ['80']}}]"
		ports  = "to: [{operation: {ports: ['80', '90']}}]"
	)
	from := func(principals string) string { return "from: [{source: {principals: [" + principals + "]}}]" }
	testUnions(t, "AuthorizationPolicy", map[string]unionCase{
		"principals": {
			reason:  "principals of rules that are equal otherwise are united",
			desired: on + "rules: [{" + from("a, c") + ", " + port80 + "}]",
			live:    on + "rules: [{" + from("b, c") + ", " + port80 + "}]",
			want:    on + "rules: [{" + from("a, b, c") + ", " + port80 + "}]",
		},
		"other operations": {
			reason:  "a live rule stays only if no desired rule grants as much",
			desired: on + "rules: [{" + from("a, b") + ", " + ports + "}, {" + from("c") + "}]",
			live: on + "rules: [{" + from("a") + ", " + port80 + "}, {" + from("d") + ", " + port80 + "}, " +
				"{" + from("c") + ", to: [{operation: {methods: [GET]}}]}]",
			want: on + "rules: [{" + from("d") + ", " + port80 + "}, {" + from("a, b") + ", " + ports + "}, {" + from("c") + "}]",
		},
		"no desired caller": {
			reason:  "a policy without rules denies all callers",
			desired: on, live: on + "rules: [{" + from("a") + "}]",
			want: on + "rules: [{" + from("a") + "}]",
		},
		"all live callers": {
			reason:  "a rule without conditions allows all callers",
			desired: on + "rules: [{" + from("a") + "}]", live: on + "rules: [{}]",
			want: on + "rules: [{}, {" + from("a") + "}]",
		},
		"no live caller": {reason: "nothing is lost", desired: on + "rules: [{}]", live: on, wantSide: theDesired},
		"conditions other than principals": {
			reason:  "a rule with more conditions or exceptions grants less",
			desired: on + "rules: [{from: [{source: {namespaces: [a], notPrincipals: [x]}}], when: [{key: k, values: [v]}]}]",
			live: on + `rules: [{from: [{source: {namespaces: [a], notPrincipals: [x, z]}}],
				when: [{key: k, values: [v]}, {key: l, values: [w]}]}, {from: [{source: {namespaces: [a]}}]}]`,
			want: on + `rules: [{from: [{source: {namespaces: [a]}}]},
				{from: [{source: {namespaces: [a], notPrincipals: [x]}}], when: [{key: k, values: [v]}]}]`,
		},
		"other pods": {
			reason:  "the first policy of a workload denies all other callers",
			desired: "selector: {matchLabels: {app: b}}\nrules: [{}]", live: on,
			want: on + "rules: [{}]",
		},
		"fewer pods": {
			reason:  "a workload without a policy allows all callers",
			desired: "selector: {matchLabels: {app: a, v: '1'}}\nrules: [{}]", live: on,
			wantSide: theDesired,
		},
		"a Service instead of pods": {
			reason:  "the Service may select other pods",
			desired: "targetRefs: [{kind: Service, name: a}]\nrules: [{}]", live: on,
			want: on + "rules: [{}]",
		},
		"live dry run": {
			reason:  "a dry run allows all callers",
			desired: on + "rules: [{}]", live: on + "annotations: {istio.io/dry-run: 'true'}",
			want: on + "rules: [{}]\nannotations: {istio.io/dry-run: 'true'}",
		},
		"desired dry run": {
			reason:  "nothing is lost, and Istio reports denied calls",
			desired: on + "annotations: {istio.io/dry-run: 'true'}", live: on + "rules: [{}]",
			want: on + "rules: [{}]\nannotations: {istio.io/dry-run: 'true'}",
		},
		"denies more": {
			reason:  "callers would lose access",
			desired: on + "action: DENY\nrules: [{}]", live: on + "action: DENY\nrules: [{" + port80 + "}]",
			wantSide: theLive,
		},
		"denies less": {
			reason:   "nothing is lost",
			desired:  on + "action: DENY\nrules: [{" + port80 + "}]",
			live:     on + "action: DENY\nrules: [{to: [{operation: {ports: ['90']}}]}, {" + port80 + "}]",
			wantSide: theDesired,
		},
		"DENY instead of ALLOW": {
			reason:  "the two exclude each other",
			desired: on + "action: DENY\nrules: [{}]", live: on + "rules: [{}]",
			wantSide: theLive,
		},
		"ALLOW instead of DENY": {
			reason:  "the first policy that allows callers denies all other callers",
			desired: on + "rules: [{}]", live: on + "action: DENY\nrules: [{}]",
			wantSide: theLive,
		},
		"AUDIT instead of ALLOW": {
			reason:  "an audit denies no call",
			desired: on + "action: AUDIT", live: on,
			wantSide: theDesired,
		},
	})
}
