package execute

import (
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// NewClient makes the client for an [Applier]. That of client-go waits by itself where the API server says for how long, up to ten times and within
// one call, in which the applier would neither learn that the API server is too busy nor let another write go first.
func NewClient(config *rest.Config) (dynamic.Interface, error) {
	config = dynamic.ConfigFor(config)
	config.GroupVersion = nil
	config.APIPath = "/not-used" // A dynamic client knows the path of each resource.
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return nil, err
	}
	return dynamic.New(once{client}), nil
}

// once sends each request one time.
type once struct{ rest.Interface }

func (o once) Get() *rest.Request    { return o.Interface.Get().MaxRetries(0) }
func (o once) Post() *rest.Request   { return o.Interface.Post().MaxRetries(0) }
func (o once) Put() *rest.Request    { return o.Interface.Put().MaxRetries(0) }
func (o once) Delete() *rest.Request { return o.Interface.Delete().MaxRetries(0) }

func (o once) Patch(kind types.PatchType) *rest.Request { return o.Interface.Patch(kind).MaxRetries(0) }
