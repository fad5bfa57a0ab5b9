package evaluate_test

import (
	"errors"
	"testing"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

func TestFindingForAnUnknownClusterHasACode(t *testing.T) {
	const noRegion = "package config\n\nclusters: south: gateways: [{address: \"192.0.2.77\"}]\n"
	for name, tc := range map[string]struct {
		reason, cluster string
		files           map[string]string
		want            bool
	}{
		"Shards":            {"evaluated in shards", "north", nil, true},
		"OnePiece":          {"evaluated in one piece", "north", map[string]string{"all.cue": "package config\n\n_services: len(services)\n"}, true},
		"InvalidCluster":    {"an error in a cluster of the inventory", "south", map[string]string{"south.cue": noRegion}, false},
		"InvalidInOnePiece": {"an error in a cluster of the inventory", "south", map[string]string{"south.cue": noRegion, "all.cue": "package config\n\n_services: len(services)\n"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newTree(t)
			_, err := evaluate.Evaluate(t.Context(), r.commit(tc.files), evaluate.Options{Cluster: tc.cluster})
			var findings manifest.Findings
			if !errors.As(err, &findings) {
				t.Fatalf("%s: got %v, want findings", tc.reason, err)
			}
			if findings.Has(manifest.UnknownCluster) != tc.want {
				t.Errorf("%s: code %s: %t, want %t: %v", tc.reason, manifest.UnknownCluster, !tc.want, tc.want, err)
			}
		})
	}
}
