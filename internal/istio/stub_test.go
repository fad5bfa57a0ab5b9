package istio

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/test/support/apiserver"
)

// stubs are Services and their violations, without stubForm. API servers must accept rows without
// want; they may accept the others, too.
var stubs = []verdict{
	{
		reason: "the stub that the template makes",
		object: `
kind: Service
metadata: {name: cart, namespace: shop, labels: {isthmus.dev/service: cart, isthmus.dev/side: call}}
spec: {ports: [{name: http, port: 80, protocol: TCP, appProtocol: http}]}`,
	},
	{
		reason: "several ports, without defaults, and an appProtocol of Kubernetes",
		object: "kind: Service\nspec: {ports: [{name: grpc, port: 8443, appProtocol: kubernetes.io/h2c}, {name: db, port: 5432}]}",
	},
	{
		reason: "explicit defaults",
		object: `
kind: Service
spec:
  type: ClusterIP
  sessionAffinity: None
  internalTrafficPolicy: Cluster
  ports: [{name: http, port: 80, protocol: TCP, targetPort: 80}]`,
	},
	{
		reason: "a selector may capture traffic outside the mesh",
		object: "kind: Service\nspec: {selector: {app: cart}, ports: [{name: http, port: 80}]}",
		want:   []string{"spec.selector: unknown field; the known fields are internalTrafficPolicy, ports, sessionAffinity, type"},
	},
	{
		reason: "type LoadBalancer",
		object: "kind: Service\nspec: {type: LoadBalancer, ports: [{name: http, port: 80}]}",
		want:   []string{`spec.type: "LoadBalancer" is not one of "ClusterIP"`},
	},
	{
		reason: "type NodePort",
		object: "kind: Service\nspec: {type: NodePort, ports: [{name: http, port: 80, nodePort: 30080}]}",
		want: []string{
			"spec.ports[0].nodePort: unknown field; the known fields are appProtocol, name, port, protocol, targetPort",
			`spec.type: "NodePort" is not one of "ClusterIP"`,
		},
	},
	{
		reason: "type ExternalName",
		object: "kind: Service\nspec: {type: ExternalName, externalName: evil.example.com}",
		want: []string{
			"spec.externalName: unknown field; the known fields are internalTrafficPolicy, ports, sessionAffinity, type",
			"spec.ports: is required",
			`spec.type: "ExternalName" is not one of "ClusterIP"`,
		},
	},
	{
		reason: "a headless Service, and external IPs",
		object: "kind: Service\nspec: {clusterIP: None, externalIPs: [192.0.2.1], ports: [{name: http, port: 80}]}",
		want: []string{
			"spec.clusterIP: unknown field; the known fields are internalTrafficPolicy, ports, sessionAffinity, type",
			"spec.externalIPs: unknown field; the known fields are internalTrafficPolicy, ports, sessionAffinity, type",
		},
	},
	{
		reason: "values other than the defaults",
		object: "kind: Service\nspec: {sessionAffinity: ClientIP, internalTrafficPolicy: Local, ports: [{name: http, port: 80, protocol: UDP}]}",
		want: []string{
			`spec.internalTrafficPolicy: "Local" is not one of "Cluster"`,
			`spec.ports[0].protocol: "UDP" is not one of "TCP"`,
			`spec.sessionAffinity: "ClientIP" is not one of "None"`,
		},
	},
	{
		reason: "another target port",
		object: "kind: Service\nspec: {ports: [{name: http, port: 80, targetPort: 8080}]}",
		want:   []string{"spec.ports[0]: targetPort must equal port, because a stub has no pods"},
	},
	{
		reason: "a port without a name",
		object: "kind: Service\nspec: {ports: [{port: 80}]}",
		want:   []string{"spec.ports[0].name: is required"},
	},
	{
		reason: "a duplicate port number",
		object: "kind: Service\nspec: {ports: [{name: http, port: 80}, {name: more, port: 80}]}",
		want:   []string{"spec.ports: port numbers must be unique"},
	},
	{
		reason: "a duplicate port name",
		object: "kind: Service\nspec: {ports: [{name: http, port: 80}, {name: http, port: 81}]}",
		want:   []string{`spec.ports[1]: is a duplicate: {"name":"http"}`},
	},
	{
		reason: "an invalid port number",
		object: "kind: Service\nspec: {ports: [{name: http, port: 65536}]}",
		want:   []string{"spec.ports[0].port: should be less than or equal to 65535 (given: 65536)"},
	},
	{
		reason: "no ports",
		object: "kind: Service\nspec: {ports: []}",
		want:   []string{"spec.ports: should have at least 1 items (given: 0)"},
	},
	{
		reason: "no spec",
		object: "kind: Service",
		want:   []string{"spec: is required"},
	},
	{
		reason: "a status with an address of a load balancer",
		object: "kind: Service\nspec: {ports: [{name: http, port: 80}]}\nstatus: {loadBalancer: {ingress: [{ip: 192.0.2.1}]}}",
		want:   []string{"status: unknown field"},
	},
	{
		reason: "an invalid name of a Service, without stubForm",
		object: "kind: Service\nmetadata: {name: cart.shop, namespace: shop}\nspec: {ports: [{name: http, port: 80}]}",
		want: []string{"metadata.name: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic " +
			"character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is " +
			`'[a-z]([-a-z0-9]*[a-z0-9])?') (given: "cart.shop")`},
	},
}

func TestServicesMustBeStubs(t *testing.T) {
	v := newTestValidator(t)
	for _, tc := range stubs {
		t.Run(tc.reason, func(t *testing.T) {
			var got []string
			for i, violation := range v.Validate(parse(t, tc.object)) {
				short, explained := strings.CutSuffix(violation.String(), "; "+stubForm)
				if want := i == 0 && !strings.HasPrefix(violation.Path, "metadata"); explained != want {
					t.Errorf("%s: stubForm is appended: %v, want %v; %s", tc.reason, explained, want, violation)
				}
				got = append(got, short)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: violations (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestStubWithDefaultsIsValid(t *testing.T) {
	v := newTestValidator(t)
	obj := parse(t, stubs[0].object)
	v.Default(obj)
	want := map[string]any{
		"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
		"ports": []any{map[string]any{"name": "http", "port": int64(80), "protocol": "TCP", "appProtocol": "http", "targetPort": int64(80)}},
	}
	if diff := cmp.Diff(want, obj.Object["spec"]); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	if violations := v.Validate(obj); len(violations) > 0 {
		t.Errorf("after defaulting: %v", violations)
	}
}

// An API server accepts all valid stubs. Besides our defaults it adds only the fields that it
// assigns.
func TestDefaultsOfStubsAreThoseOfAnAPIServer(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: no API server is started")
	}
	fleet, err := apiserver.Start(t.Context(), apiserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fleet.Stop(); err != nil {
			t.Error(err)
		}
	})
	api := prepare(t, fleet.Clusters()[0], nil)
	v := newTestValidator(t)
	for _, tc := range stubs {
		if len(tc.want) > 0 {
			continue
		}
		stored, ours := parse(t, tc.object), parse(t, tc.object)
		if err := api.Create(t.Context(), stored); err != nil {
			t.Errorf("%s: %v", tc.reason, err)
			continue
		}
		spec := stored.Object["spec"].(map[string]any)
		for _, name := range []string{"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"} {
			if spec[name] == nil {
				t.Errorf("%s: the API server does not assign %s", tc.reason, name)
			}
			delete(spec, name)
		}
		v.Default(ours)
		if diff := cmp.Diff(spec, ours.Object["spec"]); diff != "" {
			t.Errorf("%s: spec (-API server +ours):\n%s", tc.reason, diff)
		}
		if err := api.Delete(t.Context(), stored); err != nil {
			t.Fatal(err)
		}
	}
}
