package suite

import (
	"slices"
	"testing"

	resources "github.com/isthmus-mesh/isthmus/test/suites/conformance/check"
)

// Every resource of every world is one that Istio's webhook admits without a warning, and that istioctl's analyzers have nothing to say about,
// known false alarms aside; and every one of those is needed.
func TestIstioAndIstioctlAcceptEveryResource(t *testing.T) {
	known := resources.Known{}
	t.Run("worlds", func(t *testing.T) {
		for _, s := range scenes(t) {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				r := s.load(t)
				w := worldOf(r, s.Deviations)
				for _, cluster := range slices.Sorted(maps(w.Bundles)) {
					for _, f := range resources.Validate(w.Bundles[cluster]) {
						t.Errorf("webhook in %s: %s", cluster, f)
					}
					findings, err := resources.Analyze(&w, cluster)
					if err != nil {
						t.Fatal(err)
					}
					for _, f := range known.Real(&w, cluster, findings) {
						t.Errorf("istioctl analyze in %s: %s", cluster, f)
					}
				}
			})
		}
	})
	for _, alarm := range known.Unused() {
		t.Errorf("the false alarm %q is never raised: leave it out", alarm)
	}
}
