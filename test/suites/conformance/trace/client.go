package trace

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"istio.io/istio/pkg/kube"
)

// fakeClient is Istio's fake API server with these objects. The objects are added to its tracker:
// Create computes managed fields, which took 10 ms per object and most of the time of a scenario.
func fakeClient(objects ...runtime.Object) kube.Client {
	client := kube.NewFakeClient()
	tracker := client.Kube().(*fake.Clientset).Tracker()
	for _, object := range objects {
		if err := tracker.Add(object); err != nil {
			panic(fmt.Sprintf("two objects have the same name: %v", err))
		}
	}
	return client
}
