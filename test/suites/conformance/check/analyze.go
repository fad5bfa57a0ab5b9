package check

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"istio.io/istio/pkg/config/analysis/analyzers"
	"istio.io/istio/pkg/config/analysis/local"
	"istio.io/istio/pkg/config/resource"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/scenario"
	"github.com/isthmus-mesh/isthmus/test/suites/conformance/trace"
)

// Analyze runs istioctl's analyzers on a cluster: its bundle and the Kubernetes objects of the
// scenario. Findings about those Kubernetes objects are left out. False alarms are included; see
// [Filter].
func Analyze(sc *scenario.Scenario, cluster string) ([]Finding, error) {
	trace.SilenceIstio()
	documents, err := clusterDocuments(sc, cluster)
	if err != nil {
		return nil, err
	}
	sources := []local.ReaderSource{{Name: cluster, Reader: strings.NewReader(strings.Join(documents, "\n---\n"))}}
	analyzer := local.NewIstiodAnalyzer(analyzers.AllCombined(), "", resource.Namespace("istio-system"), nil)
	if err := analyzer.AddTestReaderKubeSource(sources); err != nil {
		return nil, fmt.Errorf("objects of cluster %s: %w", cluster, err)
	}
	stop := make(chan struct{})
	defer close(stop)
	result, err := analyzer.Analyze(stop)
	if err != nil {
		return nil, fmt.Errorf("analysis of cluster %s: %w", cluster, err)
	}
	var findings []Finding
	for _, m := range result.Messages {
		if _, rendered := sc.Bundles[cluster][resourceOf(m.Resource)]; !rendered && m.Resource != nil {
			continue
		}
		findings = append(findings, Finding{
			Resource: resourceOf(m.Resource), Level: strings.ToLower(m.Type.Level().String()), Code: m.Type.Code(),
			Message: fmt.Sprintf(m.Type.Template(), m.Parameters...),
		})
	}
	return findings, nil
}

func resourceOf(r *resource.Instance) string {
	if r == nil {
		return ""
	}
	return strings.Join([]string{r.Metadata.Schema.Kind(), r.Metadata.FullName.Namespace.String(), r.Metadata.FullName.Name.String()}, "/")
}

func clusterDocuments(sc *scenario.Scenario, cluster string) ([]string, error) {
	objects, err := trace.Objects(sc, cluster)
	if err != nil {
		return nil, err
	}
	var documents []string
	for _, object := range objects {
		raw, err := json.Marshal(object)
		if err != nil {
			return nil, err
		}
		documents = append(documents, string(raw))
	}
	bundle := sc.Bundles[cluster]
	for _, key := range slices.Sorted(maps.Keys(bundle)) {
		if !strings.Contains(fmt.Sprint(bundle[key]["apiVersion"]), "istio.io/") {
			continue
		}
		raw, err := json.Marshal(bundle[key])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		documents = append(documents, string(raw))
	}
	return documents, nil
}
