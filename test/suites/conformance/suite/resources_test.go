package suite

import (
	"maps"
	"slices"
	"testing"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/check"
)

// Every entry of the table of false alarms must match a finding.
func TestWebhookAndAnalyzersAcceptEveryResource(t *testing.T) {
	filter := check.Filter{}
	t.Run("scenarios", func(t *testing.T) {
		for _, s := range scenarioFolders(t) {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				r := s.load(t)
				sc := newScenario(r, s.Deviations)
				for _, cluster := range slices.Sorted(maps.Keys(sc.Bundles)) {
					for _, f := range check.Validate(sc.Bundles[cluster]) {
						t.Errorf("webhook in %s: %s", cluster, f)
					}
					findings, err := check.Analyze(&sc, cluster)
					if err != nil {
						t.Fatal(err)
					}
					for _, f := range filter.Real(&sc, cluster, findings) {
						t.Errorf("istioctl analyze in %s: %s", cluster, f)
					}
				}
			})
		}
	})
	for _, alarm := range filter.Unused() {
		t.Errorf("the false alarm %q does not occur: remove it from the table", alarm)
	}
}
