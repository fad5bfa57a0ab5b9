// Package istiotest builds Istio objects and bundles for tests.
package istiotest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/nested"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// Object returns an object of a service on the call side. The spec must already have the defaults of
// the CRD.
func Object(kind, namespace, name, service string, spec map[string]any) *unstructured.Unstructured {
	at := slices.IndexFunc(istio.Kinds, func(k istio.Kind) bool { return k.Kind == kind })
	out := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	out.SetGroupVersionKind(istio.Kinds[at].GroupVersionKind)
	out.SetNamespace(namespace)
	out.SetName(name)
	out.SetLabels(map[string]string{render.LabelService: service, render.LabelSide: string(render.SideCall)})
	return out
}

// ServiceEntry is an entry of a service with static endpoints.
func ServiceEntry(namespace, service string, endpoints ...string) *unstructured.Unstructured {
	addresses := make([]any, 0, len(endpoints))
	for _, address := range endpoints {
		addresses = append(addresses, map[string]any{"address": address, "ports": map[string]any{"http": int64(15443)}})
	}
	return Object("ServiceEntry", namespace, service, service, map[string]any{
		"hosts": []any{service + ".shop.example.com"}, "location": "MESH_INTERNAL", "resolution": "STATIC",
		"ports":     []any{map[string]any{"name": "http", "number": int64(80), "protocol": "HTTP"}},
		"endpoints": addresses,
	})
}

// DestinationRule is the rule of a service.
func DestinationRule(namespace, service string) *unstructured.Unstructured {
	return Object("DestinationRule", namespace, service, service, map[string]any{
		"host":          service + ".shop.example.com",
		"trafficPolicy": map[string]any{"outlierDetection": map[string]any{"interval": "10s", "maxEjectionPercent": int64(100)}},
	})
}

// VirtualService is the route of a service with a timeout.
func VirtualService(namespace, service, timeout string) *unstructured.Unstructured {
	host := service + ".shop.example.com"
	return Object("VirtualService", namespace, service, service, map[string]any{
		"hosts": []any{host},
		"http": []any{map[string]any{
			"timeout": timeout,
			"route":   []any{map[string]any{"destination": map[string]any{"host": host}, "weight": int64(100)}},
		}},
	})
}

// AuthorizationPolicy is a policy for the pods of one app.
func AuthorizationPolicy(app, name, action string, principals ...any) *unstructured.Unstructured {
	spec := map[string]any{"selector": map[string]any{"matchLabels": map[string]any{"app": app}}, "action": action}
	if len(principals) > 0 {
		spec["rules"] = []any{map[string]any{"from": []any{map[string]any{"source": map[string]any{"principals": principals}}}}}
	}
	return Object("AuthorizationPolicy", "shop", name, app, spec)
}

// Service returns the three objects of a called service.
func Service(name string) []*unstructured.Unstructured {
	return []*unstructured.Unstructured{ServiceEntry("shop", name, "192.0.2.1"), DestinationRule("shop", name), VirtualService("shop", name, "5s")}
}

// Services are the objects of several services.
func Services(names ...string) []*unstructured.Unstructured {
	var objects []*unstructured.Unstructured
	for _, name := range names {
		objects = append(objects, Service(name)...)
	}
	return objects
}

// DestinationRules are the rules of so many services.
func DestinationRules(count int) []*unstructured.Unstructured {
	var objects []*unstructured.Unstructured
	for i := range count {
		objects = append(objects, DestinationRule("shop", fmt.Sprintf("s%03d", i)))
	}
	return objects
}

// Bundle is a bundle of objects, which must be valid.
func Bundle(objects ...*unstructured.Unstructured) *render.Bundle {
	bundle := &render.Bundle{Cluster: "use1-a"}
	for _, object := range objects {
		resource, err := render.NewResource(object)
		if err != nil {
			panic(err)
		}
		bundle.Resources = append(bundle.Resources, resource)
	}
	slices.SortFunc(bundle.Resources, func(a, b render.Resource) int {
		if a.Key.String() < b.Key.String() {
			return -1
		}
		return 1
	})
	return bundle
}

// WithLabels returns a copy with additional labels.
func WithLabels(object *unstructured.Unstructured, labels map[string]string) *unstructured.Unstructured {
	out := object.DeepCopy()
	all := out.GetLabels()
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, labels)
	out.SetLabels(all)
	return out
}

// WithAnnotations returns a copy with exactly these annotations.
func WithAnnotations(object *unstructured.Unstructured, annotations map[string]string) *unstructured.Unstructured {
	out := object.DeepCopy()
	out.SetAnnotations(annotations)
	return out
}

// StubService is a Service without selector, with the defaults of its schema.
func StubService(t *testing.T, namespace, service string) *unstructured.Unstructured {
	t.Helper()
	validator, err := istio.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	out := Object("Service", namespace, service, service, map[string]any{
		"ports": []any{map[string]any{"name": "http", "port": int64(80), "protocol": "TCP", "appProtocol": "http"}},
	})
	if violations := validator.Validate(out); len(violations) > 0 {
		t.Fatal(violations)
	}
	validator.Default(out)
	return out
}

// Spec is the spec of an object.
func Spec(object *unstructured.Unstructured) map[string]any {
	spec, _ := object.Object["spec"].(map[string]any)
	return spec
}

// RandomService returns the objects of a service with random endpoints, subsets, a route and callers.
func RandomService(random *rand.Rand, name string) []*unstructured.Unstructured {
	var endpoints []string
	for i := range 4 {
		if random.IntN(2) == 0 {
			endpoints = append(endpoints, fmt.Sprintf("192.0.2.%d", i+1))
		}
	}
	if len(endpoints) == 0 {
		endpoints = []string{"192.0.2.9"}
	}
	entry := ServiceEntry("shop", name, endpoints...)
	if random.IntN(3) == 0 { // the service starts to run in this cluster
		entry.SetName(name + "-local")
	}
	subsets := []any{}
	for i := range 4 {
		if random.IntN(2) == 0 {
			subsets = append(subsets, map[string]any{"name": fmt.Sprintf("v%d", i), "labels": map[string]any{"version": fmt.Sprintf("v%d", i)}})
		}
	}
	rule, route := DestinationRule("shop", name), VirtualService("shop", name, fmt.Sprintf("%ds", 1+random.IntN(5)))
	if len(subsets) > 0 {
		_ = unstructured.SetNestedSlice(rule.Object, subsets, "spec", "subsets")
		to := subsets[random.IntN(len(subsets))].(map[string]any)["name"]
		_ = unstructured.SetNestedSlice(route.Object, []any{map[string]any{"route": []any{map[string]any{
			"destination": map[string]any{"host": name + ".shop.example.com", "subset": to}, "weight": int64(100),
		}}}}, "spec", "http")
	}
	objects := []*unstructured.Unstructured{entry, rule, route}
	var principals []any
	for i := range 3 {
		if random.IntN(2) == 0 {
			principals = append(principals, fmt.Sprintf("cluster.local/ns/a/sa/caller-%d", i))
		}
	}
	// Two names for the policy: a caller of both must keep access when one policy replaces the other.
	if len(principals) > 0 {
		policy := Object(istio.AuthorizationPolicyKind, "shop", fmt.Sprintf("%s-%d", name, random.IntN(2)), name, map[string]any{
			"action": "ALLOW", "selector": map[string]any{"matchLabels": map[string]any{"app": name}},
			"rules": []any{map[string]any{"from": []any{map[string]any{"source": map[string]any{"principals": principals}}}}},
		})
		objects = append(objects, policy)
	}
	return objects
}

// Seed returns the seed of the environment variable SEED, or a new one, and logs it.
func Seed(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if given := os.Getenv("SEED"); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SEED=%d", seed)
	return seed
}

// rareSamples are specs by kind, as YAML, in shapes that no example renders.
var rareSamples = map[string][]string{
	"Service": {"{ports: [{name: http, port: 80}, {name: grpc, port: 9000}]}", "{ports: [{name: web, port: 80}, {name: http, port: 8080}]}"},
	"Gateway": {
		"{selector: {istio: eastwestgateway}, servers: [{port: {number: 15443, name: tls, protocol: TLS}, tls: {mode: AUTO_PASSTHROUGH}, hosts: ['*.isthmus.internal']}, {port: {number: 15443, name: tls-discovery, protocol: TLS}, tls: {mode: AUTO_PASSTHROUGH}, hosts: ['*.local']}]}",
		"{selector: {istio: ingressgateway}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: a}, hosts: [shop/a.example.com, shop/b.example.com]}]}",
		"{selector: {istio: ingressgateway}, servers: [{port: {number: 443, name: tls, protocol: TLS}, tls: {mode: PASSTHROUGH}, hosts: [shop/a.example.com]}]}",
	},
	"ServiceEntry": {
		"{hosts: [a.example.com], location: MESH_INTERNAL, resolution: STATIC, labels: {isthmus.dev/no-endpoint: 'true'}, ports: [{number: 80, name: http-isthmus-80, protocol: HTTP}], workloadSelector: {labels: {isthmus.dev/no-endpoint: 'true'}}}",
		"{hosts: [a.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http-isthmus-80, protocol: HTTP, targetPort: 8080}], workloadSelector: {labels: {app: a}}}",
		"{hosts: [a.example.com], location: MESH_INTERNAL, resolution: DNS, ports: [{number: 80, name: http-isthmus-80, protocol: HTTP}], endpoints: [{address: a.shop.svc.cluster.local, ports: {http-isthmus-80: 8080}, labels: {isthmus.dev/cluster: c1}}]}",
		"{hosts: [a.example.com, b.example.com], exportTo: ['*'], location: MESH_EXTERNAL, resolution: DNS, ports: [{number: 443, name: tls-isthmus-443, protocol: TLS}]}",
		"{hosts: ['*.example.com'], exportTo: ['.'], location: MESH_EXTERNAL, resolution: NONE, ports: [{number: 443, name: tls-isthmus-443, protocol: TLS}]}",
		"{hosts: [db.example.com], addresses: [198.51.100.0/24], location: MESH_EXTERNAL, ports: [{number: 5432, name: tcp-isthmus-5432, protocol: TCP}]}",
		"{hosts: [db.example.com], location: MESH_EXTERNAL, resolution: DNS_ROUND_ROBIN, ports: [{number: 5432, name: tcp-isthmus-5432, protocol: TCP}], endpoints: [{address: db1.example.com}]}",
		"{hosts: [s.example.com], exportTo: ['~'], location: MESH_EXTERNAL, resolution: STATIC, ports: [{number: 80, name: http-isthmus-80, protocol: HTTP}], endpoints: [{address: 'unix:///run/s'}]}",
		"{hosts: ['*.example.com'], location: MESH_EXTERNAL, resolution: DYNAMIC_DNS, ports: [{number: 443, name: tls-isthmus-443, protocol: TLS}]}",
	},
	"DestinationRule": {
		"{host: a.example.com, exportTo: ['.'], workloadSelector: {matchLabels: {app: a}}}",
		"{host: a.example.com, trafficPolicy: {tls: {mode: SIMPLE}}, subsets: [{name: v1, labels: {version: v1}}]}",
	},
	"VirtualService": {
		"{hosts: [a.example.com], exportTo: [a], http: [{match: [{port: 80, uri: {prefix: /a}}, {port: 90}], route: [{destination: {host: a}}]}, {match: [{port: 80}], route: [{destination: {host: a}}]}], tcp: [{match: [{port: 70}], route: [{destination: {host: a}}]}]}",
		"{hosts: [a.example.com], gateways: [istio-system/isthmus-public-a], tls: [{match: [{port: 443, sniHosts: [a.example.com]}], route: [{destination: {host: a}}]}], http: [{route: [{destination: {host: a}}]}]}",
	},
	"Sidecar": {
		"{workloadSelector: {labels: {app: a}}, egress: [{hosts: [istio-system/*, shop/a, shop/b]}]}",
		"{workloadSelector: {labels: {app: a, version: v1}}, egress: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop/a]}, {hosts: ['*/*']}]}",
		"{outboundTrafficPolicy: {mode: REGISTRY_ONLY}}",
	},
	"AuthorizationPolicy": {
		"{action: ALLOW, selector: {matchLabels: {app: a}}, rules: [{from: [{source: {principals: [a, b, c]}}], to: [{operation: {ports: ['80']}}]}, {from: [{source: {principals: [d]}}], to: [{operation: {ports: ['80', '90'], methods: [GET], paths: [/a, /b]}}]}, {from: [{source: {principals: [gw]}}]}]}",
		"{action: ALLOW, selector: {matchLabels: {app: a, version: v1}}, rules: [{from: [{source: {namespaces: [ns], notPrincipals: [a, b]}}, {source: {principals: [b]}}], to: [{operation: {notPorts: ['90']}}, {operation: {methods: [GET]}}], when: [{key: k, values: [v, w]}, {key: l, notValues: [x]}]}]}",
		"{selector: {matchLabels: {app: a}}, annotations: {istio.io/dry-run: 'true'}, rules: [{from: [{source: {principals: [a]}}]}]}",
		"{action: ALLOW, selector: {matchLabels: {app: b}}}",
		"{action: DENY, selector: {matchLabels: {app: a}}, rules: [{from: [{source: {principals: [a]}}]}, {to: [{operation: {ports: ['80']}}]}]}",
		"{action: AUDIT, rules: [{}]}",
		"{action: ALLOW, targetRefs: [{kind: Service, name: a}], rules: [{}]}",
	},
}

// Samples returns objects by kind: the golden bundles of all examples, and rareSamples.
func Samples(t *testing.T, validator *istio.Validator) map[string][]*unstructured.Unstructured {
	t.Helper()
	files, err := filepath.Glob("../../test/suites/examples/testdata/*/*.yaml")
	if err != nil || len(files) < 8 {
		t.Fatalf("golden bundles: %v, %v", files, err)
	}
	out := map[string][]*unstructured.Unstructured{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		decoder := utilyaml.NewYAMLToJSONDecoder(bytes.NewReader(raw))
		for {
			read := &unstructured.Unstructured{}
			if err := decoder.Decode(&read.Object); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if len(read.Object) > 0 {
				out[read.GetKind()] = append(out[read.GetKind()], read)
			}
		}
	}
	for kind, texts := range rareSamples {
		for _, text := range texts {
			out[kind] = append(out[kind], Parse(t, kind, text))
		}
	}
	for _, objects := range out {
		for _, object := range objects {
			validator.Default(object)
			if violations := validator.Validate(object); len(violations) > 0 {
				t.Fatalf("%s: %v", nested.JSON(object.Object), violations)
			}
		}
	}
	return out
}

// Parse returns an object shop/cart of a kind. text is its spec as YAML, with the keys labels and
// annotations for its metadata.
func Parse(t *testing.T, kind, text string) *unstructured.Unstructured {
	t.Helper()
	var spec map[string]any
	if err := yaml.Unmarshal([]byte(text), &spec); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	out := Object(kind, "shop", "cart", "cart", spec)
	metadata := map[string]map[string]string{}
	for _, name := range []string{"labels", "annotations"} {
		for key, value := range nested.Map(spec, name) {
			if metadata[name] == nil {
				metadata[name] = map[string]string{}
			}
			metadata[name][key] = value.(string)
		}
		delete(spec, name)
	}
	out = WithLabels(out, metadata["labels"])
	if metadata["annotations"] != nil {
		out = WithAnnotations(out, metadata["annotations"])
	}
	return out
}

// ExportedTo sets spec.exportTo of an object and returns the object.
func ExportedTo(object *unstructured.Unstructured, to ...any) *unstructured.Unstructured {
	Spec(object)["exportTo"] = to
	return object
}
