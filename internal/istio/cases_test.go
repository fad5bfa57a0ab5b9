package istio

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// verdict is an object and its violations. TestValidate compares the Validator with it, TestParity
// the Validator with an API server.
type verdict struct {
	reason string
	// object in YAML; parse sets a missing apiVersion and metadata.
	object string
	// want are the violations, none for a valid object.
	want []string
}

// verdicts has a row for each mechanism of an API server's validation, and for each shape that
// Isthmus renders.
var verdicts = []verdict{
	{
		reason: "the cross-cluster Gateway",
		object: `
kind: Gateway
spec:
  selector: {istio: eastwestgateway}
  servers:
  - port: {number: 15443, name: tls, protocol: TLS}
    tls: {mode: AUTO_PASSTHROUGH}
    hosts: ["*.isthmus.internal"]`,
	},
	{
		reason: "an export ServiceEntry, with dots in its name",
		object: `
kind: ServiceEntry
metadata: {name: checkout.shop.example.com-export, namespace: shop, labels: {isthmus.dev/side: publish}}
spec:
  hosts: [checkout.shop.example.com.isthmus.internal]
  exportTo: [istio-system]
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
  - {number: 8000, name: http-isthmus-8000, protocol: HTTP, targetPort: 80}
  workloadSelector: {labels: {app: checkout}}`,
	},
	{
		reason: "a remote ServiceEntry with weighted gateways",
		object: `
kind: ServiceEntry
spec:
  hosts: [checkout.shop.example.com]
  addresses: [241.0.0.7]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 8000, name: http-isthmus-8000, protocol: HTTP}]
  endpoints:
  - {address: 34.1.2.3, ports: {http-isthmus-8000: 15443}, locality: us-east1, network: a, weight: 70, labels: {security.istio.io/tlsMode: istio}}
  - {address: 34.1.2.4, ports: {http-isthmus-8000: 15443}, locality: us-west1, network: b, weight: 30}`,
	},
	{
		reason: "a DestinationRule with TLS by port, outlier detection, failover and subsets",
		object: `
kind: DestinationRule
spec:
  host: checkout.shop.example.com
  trafficPolicy:
    portLevelSettings:
    - {port: {number: 8000}, tls: {mode: ISTIO_MUTUAL, sni: outbound_.8000_._.x.isthmus.internal, subjectAltNames: ["spiffe://a/ns/b/sa/c"]}}
    outlierDetection: {consecutive5xxErrors: 0, consecutiveLocalOriginFailures: 5, splitExternalLocalOriginErrors: true, interval: 10s, minHealthPercent: 1}
    loadBalancer: {simple: LEAST_REQUEST, localityLbSetting: {enabled: true, failoverPriority: [isthmus.dev/failover-1]}}
  subsets:
  - {name: v2, labels: {version: v2}}`,
	},
	{
		reason: "a VirtualService with a match and weights",
		object: `
kind: VirtualService
spec:
  hosts: [checkout.shop.example.com]
  http:
  - match: [{headers: {end-user: {exact: jason}}}]
    timeout: 5s
    retries: {attempts: 2, perTryTimeout: 500ms}
    fault: {delay: {percentage: {value: 0.1}, fixedDelay: 5s}}
    route:
    - {destination: {host: checkout.shop.example.com, subset: v2, port: {number: 8000}}, weight: 70}
    - {destination: {host: checkout.shop.example.com, subset: v1, port: {number: 8000}}, weight: 30}`,
	},
	{
		reason: "a Sidecar",
		object: "kind: Sidecar\nspec: {egress: [{hosts: ['*/checkout.shop.example.com', istio-system/*]}]}",
	},
	{
		reason: "a PeerAuthentication with modes by port",
		object: "kind: PeerAuthentication\nspec: {selector: {matchLabels: {app: a}}, mtls: {mode: STRICT}, portLevelMtls: {'8080': {mode: DISABLE}}}",
	},
	{
		reason: "a RequestAuthentication",
		object: "kind: RequestAuthentication\nspec: {jwtRules: [{issuer: 'https://id.example.com', jwksUri: 'https://id.example.com/jwks'}]}",
	},
	{
		reason: "an AuthorizationPolicy",
		object: "kind: AuthorizationPolicy\nspec: {action: ALLOW, rules: [{from: [{source: {principals: [a/ns/b/sa/c]}}], to: [{operation: {ports: ['80']}}]}]}",
	},
	{
		reason: "Telemetry, whose v1 is served and not stored in Istio's own CRD",
		object: "kind: Telemetry\nspec: {tracing: [{randomSamplingPercentage: 12.5}]}",
	},
	{
		reason: "an empty spec, where nothing is required",
		object: "kind: PeerAuthentication\nspec: {}",
	},
	{
		reason: "a null that the schema does not allow is dropped",
		object: "kind: ServiceEntry\nspec: {hosts: [a.example.com], resolution: DNS, location: null, ports: [{number: 80, name: http, protocol: null}]}",
	},
	{
		reason: "a whole number with a fraction is an integer",
		object: "kind: ServiceEntry\nspec: {hosts: [a.example.com], ports: [{number: 80.0, name: http}]}",
	},
	{
		reason: "status is dropped on create",
		object: "kind: ServiceEntry\nspec: {hosts: [a.example.com]}\nstatus: {conditions: nonsense}",
	},
	{
		reason: "a misspelt field of spec",
		object: "kind: ServiceEntry\nspec: {hosts: [a.example.com], adresses: [241.0.0.1]}",
		want: []string{"spec.adresses: unknown field; the known fields are addresses, endpoints, exportTo, hosts, location, ports, " +
			"resolution, subjectAltNames, workloadSelector"},
	},
	{
		reason: "a misspelt field deep in a list",
		object: "kind: VirtualService\nspec: {hosts: [a], http: [{route: [{destination: {host: a, prot: {number: 1}}}]}]}",
		want:   []string{"spec.http[0].route[0].destination.prot: unknown field; the known fields are host, port, subset"},
	},
	{
		reason: "a field beside spec",
		object: "kind: ServiceEntry\nspec: {hosts: [a.example.com]}\ndata: {}",
		want:   []string{"data: unknown field"},
	},
	{
		reason: "a misspelt field of metadata",
		object: "kind: ServiceEntry\nmetadata: {name: a, namespace: shop, label: {a: b}}\nspec: {hosts: [a.example.com]}",
		want:   []string{"metadata.label: unknown field"},
	},
	{
		reason: "a name with an underscore",
		object: "kind: ServiceEntry\nmetadata: {name: a_b, namespace: shop}\nspec: {hosts: [a.example.com]}",
		want: []string{"metadata.name: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start " +
			"and end with an alphanumeric character (e.g. 'example.com', regex used for validation is " +
			`'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*') (given: "a_b")`},
	},
	{
		reason: "a name of 254 characters",
		object: "kind: ServiceEntry\nmetadata: {name: " + strings.Repeat("a", 254) + ", namespace: shop}\nspec: {hosts: [a.example.com]}",
		want:   []string{`metadata.name: must be no more than 253 characters (given: "` + strings.Repeat("a", 254) + `")`},
	},
	{
		reason: "no name",
		object: "kind: ServiceEntry\nmetadata: {namespace: shop}\nspec: {hosts: [a.example.com]}",
		want:   []string{"metadata.name: is required"},
	},
	{
		reason: "no namespace",
		object: "kind: ServiceEntry\nmetadata: {name: a}\nspec: {hosts: [a.example.com]}",
		want:   []string{"metadata.namespace: is required"},
	},
	{
		reason: "a label's value with a space",
		object: "kind: ServiceEntry\nmetadata: {name: a, namespace: shop, labels: {team: a b}}\nspec: {hosts: [a.example.com]}",
		want: []string{"metadata.labels: a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start " +
			"and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is " +
			`'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?') (given: "a b")`},
	},
	{
		reason: "a label's value that is a YAML number",
		object: "kind: ServiceEntry\nmetadata: {name: a, namespace: shop, labels: {version: 1.5}}\nspec: {hosts: [a.example.com]}",
		want:   []string{"metadata.labels[version]: must be a string (given: 1.5)"},
	},
	{
		reason: "an annotation's key with a space",
		object: "kind: ServiceEntry\nmetadata: {name: a, namespace: shop, annotations: {a b: c}}\nspec: {hosts: [a.example.com]}",
		want: []string{"metadata.annotations: name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an " +
			"alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is " +
			`'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') (given: "a b")`},
	},
	{
		reason: "labels that are a list",
		object: "kind: ServiceEntry\nmetadata: {name: a, namespace: shop, labels: [a]}\nspec: {hosts: [a.example.com]}",
		want:   []string{"metadata.labels: must be an object"},
	},
	{
		reason: "a resourceVersion on create",
		object: "kind: ServiceEntry\nmetadata: {name: a, namespace: shop, resourceVersion: '7'}\nspec: {hosts: [a.example.com]}",
		want:   []string{"metadata.resourceVersion: must not be set: the API server assigns it"},
	},
	{
		reason: "spec of the wrong type",
		object: "kind: VirtualService\nspec: []",
		want:   []string{"spec: must be of type object, is array"},
	},
	{
		reason: "a null in a list of strings",
		object: "kind: VirtualService\nspec: {hosts: [null]}",
		want:   []string{"spec.hosts[0]: must be of type string, is null"},
	},
	{
		reason: "a string instead of a number",
		object: "kind: VirtualService\nspec: {hosts: [a], http: [{route: [{destination: {host: a}}, {destination: {host: a}, weight: '70'}]}]}",
		want:   []string{"spec.http[0].route[1].weight: must be of type integer, is string"},
	},
	{
		reason: "a fraction instead of an integer",
		object: "kind: ServiceEntry\nspec: {hosts: [a.example.com], ports: [{number: 80.5, name: http}]}",
		want:   []string{"spec.ports[0].number: must be of type integer, is number"},
	},
	{
		reason: "a required field that is absent",
		object: "kind: VirtualService\nspec: {hosts: [a], http: [{route: [{destination: {subset: v1}}]}]}",
		want:   []string{"spec.http[0].route[0].destination.host: is required"},
	},
	{
		reason: "a value outside an enumeration",
		object: "kind: ServiceEntry\nspec: {hosts: [a.example.com], resolution: MAGIC}",
		want:   []string{`spec.resolution: "MAGIC" is not one of "NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"`},
	},
	{
		reason: "an empty list with minItems",
		object: "kind: ServiceEntry\nspec: {hosts: []}",
		want:   []string{"spec.hosts: should have at least 1 items (given: 0)"},
	},
	{
		reason: "a number above the maximum",
		object: "kind: Telemetry\nspec: {tracing: [{randomSamplingPercentage: 100.5}]}",
		want:   []string{"spec.tracing[0].randomSamplingPercentage: should be less than or equal to 100 (given: 100.5)"},
	},
	{
		reason: "a number that does not fit 32 bits",
		object: "kind: VirtualService\nspec: {hosts: [a], http: [{retries: {attempts: 3000000000}}]}",
		want:   []string{"spec.http[0].retries.attempts: must be of type integer and fit int32"},
	},
	{
		reason: "an empty string with minLength",
		object: "kind: RequestAuthentication\nspec: {jwtRules: [{issuer: ''}]}",
		want:   []string{`spec.jwtRules[0].issuer: should be at least 1 chars long (given: "")`},
	},
	{
		reason: "two fields of a oneof",
		object: "kind: VirtualService\nspec: {hosts: [a], http: [{match: [{uri: {exact: /a, prefix: /b}}]}]}",
		want:   []string{"spec.http[0].match[0].uri: at most one of exact, prefix, regex may be set"},
	},
	{
		reason: "two fields in each of two oneofs",
		object: "kind: DestinationRule\nspec: {host: a, trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true, httpHeaderName: x, ringHash: {}, maglev: {}}}}}",
		want: []string{"spec.trafficPolicy.loadBalancer.consistentHash: at most one of httpHeaderName, httpCookie, useSourceIp, httpQueryParameterName may be set, " +
			"and at most one of ringHash, maglev may be set"},
	},
	{
		reason: "two ports with one name, in a list of type map",
		object: "kind: ServiceEntry\nspec: {hosts: [a.example.com], ports: [{number: 80, name: http}, {number: 81, name: http}]}",
		want:   []string{`spec.ports[1]: is a duplicate: {"name":"http"}`},
	},
	{
		reason: "a CEL rule over a list",
		object: "kind: ServiceEntry\nspec: {hosts: [a.example.com], ports: [{number: 80, name: a}, {number: 80, name: b}]}",
		want:   []string{"spec.ports: port number cannot be duplicated"},
	},
	{
		reason: "CEL rules over spec",
		object: "kind: ServiceEntry\nspec: {hosts: [a.example.com], resolution: STATIC, workloadSelector: {labels: {a: b}}, endpoints: [{address: 1.1.1.1}]}",
		want:   []string{"spec: only one of WorkloadSelector or Endpoints can be set"},
	},
	{
		reason: "a CEL rule on a string: the wildcard host",
		object: "kind: ServiceEntry\nspec: {hosts: ['*']}",
		want:   []string{`spec.hosts[0]: hostname cannot be wildcard (given: "*")`},
	},
	{
		reason: "a CEL rule on a duration",
		object: "kind: VirtualService\nspec: {hosts: [a], http: [{timeout: 5 seconds}]}",
		want:   []string{"spec.http[0].timeout: must be a valid duration greater than 1ms (type conversion error from 'string' to 'google.protobuf.Duration')"},
	},
	{
		reason: "a CEL rule on a URL",
		object: "kind: RequestAuthentication\nspec: {jwtRules: [{issuer: a, jwksUri: 'ftp://id.example.com'}]}",
		want:   []string{`spec.jwtRules[0].jwksUri: url must have scheme http:// or https:// (given: "ftp://id.example.com")`},
	},
	{
		reason: "a CEL rule on the values of a map",
		object: "kind: AuthorizationPolicy\nspec: {selector: {matchLabels: {app: '*'}}}",
		want:   []string{`spec.selector.matchLabels[app]: wildcard not allowed in label value match (given: "*")`},
	},
	{
		reason: "CEL rules are skipped while a type is wrong, and all other violations are reported together",
		object: "kind: ServiceEntry\nspec: {hosts: ['*'], prots: [], ports: [{number: '80', name: http}, {number: 81, name: http}]}",
		want: []string{
			"spec.ports[0].number: must be of type integer, is string",
			`spec.ports[1]: is a duplicate: {"name":"http"}`,
			"spec.prots: unknown field; the known fields are addresses, endpoints, exportTo, hosts, location, ports, resolution, subjectAltNames, workloadSelector",
		},
	},
}

// parse decodes the object of a verdict.
func parse(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	obj := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &obj.Object); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	for _, kind := range Kinds {
		if obj.GetKind() == kind.Kind && obj.GetAPIVersion() == "" {
			obj.SetAPIVersion(kind.GroupVersion().String())
		}
	}
	if obj.Object["metadata"] == nil {
		obj.SetName("a")
		obj.SetNamespace("shop")
	}
	return obj
}
