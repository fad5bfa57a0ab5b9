package trace

import (
	"fmt"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// workloadCertificate is the SDS secret of the workload's own certificate.
const workloadCertificate = "default"

// upstreamTLS is the TLS that a proxy uses for an endpoint.
type upstreamTLS struct {
	sni     string
	alpn    []string
	mutual  bool
	accepts []*matcherv3.StringMatcher
}

// transport is the TLS for an endpoint, nil for plain text.
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
		return nil, fmt.Errorf("cluster %s uses a certificate other than the workload's, which is not supported", c.Name)
	}
	var err error
	t.accepts, err = subjectAltNames(common)
	return t, err
}

// socketMatches reports whether the endpoint's metadata contains all wanted fields.
func socketMatches(want, have *structpb.Struct) bool {
	for name, value := range want.GetFields() {
		if have.GetFields()[name].GetStringValue() != value.GetStringValue() || have.GetFields()[name] == nil {
			return false
		}
	}
	return true
}

// subjectAltNames are the names of the peer that a TLS context accepts. An empty list accepts every
// certificate of the CA.
func subjectAltNames(common *tlsv3.CommonTlsContext) ([]*matcherv3.StringMatcher, error) {
	validation := common.GetValidationContext()
	if combined := common.GetCombinedValidationContext(); combined != nil {
		validation = combined.GetDefaultValidationContext()
	}
	var all []*matcherv3.StringMatcher
	for _, m := range validation.GetMatchTypedSubjectAltNames() {
		all = append(all, m.Matcher)
	}
	all = append(all, validation.GetMatchSubjectAltNames()...) //nolint:staticcheck // Istio still sets the deprecated field.
	if validation.GetCustomValidatorConfig() != nil {
		return nil, fmt.Errorf("unsupported certificate validator %s", validation.GetCustomValidatorConfig().Name)
	}
	return all, nil
}
