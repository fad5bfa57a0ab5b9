package plans_test

import (
	"testing"

	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
	"github.com/isthmus-mesh/isthmus/test/support/plantest"
)

// A plan is made on every drift and every interval, so it must cost little where nothing changed.
func BenchmarkPlanOfFiveThousandEqualObjects(b *testing.B) {
	objects := istiotest.DestinationRules(5000)
	bundle := istiotest.Bundle(objects...)
	view := plantest.LiveState(objects...)
	options := plans.Options{Owner: plantest.Owner, Prune: true, MaxPrunePercent: 20}
	b.ReportAllocs()
	for b.Loop() {
		if plan := plans.Make(bundle, view, options); plan.Unchanged != 5000 {
			b.Fatalf("unchanged: %d", plan.Unchanged)
		}
	}
}
