package istio

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// BenchmarkValidate10000ServiceEntries validates the bundle of a large mesh; ns/op is for all
// objects.
func BenchmarkValidate10000ServiceEntries(b *testing.B) {
	v := newTestValidator(b)
	const entries = 10_000
	objects := make([]*unstructured.Unstructured, entries)
	for i := range objects {
		objects[i] = parse(b, fmt.Sprintf(`
kind: ServiceEntry
metadata: {name: s%d.shop.example.com-remote, namespace: shop, labels: {isthmus.dev/service: s%d, isthmus.dev/side: call}}
spec:
  hosts: [s%d.shop.example.com]
  exportTo: [cart, ledger]
  addresses: [241.0.%d.%d]
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
  - {number: 8000, name: http-isthmus-8000, protocol: HTTP}
  - {number: 9000, name: tcp-isthmus-9000, protocol: TCP}
  subjectAltNames: ["spiffe://use1.example.com/ns/shop/sa/s%d"]
  endpoints:
  - {address: 34.1.2.3, ports: {http-isthmus-8000: 15443, tcp-isthmus-9000: 15443}, locality: us-east1, network: a, weight: 70, labels: {security.istio.io/tlsMode: istio}}
  - {address: 34.1.2.4, ports: {http-isthmus-8000: 15443, tcp-isthmus-9000: 15443}, locality: us-west1, network: b, weight: 30, labels: {security.istio.io/tlsMode: istio}}
`, i, i, i, i/256, i%256, i))
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, obj := range objects {
			if violations := v.Validate(obj); violations != nil {
				b.Fatal(violations)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/entries, "µs/object")
}

// BenchmarkNewValidator is the cost of each start of the command line, without CEL rules.
func BenchmarkNewValidator(b *testing.B) {
	for b.Loop() {
		crds := CRDs()
		if _, err := newValidator(crds); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCompileRules is the cost of the first object of each kind.
func BenchmarkCompileRules(b *testing.B) {
	for b.Loop() {
		v := newTestValidator(b)
		for _, k := range v.kinds {
			k.rules()
		}
	}
}
