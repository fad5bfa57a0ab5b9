package trace

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"istio.io/istio/pkg/kube"
)

// fakeClient is Istio's fake of an API server with these objects. They are put in behind its back: creating one takes client-go's fake ten
// milliseconds of managed fields, which was most of the time of a world.
func fakeClient(objects ...runtime.Object) kube.Client {
	client := kube.NewFakeClient()
	tracker := client.Kube().(*fake.Clientset).Tracker()
	for _, object := range objects {
		if err := tracker.Add(object); err != nil {
			panic(fmt.Sprintf("two objects of one name: %v", err))
		}
	}
	return client
}
