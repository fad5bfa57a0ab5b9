package trace

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"istio.io/istio/pkg/kube"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/scenario"
)

// serviceLabel is the selector of Kubernetes Services: a scenario names the Service of a pod and
// states no selector.
const serviceLabel = "conformance.isthmus.dev/service"

// creationTime of all Kubernetes objects, so that their age has no effect.
var creationTime = metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))

// kubernetesObjects are the objects of one cluster that istiod reads, without Istio's kinds.
func (c *cluster) kubernetesObjects() ([]runtime.Object, error) {
	objects := []runtime.Object{c.node()}
	namespaces := c.namespaces()
	for _, ns := range slices.Sorted(maps.Keys(namespaces)) {
		objects = append(objects, &corev1.Namespace{ObjectMeta: objectMeta(ns, "", namespaces[ns])})
	}
	for _, p := range c.pods {
		objects = append(objects, p.object())
	}
	for _, s := range c.services {
		objects = append(objects, s.object())
		for _, slice := range s.slices() {
			objects = append(objects, slice)
		}
	}
	bundled, err := c.bundledCore()
	return append(objects, bundled...), err
}

// bundledCore are the Kubernetes objects of the cluster's bundle. Namespaces are left out; see
// namespaces.
func (c *cluster) bundledCore() ([]runtime.Object, error) {
	var objects []runtime.Object
	for _, key := range slices.Sorted(maps.Keys(c.bundle)) {
		object := c.bundle[key]
		if strings.Contains(fmt.Sprint(object["apiVersion"]), "istio.io/") || object["kind"] == "Namespace" {
			continue
		}
		raw, err := json.Marshal(object)
		if err != nil {
			return nil, fmt.Errorf("%s in %s: %w", key, c.Name, err)
		}
		decoded, _, err := kube.IstioCodec.UniversalDeserializer().Decode(raw, nil, nil)
		if err != nil {
			return nil, fmt.Errorf("%s in %s has neither an Istio kind nor a Kubernetes kind: %w", key, c.Name, err)
		}
		objects = append(objects, decoded)
	}
	return objects, nil
}

// namespaces are the namespaces of pods and of the bundle with their labels.
func (c *cluster) namespaces() map[string]map[string]string {
	all := map[string]map[string]string{systemNamespace: {}}
	for _, object := range c.bundle {
		metadata, _ := object["metadata"].(map[string]any)
		if ns, ok := metadata["namespace"].(string); ok && all[ns] == nil {
			all[ns] = map[string]string{}
		}
	}
	for _, object := range c.bundle {
		metadata, _ := object["metadata"].(map[string]any)
		if object["kind"] != "Namespace" {
			continue
		}
		labels, _ := metadata["labels"].(map[string]any)
		own := map[string]string{}
		for name, value := range labels {
			own[name] = fmt.Sprint(value)
		}
		all[fmt.Sprint(metadata["name"])] = own
	}
	for _, p := range c.pods {
		if p.Namespace != systemNamespace {
			all[p.Namespace] = map[string]string{"istio-injection": "enabled"}
		}
	}
	if c.Network != "" {
		all[systemNamespace]["topology.istio.io/network"] = c.Network
	}
	for ns := range all {
		all[ns]["kubernetes.io/metadata.name"] = ns
	}
	return all
}

func (c *cluster) node() *corev1.Node {
	labels := map[string]string{"kubernetes.io/hostname": c.nodeName()}
	if c.Region != "" {
		labels["topology.kubernetes.io/region"] = c.Region
	}
	if c.Zone != "" {
		labels["topology.kubernetes.io/zone"] = c.Zone
	}
	return &corev1.Node{ObjectMeta: objectMeta(c.nodeName(), "", labels)}
}

func (p *pod) object() *corev1.Pod {
	labels := p.labels()
	annotations := map[string]string{}
	if !p.NoSidecar {
		annotations["sidecar.istio.io/status"] = `{"initContainers":["istio-init"],"containers":["istio-proxy"],"revision":"default"}`
	}
	ports := make([]corev1.ContainerPort, 0, len(p.Ports))
	for _, number := range slices.Sorted(maps.Keys(p.Ports)) {
		ports = append(ports, corev1.ContainerPort{Name: p.Ports[number], ContainerPort: int32(number), Protocol: corev1.ProtocolTCP})
	}
	ready := corev1.ConditionFalse
	if p.Ready {
		ready = corev1.ConditionTrue
	}
	object := &corev1.Pod{
		ObjectMeta: objectMeta(p.objectName(), p.Namespace, labels),
		Spec: corev1.PodSpec{
			NodeName:           p.cluster.nodeName(),
			ServiceAccountName: p.ServiceAccount,
			Containers:         []corev1.Container{{Name: "app", Ports: ports}},
		},
		Status: corev1.PodStatus{
			Phase:      corev1.PodRunning,
			PodIP:      p.IP,
			PodIPs:     []corev1.PodIP{{IP: p.IP}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}},
		},
	}
	object.Annotations = annotations
	if !p.NoSidecar {
		object.Spec.Containers = append(object.Spec.Containers, corev1.Container{Name: "istio-proxy", Image: "docker.io/istio/proxyv2:" + istioVersion})
	}
	return object
}

// labels of the pod, including those that Istio's injector adds.
func (p *pod) labels() map[string]string {
	labels := maps.Clone(p.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	if p.Service != "" {
		labels[serviceLabel] = p.Service
	}
	if p.cluster.Network != "" {
		// istiod reads this label from the system namespace, which the fake server does not
		// support.
		labels["topology.istio.io/network"] = p.cluster.Network
	}
	if p.NoSidecar {
		labels["sidecar.istio.io/inject"] = "false"
	} else {
		labels["security.istio.io/tlsMode"] = "istio"
		labels["service.istio.io/canonical-name"] = cmp.Or(labels["app"], p.ServiceAccount)
		labels["service.istio.io/canonical-revision"] = cmp.Or(labels["version"], "latest")
	}
	return labels
}

// service is the Kubernetes Service of pods or of a gateway.
type service struct {
	cluster   *cluster
	name      string
	namespace string
	labels    map[string]string
	selector  map[string]string
	clusterIP string
	external  []string
	ports     []servicePort
	pods      []*pod
}

type servicePort struct {
	name         string
	port, target int
}

func (s *service) host() string { return s.name + "." + s.namespace + ".svc.cluster.local" }

func (s *service) object() *corev1.Service {
	object := &corev1.Service{
		ObjectMeta: objectMeta(s.name, s.namespace, s.labels),
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: s.clusterIP, ClusterIPs: []string{s.clusterIP}, Selector: s.selector,
		},
	}
	for _, p := range s.ports {
		object.Spec.Ports = append(object.Spec.Ports, corev1.ServicePort{
			Name: p.name, Port: int32(p.port), TargetPort: intstr.FromInt32(int32(p.target)), Protocol: corev1.ProtocolTCP,
		})
	}
	if len(s.external) > 0 {
		object.Spec.Type = corev1.ServiceTypeLoadBalancer
		for _, address := range s.external {
			object.Status.LoadBalancer.Ingress = append(object.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: address})
		}
	}
	return object
}

// slices returns one EndpointSlice per pod, because pods of a Service may listen on different
// ports.
func (s *service) slices() []*discoveryv1.EndpointSlice {
	var all []*discoveryv1.EndpointSlice
	for _, p := range s.pods {
		slice := &discoveryv1.EndpointSlice{
			ObjectMeta:  objectMeta(s.name+"-"+p.objectName(), s.namespace, map[string]string{discoveryv1.LabelServiceName: s.name}),
			AddressType: discoveryv1.AddressTypeIPv4,
			Endpoints: []discoveryv1.Endpoint{{
				Addresses:  []string{p.IP},
				Conditions: discoveryv1.EndpointConditions{Ready: new(p.Ready)},
				NodeName:   new(p.cluster.nodeName()),
				TargetRef:  &corev1.ObjectReference{Kind: "Pod", Name: p.objectName(), Namespace: p.Namespace},
			}},
		}
		for _, port := range s.ports {
			if target := p.targetOf(s, port); target != 0 {
				slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{
					Name: new(port.name), Port: new(int32(target)), Protocol: new(corev1.ProtocolTCP),
				})
			}
		}
		all = append(all, slice)
	}
	return all
}

// targetOf is the pod's port behind a port of the Service, 0 for none.
func (p *pod) targetOf(s *service, port servicePort) int {
	if s.selector[serviceLabel] == "" {
		return port.target
	}
	return p.ServicePorts[port.port]
}

func objectMeta(name, namespace string, labels map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: labels, CreationTimestamp: creationTime}
}

// podServices are the Kubernetes Services of the cluster's pods, sorted by namespace and name.
func (c *cluster) podServices() []*service {
	byName := map[string]*service{}
	for _, p := range c.pods {
		if p.Service == "" {
			continue
		}
		key := p.Namespace + "/" + p.Service
		s := byName[key]
		if s == nil {
			s = &service{
				cluster: c, name: p.Service, namespace: p.Namespace,
				selector: map[string]string{serviceLabel: p.Service},
			}
			byName[key] = s
		}
		s.pods = append(s.pods, p)
		s.addPorts(p.Pod)
	}
	var all []*service
	for i, key := range slices.Sorted(maps.Keys(byName)) {
		s := byName[key]
		s.clusterIP = fmt.Sprintf("10.%d.%d.%d", 96+c.index, i/250, i%250+1)
		slices.SortFunc(s.ports, func(a, b servicePort) int { return cmp.Compare(a.port, b.port) })
		all = append(all, s)
	}
	return all
}

// addPorts adds the Service's ports of this pod. Each has the name of the container port, if any.
func (s *service) addPorts(p scenario.Pod) {
	for _, port := range slices.Sorted(maps.Keys(p.ServicePorts)) {
		target := p.ServicePorts[port]
		if slices.ContainsFunc(s.ports, func(have servicePort) bool { return have.port == port }) {
			continue
		}
		name := cmp.Or(p.Ports[target], fmt.Sprintf("port-%d", port))
		if slices.ContainsFunc(s.ports, func(have servicePort) bool { return have.name == name }) {
			name = fmt.Sprintf("%s-%d", name, port)
		}
		s.ports = append(s.ports, servicePort{name: name, port: port, target: target})
	}
}

// Objects are the Kubernetes objects of one cluster that istiod reads, with their kinds: those of
// the platform and those of the bundle.
func Objects(sc *scenario.Scenario, name string) ([]runtime.Object, error) {
	i := slices.IndexFunc(sc.Clusters, func(c scenario.Cluster) bool { return c.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("there is no cluster %q in the scenario", name)
	}
	c := newCluster(sc, i)
	c.addGateways(sc.Bundles[c.controlPlaneName()])
	objects, err := c.kubernetesObjects()
	for _, object := range objects {
		kinds, _, kindErr := kube.IstioScheme.ObjectKinds(object)
		if kindErr != nil || len(kinds) == 0 {
			return nil, fmt.Errorf("an object of cluster %s has no kind: %w", name, kindErr)
		}
		object.GetObjectKind().SetGroupVersionKind(kinds[0])
	}
	return objects, err
}
