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

// groupClusters puts both clusters into one discovery group. The service stock in west gets its
// Kubernetes name as host and is called from east, where the name resolves only with a Service.
func groupClusters(git *gitops.Repository) string {
	git.T.Helper()
	return git.Commit(map[string]string{"group.cue": `package config

clusters: [string]: discovery: "one"
services: stock: hosts: ["stock.stock.svc.cluster.local"]
`})
}

// stub reads the Service.
func (env *environment) stub() *corev1.Service {
	env.T.Helper()
	stub := &corev1.Service{}
	must(env.T, env.Admin.Get(env.T.Context(), client.ObjectKey{Namespace: "stock", Name: "stock"}, stub))
	return stub
}

// stubbed waits until the Service equals the repository and has an address.
func (env *environment) stubbed() *corev1.Service {
	env.T.Helper()
	grpc := "grpc"
	var stub *corev1.Service
	env.Until("the stub equals the repository", func() (bool, string) {
		stub = &corev1.Service{}
		if err := env.Admin.Get(env.T.Context(), client.ObjectKey{Namespace: "stock", Name: "stock"}, stub); err != nil {
			return false, err.Error()
		}
		want := corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, SessionAffinity: corev1.ServiceAffinityNone}
		want.Ports = []corev1.ServicePort{{Name: "grpc", Port: 9000, Protocol: corev1.ProtocolTCP, AppProtocol: &grpc}}
		have := *stub.Spec.DeepCopy()
		if have.ClusterIP == "" || have.ClusterIP == corev1.ClusterIPNone {
			return false, "it has no address"
		}
		// Defaults of the API server.
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
	return r.Writes() && strings.HasPrefix(r.Path, "/api/v1/namespaces/stock/services")
}

func TestStubServiceIsCreatedOnceAndPruned(t *testing.T) {
	env := newEnvironment(t)
	grouped := groupClusters(env.Git)
	c := env.start()
	env.Create("mesh")
	env.Applied("mesh", grouped)
	stub := env.stubbed()
	if stub.Labels[partOf] == "" || stub.Labels["isthmus.dev/service"] != "stock" || stub.Labels["isthmus.dev/side"] != "call" {
		t.Errorf("the stub has its labels: %v", stub.Labels)
	}

	// The first reconciliations may still write the status. After that nothing is sent, not even after
	// a restart.
	env.Polled(3)
	c.recorder.reset()
	env.Polled(5)
	checkIdle := func(c *controller) {
		t.Helper()
		if sent := c.recorder.requests(notWatching); len(sent) > 0 {
			t.Errorf("intervals without any change sent %q", sent)
		}
	}
	checkIdle(c)
	c.stop()
	c = env.start()
	env.Polled(3)
	if sent := c.recorder.requests(func(r request) bool { return stubWrites(r) || r.Writes() && r.Istio() }); len(sent) > 0 {
		t.Errorf("after a restart the controller wrote: %q", sent)
	}
	if now := env.stub(); now.ResourceVersion != stub.ResourceVersion {
		t.Error("the stub was updated without a change")
	}

	env.ready("mesh", env.Git.Restore(env.Git.First))
	if env.Objects()[stubKey] != nil {
		t.Error("the stub still exists")
	}
}

func TestDriftOfAStubServiceIsCorrectedAndItsAddressKept(t *testing.T) {
	env := newEnvironment(t)
	grouped := groupClusters(env.Git)
	c := env.start()
	env.Create("mesh", pollHourly)
	env.Applied("mesh", grouped)
	before := env.stubbed()
	for name, tc := range map[string]struct {
		reason string
		change func(*corev1.Service)
	}{
		"SelectorAdded": {"calls would reach the selected pods", func(s *corev1.Service) { s.Spec.Selector = map[string]string{"app": "mine"} }},
		"PortChanged":   {"callers use the port of the repository", func(s *corev1.Service) { s.Spec.Ports[0].Port = 9001 }},
		"NodePort":      {"a NodePort opens the service on every node", func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeNodePort }},
		"MarkRemoved":   {"an object without the label would never be pruned", func(s *corev1.Service) { delete(s.Labels, partOf) }},
	} {
		t.Run(name, func(t *testing.T) {
			env := &environment{gitops.NewEnv(t, env.Cluster, env.Git)}
			c.recorder.reset()
			changed := env.stub()
			tc.change(changed)
			must(t, env.Admin.Update(t.Context(), changed))
			env.Until("the label is restored and the version has changed", func() (bool, string) {
				now := env.stub()
				return now.Labels[partOf] != "" && now.ResourceVersion != changed.ResourceVersion, now.String()
			})
			after := env.stubbed()
			if diff := cmp.Diff(before.Spec, after.Spec); diff != "" || after.UID != before.UID {
				t.Errorf("%s: -before, +after:\n%s", tc.reason, diff)
			}
			if writes := c.recorder.requests(stubWrites); len(writes) != 1 {
				t.Errorf("%s: the correction needs exactly one write; sent %q", tc.reason, writes)
			}
		})
	}
}

func TestForeignServiceIsRefusedAndUnchanged(t *testing.T) {
	env := newEnvironment(t)
	foreign := env.create(&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Service",
		"metadata": map[string]any{"namespace": "stock", "name": "stock"},
		"spec":     map[string]any{"selector": map[string]any{"app": "stock"}, "ports": []any{map[string]any{"name": "grpc", "port": int64(9000)}}},
	}})
	groupClusters(env.Git)
	c := env.start()
	env.Create("mesh")
	ms := env.NotReady("mesh", v1alpha1.ReasonRefused)
	if len(ms.Status.Errors) != 1 || ms.Status.Errors[0].Resource != stubKey || ms.Status.Errors[0].Service != "stock" {
		t.Errorf("the status names the Service and its mesh service: %s", describe(ms))
	}
	env.ready("mesh", env.Git.Restore(env.Git.First))
	env.Change("mesh", func(ms *v1alpha1.MeshSync) { ms.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
	env.delete("mesh")
	if now := env.stub(); now.ResourceVersion != foreign.GetResourceVersion() {
		t.Error("the foreign Service was changed")
	}
	if writes := c.recorder.requests(stubWrites); len(writes) > 0 {
		t.Errorf("the controller tried to write: %q", writes)
	}
	must(t, env.Admin.Delete(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "stock", Name: "stock"}}))
}

func TestTemplateMayNotRenderAnotherKindOfService(t *testing.T) {
	env := newEnvironment(t)
	env.start()
	env.Create("mesh", haltOnError)
	env.ready("mesh", env.Git.First)
	bad := env.Git.Commit(map[string]string{"balancer.cue": `package config

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
	ms := env.notReadyAt("mesh", v1alpha1.ReasonInvalidContent, bad)
	if !strings.Contains(message(ms), "a mesh repository may render a Service only as a stub") {
		t.Errorf("the message names the rule: %s", message(ms))
	}
	for key := range env.owned() {
		if strings.HasPrefix(key, "Service/") {
			t.Errorf("%s was created", key)
		}
	}
}
