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

// unionCase has the desired and the live spec, and the spec of their union.
type unionCase struct {
	reason              string
	desired, live, want string
	// wantSide is set instead of want if the union is the desired or the live spec.
	wantSide side
}

type side int

const (
	theDesired side = iota + 1
	theLive
)

func testUnions(t *testing.T, kind string, tests map[string]unionCase) {
	t.Helper()
	validator, err := istio.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			desired, live := istiotest.Parse(t, kind, test.desired), istiotest.Parse(t, kind, test.live)
			want := map[side]*unstructured.Unstructured{theDesired: desired, theLive: live}[test.wantSide]
			if want == nil {
				want = istiotest.Parse(t, kind, test.want)
			}
			for _, object := range []*unstructured.Unstructured{desired, live, want} {
				validator.Default(object)
				if violations := validator.Validate(object); len(violations) > 0 {
					t.Fatalf("the objects of this test are not valid: %v", violations)
				}
			}
			got := Union(desired, live)
			if diff := cmp.Diff(want.Object, got.Object); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.reason, diff)
			}
			if again := Union(desired, got); !cmp.Equal(again.Object, got.Object) {
				t.Errorf("%s: the union with the union is different:\n%s", test.reason, cmp.Diff(got.Object, again.Object))
			}
		})
	}
}

func TestUnionOfGatewaysLosesNothing(t *testing.T) {
	const (
		tls       = "port: {number: 443, name: tls, protocol: TLS}, tls: {mode: PASSTHROUGH}"
		https     = "port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: a}"
		discovery = "port: {number: 15443, name: tls-discovery, protocol: TLS}, tls: {mode: AUTO_PASSTHROUGH}"
		eastWest  = "protocol: TLS}, tls: {mode: AUTO_PASSTHROUGH}, hosts: ['*.x']"
	)
	testUnions(t, "Gateway", map[string]unionCase{
		"hosts": {
			reason:  "hosts of the same server are united",
			desired: "{selector: {a: b}, servers: [{" + tls + ", hosts: [shop/c, shop/a]}]}",
			live:    "{selector: {a: b}, servers: [{" + tls + ", hosts: [shop/a, shop/b]}]}",
			want:    "{selector: {a: b}, servers: [{" + tls + ", hosts: [shop/c, shop/a, shop/b]}]}",
		},
		"servers": {
			reason:  "the name of the port identifies a server",
			desired: "{servers: [{" + tls + ", hosts: [a]}]}",
			live:    "{servers: [{" + discovery + ", hosts: ['*.local']}]}",
			want:    "{servers: [{" + discovery + ", hosts: ['*.local']}, {" + tls + ", hosts: [a]}]}",
		},
		"another server for the same host": {
			reason:  "istiod drops a server if another one has the same host",
			desired: "{servers: [{" + tls + ", hosts: [a]}]}",
			live:    "{servers: [{" + https + ", hosts: [a, b]}]}",
			want:    "{servers: [{" + https + ", hosts: [b]}, {" + tls + ", hosts: [a]}]}",
		},
		"another server for all hosts": {
			reason:  "the desired server has the host on that port",
			desired: "{servers: [{" + tls + ", hosts: [a]}]}", live: "{servers: [{" + https + ", hosts: [a]}]}",
			wantSide: theDesired,
		},
		"another number of the same name": {
			reason:  "other clusters still call the old number",
			desired: "{servers: [{port: {number: 15444, name: tls, " + eastWest + "}]}",
			live:    "{servers: [{port: {number: 15443, name: tls, " + eastWest + "}]}",
			want:    "{servers: [{port: {number: 15443, name: tls-15443, " + eastWest + "}, {port: {number: 15444, name: tls, " + eastWest + "}]}",
		},
		"another workload": {
			reason:  "the selected workload would lose the servers",
			desired: "{selector: {a: c}, servers: [{" + tls + ", hosts: [a]}]}", live: "{selector: {a: b}, servers: [{" + tls + ", hosts: [a]}]}",
			wantSide: theLive,
		},
	})
}

func TestUnionOfSidecarsLosesNothing(t *testing.T) {
	const (
		on   = "workloadSelector: {labels: {app: a}}\n"
		port = "port: {number: 80, name: http, protocol: HTTP}"
	)
	testUnions(t, "Sidecar", map[string]unionCase{
		"hosts": {
			reason:  "hosts are united by listener",
			desired: on + "egress: [{hosts: [a/*, c/*]}]",
			live:    on + "egress: [{" + port + ", hosts: [x/*]}, {hosts: [b/*]}]",
			want:    on + "egress: [{" + port + ", hosts: [x/*]}, {hosts: [a/*, b/*, c/*]}]",
		},
		"new listener": {
			reason:  "the listener for all other ports must be the last",
			desired: on + "egress: [{" + port + ", hosts: [x/*]}]",
			live:    on + "egress: [{hosts: [b/*]}]",
			want:    on + "egress: [{" + port + ", hosts: [x/*]}, {hosts: [b/*]}]",
		},
		"no live egress": {
			reason:  "without egress a proxy knows all hosts",
			desired: on + "egress: [{hosts: [a/*]}]",
			live:    on + "outboundTrafficPolicy: {mode: ALLOW_ANY}",
			want:    on + "egress: [{hosts: ['*/*', a/*]}]",
		},
		"no desired egress": {
			reason:  "nothing is lost",
			desired: on + "outboundTrafficPolicy: {mode: ALLOW_ANY}", live: on + "egress: [{hosts: [a/*]}]",
			wantSide: theDesired,
		},
		"other pods": {
			reason:  "the newly selected pods knew all hosts",
			desired: "workloadSelector: {labels: {app: b}}\negress: [{hosts: [a/*]}]", live: on + "egress: [{hosts: [a/*]}]",
			wantSide: theLive,
		},
		"fewer pods": {
			reason:  "the other pods know all hosts from then on",
			desired: "workloadSelector: {labels: {app: a, v: '1'}}\negress: [{hosts: [a/*]}]", live: on + "egress: [{hosts: [a/*]}]",
			wantSide: theDesired,
		},
	})
}

func TestUnionOfServicesLosesNothing(t *testing.T) {
	const longest = "a-name-of-nearly-sixty-three-letters-which-is-the-longest-th"
	testUnions(t, "Service", map[string]unionCase{
		"ports": {
			reason:  "ports are united by number",
			desired: "{ports: [{name: http, port: 80}, {name: grpc, port: 90}]}", live: "{ports: [{name: web, port: 80}, {name: db, port: 70}]}",
			want: "{ports: [{name: http, port: 80}, {name: db, port: 70}, {name: grpc, port: 90}]}",
		},
		"another number of the same name": {
			reason:  "port names are unique",
			desired: "{ports: [{name: " + longest + "ere, port: 90}]}",
			live:    "{ports: [{name: " + longest + "ere, port: 80}]}",
			want:    "{ports: [{name: " + longest + "-80, port: 80}, {name: " + longest + "ere, port: 90}]}",
		},
	})
}

func TestUnionIgnoresServerAssignedFields(t *testing.T) {
	const id = "applyset-test"
	desired := istiotest.StubService(t, "shop", "cart")
	live := desired.DeepCopy()
	spec := istiotest.Spec(live)
	spec["clusterIP"], spec["clusterIPs"] = "10.0.0.1", []any{"10.0.0.1"}
	spec["ports"] = append(spec["ports"].([]any), map[string]any{"name": "db", "port": int64(70), "protocol": "TCP", "targetPort": int64(70)})
	live = istiotest.WithLabels(live, map[string]string{ownership.LabelPartOf: id})
	if fields := Differences(Union(desired, live), live, id); len(fields) > 0 {
		t.Errorf("the live object has all ports, and the union differs in %v", fields)
	}
}

func TestKindsWithoutRuleAreNotMerged(t *testing.T) {
	desired := istiotest.Parse(t, "PeerAuthentication", "mtls: {mode: STRICT}")
	if got := Union(desired, istiotest.Parse(t, "PeerAuthentication", "mtls: {mode: PERMISSIVE}")); got != desired {
		t.Errorf("got %v", got)
	}
}

func TestUnionWithLiveObjectWithoutSpecIsDesired(t *testing.T) {
	for kind := range unions {
		desired := istiotest.Parse(t, kind, "{}")
		live := istiotest.Parse(t, kind, "{}")
		delete(live.Object, "spec")
		if got := Union(desired, live); got != desired {
			t.Errorf("%s: got %v", kind, got)
		}
	}
}

func TestNoEndpointLabelFollowsSelector(t *testing.T) {
	const entry = "hosts: [a.example.com]\nlocation: MESH_INTERNAL\nresolution: STATIC\n"
	none := istiotest.Parse(t, "ServiceEntry", entry+"labels: {isthmus.dev/no-endpoint: 'true'}\n"+
		"workloadSelector: {labels: {isthmus.dev/no-endpoint: 'true'}}")
	pods := istiotest.Parse(t, "ServiceEntry", entry+"workloadSelector: {labels: {app: a}}")
	if got := Union(none, pods); got.GetLabels()[render.LabelNoEndpoint] != "" || !HasEndpoints(got) {
		t.Errorf("live pods: labels %v", got.GetLabels())
	}
	if got := Union(pods, none); got.GetLabels()[render.LabelNoEndpoint] != "" || !HasEndpoints(got) {
		t.Errorf("desired pods: labels %v", got.GetLabels())
	}
}
