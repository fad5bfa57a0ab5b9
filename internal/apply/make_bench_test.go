package apply

import "testing"

// A plan is made on every drift and every interval, so it must cost little where nothing changed.
func BenchmarkPlanOfFiveThousandEqualObjects(b *testing.B) {
	objects := rules(5000)
	bundle := bundleOf(objects...)
	view := ourObjects(objects...)
	options := PlanOptions{Owner: testOwner, Prune: true, MaxPrunePercent: 20}
	b.ReportAllocs()
	for b.Loop() {
		if plan := Make(bundle, view, options); plan.Unchanged != 5000 {
			b.Fatalf("unchanged: %d", plan.Unchanged)
		}
	}
}
