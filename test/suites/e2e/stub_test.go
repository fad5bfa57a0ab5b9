package e2e_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/test/support/gitops"
)

const stubKey = "Service/stock/stock"

// group lets the clusters of the example discover each other, with a service in west under its Kubernetes name that is called from east:
// there the name resolves only if a Service of it is there.
func group(git *gitops.Repository) string {
	git.T.Helper()
	return git.Commit(map[string]string{"group.cue": `package config

clusters: [string]: discovery: "one"
services: stock: hosts: ["stock.stock.svc.cluster.local"]
`})
}

// stub is the Service of that name as Kubernetes knows it.
func (w *world) stub() *corev1.Service {
	w.T.Helper()
	stub := &corev1.Service{}
	must(w.T, w.Admin.Get(w.T.Context(), client.ObjectKey{Namespace: "stock", Name: "stock"}, stub))
	return stub
}

// stubbed waits until the stub is as the example says, with an address.
func (w *world) stubbed() *corev1.Service {
	w.T.Helper()
	grpc := "grpc"
	var stub *corev1.Service
	w.Until("the stub is as the repository says", func() (bool, string) {
		stub = &corev1.Service{}
		if err := w.Admin.Get(w.T.Context(), client.ObjectKey{Namespace: "stock", Name: "stock"}, stub); err != nil {
			return false, err.Error()
		}
		want := corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, SessionAffinity: corev1.ServiceAffinityNone}
		want.Ports = []corev1.ServicePort{{Name: "grpc", Port: 9000, Protocol: corev1.ProtocolTCP, AppProtocol: &grpc}}
		have := *stub.Spec.DeepCopy()
		if have.ClusterIP == "" || have.ClusterIP == corev1.ClusterIPNone {
			return false, "it has no address"
		}
		// What the API server gives to every Service.
		have.ClusterIP, have.ClusterIPs, have.IPFamilies, have.IPFamilyPolicy, have.InternalTrafficPolicy = "", nil, nil, nil, nil
		for i := range have.Ports {
			have.Ports[i].TargetPort.IntVal = 0
		}
		diff := cmp.Diff(want, have)
		return diff == "", diff
	})
	return stub
}

func stubWrites(r request) bool {
	return r.writes() && strings.HasPrefix(r.Path, "/api/v1/namespaces/stock/services")
}

func TestAStubIsMadeWithTheControllersOwnRightsLeftAloneAndPruned(t *testing.T) {
	w := newWorld(t)
	grouped := group(w.Git)
	c := w.start()
	w.Create("mesh")
	w.Applied("mesh", grouped)
	stub := w.stubbed()
	if stub.Labels[partOf] == "" || stub.Labels["isthmus.dev/service"] != "stock" || stub.Labels["isthmus.dev/side"] != "call" {
		t.Errorf("it carries the marks: %v", stub.Labels)
	}

	// The first looks may still write the status; after that nothing is sent, also after a restart.
	w.Polled(3)
	c.wire.forget()
	w.Polled(5)
	quiet := func(c *controller) {
		t.Helper()
		if sent := c.wire.requests(func(r request) bool { return !r.lease() && !r.watches() }); len(sent) > 0 {
			t.Errorf("intervals without any change sent %q", sent)
		}
	}
	quiet(c)
	c.stop()
	c = w.start()
	w.Polled(3)
	if sent := c.wire.requests(func(r request) bool { return stubWrites(r) || r.writes() && r.resources() }); len(sent) > 0 {
		t.Errorf("a restart writes nothing, and sent %q", sent)
	}
	if now := w.stub(); now.ResourceVersion != stub.ResourceVersion {
		t.Error("the stub was written although nothing changed")
	}

	w.ready("mesh", w.Git.Restore(w.Git.First))
	if w.Objects()[stubKey] != nil {
		t.Error("the stub is still there")
	}
}

func TestDriftOfAStubIsUndoneAndItKeepsItsAddress(t *testing.T) {
	w := newWorld(t)
	grouped := group(w.Git)
	c := w.start()
	w.Create("mesh", hourly)
	w.Applied("mesh", grouped)
	before := w.stubbed()
	for name, tc := range map[string]struct {
		reason string
		spoil  func(*corev1.Service)
	}{
		"SelectorAdded": {"it would lead the calls to this person's pods", func(s *corev1.Service) { s.Spec.Selector = map[string]string{"app": "mine"} }},
		"PortChanged":   {"callers use the one of the repository", func(s *corev1.Service) { s.Spec.Ports[0].Port = 9001 }},
		"NodePort":      {"it would open the service on every node", func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeNodePort }},
		"MarkRemoved":   {"an object without its mark would never be pruned", func(s *corev1.Service) { delete(s.Labels, partOf) }},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{gitops.NewWorld(t, w.Cluster, w.Git)}
			c.wire.forget()
			spoilt := w.stub()
			tc.spoil(spoilt)
			must(t, w.Admin.Update(t.Context(), spoilt))
			w.Until("the mark is there and the version another", func() (bool, string) {
				now := w.stub()
				return now.Labels[partOf] != "" && now.ResourceVersion != spoilt.ResourceVersion, now.String()
			})
			after := w.stubbed()
			if diff := cmp.Diff(before.Spec, after.Spec); diff != "" || after.UID != before.UID {
				t.Errorf("%s: -before, +after:\n%s", tc.reason, diff)
			}
			if writes := c.wire.requests(stubWrites); len(writes) != 1 {
				t.Errorf("%s: it is put right with one write; sent %q", tc.reason, writes)
			}
		})
	}
}

func TestAForeignServiceIsRefusedAndSurvives(t *testing.T) {
	w := newWorld(t)
	foreign := w.make(&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Service",
		"metadata": map[string]any{"namespace": "stock", "name": "stock"},
		"spec":     map[string]any{"selector": map[string]any{"app": "stock"}, "ports": []any{map[string]any{"name": "grpc", "port": int64(9000)}}},
	}})
	group(w.Git)
	c := w.start()
	w.Create("mesh")
	ms := w.NotReady("mesh", v1alpha1.ReasonRefused)
	if len(ms.Status.Errors) != 1 || ms.Status.Errors[0].Resource != stubKey || ms.Status.Errors[0].Service != "stock" {
		t.Errorf("the status names the Service and whose it should be: %s", describe(ms))
	}
	w.ready("mesh", w.Git.Restore(w.Git.First))
	w.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
	w.delete("mesh")
	if now := w.stub(); now.ResourceVersion != foreign.GetResourceVersion() {
		t.Error("the foreign Service was touched")
	}
	if writes := c.wire.requests(stubWrites); len(writes) > 0 {
		t.Errorf("the controller tried: %q", writes)
	}
	must(t, w.Admin.Delete(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "stock", Name: "stock"}}))
}

func TestATemplateThatMakesAnotherServiceIsRefused(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.Create("mesh", halting)
	w.ready("mesh", w.Git.First)
	bad := w.Git.Commit(map[string]string{"balancer.cue": `package config

#template: {
	name:      string
	namespace: string
	resources: "Service/\(namespace)/\(name)": {
		apiVersion: "v1"
		kind:       "Service"
		metadata: {"name": name, "namespace": namespace}
		spec: {type: "LoadBalancer", selector: app: name, ports: [{name: "http", port: 80}]}
	}
}
`})
	ms := w.refuses("mesh", v1alpha1.ReasonInvalidContent, bad)
	if !strings.Contains(message(ms), "a mesh repository may render a Service only as a stub") {
		t.Errorf("the message says what may be rendered: %s", message(ms))
	}
	for key := range w.ours() {
		if strings.HasPrefix(key, "Service/") {
			t.Errorf("%s was made", key)
		}
	}
}
