package trace

import (
	"fmt"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// workloadCertificate is the secret under which a sidecar holds its own certificate.
const workloadCertificate = "default"

// upstreamTLS is the TLS that a proxy opens towards an endpoint.
type upstreamTLS struct {
	sni     string
	alpn    []string
	mutual  bool
	accepts []*matcherv3.StringMatcher
}

// transport is the TLS towards an endpoint, nil for none.
func transport(c *clusterv3.Cluster, endpoint *corev3.Metadata) (*upstreamTLS, error) {
	socket := c.TransportSocket
	for _, m := range c.TransportSocketMatches {
		if socketMatches(m.GetMatch(), endpoint.GetFilterMetadata()["envoy.transport_socket_match"]) {
			socket = m.TransportSocket
			break
		}
	}
	if socket == nil || socket.GetTypedConfig().MessageName() == "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer" {
		return nil, nil
	}
	context := &tlsv3.UpstreamTlsContext{}
	if err := socket.GetTypedConfig().UnmarshalTo(context); err != nil {
		return nil, fmt.Errorf("the transport socket %s of cluster %s: %w", socket.Name, c.Name, err)
	}
	common := context.GetCommonTlsContext()
	t := &upstreamTLS{sni: context.Sni, alpn: common.GetAlpnProtocols()}
	switch certificates := common.GetTlsCertificateSdsSecretConfigs(); {
	case len(certificates) == 1 && certificates[0].Name == workloadCertificate:
		t.mutual = true
	case len(certificates) > 0 || len(common.GetTlsCertificates()) > 0:
		return nil, fmt.Errorf("cluster %s shows a certificate that is not the workload's", c.Name)
	}
	var err error
	t.accepts, err = subjectAltNames(common)
	return t, err
}

// socketMatches is true where each pair asked for stands in the endpoint's metadata.
func socketMatches(asked, have *structpb.Struct) bool {
	for name, value := range asked.GetFields() {
		if have.GetFields()[name].GetStringValue() != value.GetStringValue() || have.GetFields()[name] == nil {
			return false
		}
	}
	return true
}

// subjectAltNames are those that a TLS context takes from the other side; none is all that the CA signed.
func subjectAltNames(common *tlsv3.CommonTlsContext) ([]*matcherv3.StringMatcher, error) {
	validation := common.GetValidationContext()
	if combined := common.GetCombinedValidationContext(); combined != nil {
		validation = combined.GetDefaultValidationContext()
	}
	var all []*matcherv3.StringMatcher
	for _, m := range validation.GetMatchTypedSubjectAltNames() {
		all = append(all, m.Matcher)
	}
	all = append(all, validation.GetMatchSubjectAltNames()...) //nolint:staticcheck // Istio still writes it.
	if validation.GetCustomValidatorConfig() != nil {
		return nil, fmt.Errorf("the validator %s", validation.GetCustomValidatorConfig().Name)
	}
	return all, nil
}
