package execute

import (
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// NewClient returns the client of an [Applier]. A default client waits and repeats up to ten times
// within one call if the API server sends Retry-After. The applier would then neither learn of the
// throttling nor let other writes go first.
func NewClient(config *rest.Config) (dynamic.Interface, error) {
	config = dynamic.ConfigFor(config)
	config.GroupVersion = nil
	config.APIPath = "/not-used" // a dynamic client knows the path of each resource
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return nil, err
	}
	return dynamic.New(noRetries{client}), nil
}

// noRetries sends each request once.
type noRetries struct{ rest.Interface }

func (o noRetries) Get() *rest.Request    { return o.Interface.Get().MaxRetries(0) }
func (o noRetries) Post() *rest.Request   { return o.Interface.Post().MaxRetries(0) }
func (o noRetries) Put() *rest.Request    { return o.Interface.Put().MaxRetries(0) }
func (o noRetries) Delete() *rest.Request { return o.Interface.Delete().MaxRetries(0) }

func (o noRetries) Patch(kind types.PatchType) *rest.Request {
	return o.Interface.Patch(kind).MaxRetries(0)
}
