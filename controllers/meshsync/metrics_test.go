package meshsync

import (
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/runtime/conditions"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/execute"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/preflight"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

func TestDocumentationListsEveryMetric(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(isthmus_[a-z_]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, row[1])
	}
	named := regexp.MustCompile(`fqName: "([^"]+)"`)
	var exist []string
	for _, collector := range NewMetrics(time.Now).Collectors() {
		descs := make(chan *prometheus.Desc, 10)
		collector.Describe(descs)
		close(descs)
		for desc := range descs {
			exist = append(exist, named.FindStringSubmatch(desc.String())[1])
		}
	}
	slices.Sort(documented)
	slices.Sort(exist)
	if len(exist) == 0 {
		t.Fatal("found no metric")
	}
	if diff := cmp.Diff(exist, documented); diff != "" {
		t.Errorf("docs/metrics.md and the metrics differ: -exist, +documented:\n%s", diff)
	}
}

func TestLagGrowsWhileNothingRuns(t *testing.T) {
	now := time.Unix(1000, 0)
	m := NewMetrics(func() time.Time { return now })
	key := types.NamespacedName{Namespace: "isthmus-system", Name: "mesh"}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m.lag)
	expect := func(reason string, want ...float64) {
		t.Helper()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var got []float64
		for _, family := range families {
			for _, metric := range family.GetMetric() {
				got = append(got, metric.GetGauge().GetValue())
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want, +got:\n%s", reason, diff)
		}
	}
	m.lag.set(key, now, true)
	now = now.Add(90 * time.Second)
	expect("a commit waits for 90 seconds", 90)
	m.lag.set(key, time.Time{}, true)
	expect("all that was seen is applied", 0)
	m.forget(key)
	expect("a MeshSync that is gone has no series")
}

func TestForgottenMeshSyncHasNoSeries(t *testing.T) {
	m := NewMetrics(time.Now)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m.Collectors()...)
	m.reconciles.WithLabelValues("ns", "gone", "Succeeded").Inc()
	m.resources.WithLabelValues("ns", "gone", "desired").Set(3)
	m.preflight.WithLabelValues("ns", "gone", "GatewayOverlaps").Set(1)
	m.ready.WithLabelValues("ns", "gone").Set(1)
	m.observing.WithLabelValues("ns", "gone").Set(1)
	m.ready.WithLabelValues("ns", "stays").Set(1)
	m.forget(types.NamespacedName{Namespace: "ns", Name: "gone"})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := 0
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			series++
			for _, label := range metric.GetLabel() {
				if label.GetValue() == "gone" {
					t.Errorf("%s still has a series of the deleted MeshSync", family.GetName())
				}
			}
		}
	}
	if series != 1 {
		t.Errorf("want only the series of the other MeshSync, got %d", series)
	}
}

func TestSuspendedAndObservingAreMetrics(t *testing.T) {
	steps := []struct {
		reason string
		spec   v1alpha1.MeshSyncSpec
		want   map[string]float64
	}{
		{"it writes", v1alpha1.MeshSyncSpec{Mode: v1alpha1.ModeApply}, map[string]float64{"isthmus_suspended": 0, "isthmus_observing": 0}},
		{"it only observes, and may be well in that", v1alpha1.MeshSyncSpec{Mode: v1alpha1.ModeObserve}, map[string]float64{"isthmus_suspended": 0, "isthmus_observing": 1}},
		{"both", v1alpha1.MeshSyncSpec{Mode: v1alpha1.ModeObserve, Suspend: true}, map[string]float64{"isthmus_suspended": 1, "isthmus_observing": 1}},
		{"it writes again", v1alpha1.MeshSyncSpec{}, map[string]float64{"isthmus_suspended": 0, "isthmus_observing": 0}},
	}
	r := &Reconciler{now: time.Now, metrics: NewMetrics(time.Now)}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(r.metrics.suspended, r.metrics.observing)
	for _, step := range steps {
		ms := &v1alpha1.MeshSync{ObjectMeta: metav1.ObjectMeta{Namespace: "isthmus-system", Name: "mesh"}, Spec: step.spec}
		r.writeMetrics(ms, &syncState{}, observed(&render.Bundle{}, &plans.Plan{}))
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, family := range families {
			got[family.GetName()] = family.GetMetric()[0].GetGauge().GetValue()
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s: -want, +got:\n%s", step.reason, diff)
		}
	}
}

func TestFrozenServicesAreCountedWheneverTheStatusListsThem(t *testing.T) {
	frozen := &render.Bundle{Frozen: []render.Frozen{{Service: "cart"}}}
	refuses := &plans.Plan{Actions: []plans.Action{{Verb: plans.Refuse, Reason: plans.ForeignObject{}}}}
	r := &Reconciler{now: time.Now, metrics: NewMetrics(time.Now)}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(r.metrics.frozen)
	for _, step := range []struct {
		reason  string
		outcome outcome
		want    float64
	}{
		{"one is broken", observed(frozen, &plans.Plan{}), 1},
		{"the error is fixed and nothing is written", observed(&render.Bundle{}, &plans.Plan{}), 0},
		{"one is broken, and something else is refused", applied(frozen, refuses, execute.Result{}, nil), 1},
		{"an outage says nothing of it", outcome{conclusion: retrying, reason: v1alpha1.ReasonFetchFailed, saysNothing: true}, 1},
	} {
		r.writeMetrics(&v1alpha1.MeshSync{}, &syncState{}, step.outcome)
		families, err := registry.Gather()
		if err != nil || len(families) != 1 {
			t.Fatalf("%s: %d families, %v", step.reason, len(families), err)
		}
		if got := families[0].GetMetric()[0].GetGauge().GetValue(); got != step.want {
			t.Errorf("%s: got %v, want %v", step.reason, got, step.want)
		}
	}
}

func TestPreflightMetricMatchesTheCondition(t *testing.T) {
	overlap, address := preflight.Problem{Reason: preflight.GatewayOverlaps}, preflight.Problem{Reason: preflight.GatewayAddress}
	checked := outcome{conclusion: succeeded, reason: meta.ReconciliationSucceededReason, bundle: &render.Bundle{}}
	steps := []struct {
		reason  string
		outcome outcome
		want    map[string]float64
	}{
		{"before the first check there are no series", outcome{conclusion: retrying, reason: v1alpha1.ReasonFetchFailed}, nil},
		{"each of several counts", checked.with([]preflight.Problem{overlap, overlap, address}), map[string]float64{preflight.GatewayOverlaps: 2, preflight.GatewayAddress: 1}},
		{"a run without a check keeps the values", outcome{conclusion: retrying, reason: v1alpha1.ReasonFetchFailed}, map[string]float64{preflight.GatewayOverlaps: 2, preflight.GatewayAddress: 1}},
		{"one problem is fixed", checked.with([]preflight.Problem{address}), map[string]float64{preflight.GatewayAddress: 1}},
		{"a kind is missing", outcome{conclusion: retrying, reason: v1alpha1.ReasonKindUnavailable}, map[string]float64{v1alpha1.ReasonKindUnavailable: 1}},
		{"a right is missing", checked.with([]preflight.Problem{{Reason: v1alpha1.ReasonPermissionDenied, Blocks: true}}), map[string]float64{v1alpha1.ReasonPermissionDenied: 1}},
		{"all is well", checked.with(nil), map[string]float64{}},
	}
	m := NewMetrics(time.Now)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m.preflight)
	r := &Reconciler{now: time.Now, metrics: m}
	ms := &v1alpha1.MeshSync{ObjectMeta: metav1.ObjectMeta{Namespace: "isthmus-system", Name: "mesh"}}
	for _, step := range steps {
		r.writeConditions(ms, step.outcome)
		r.writeMetrics(ms, &syncState{}, step.outcome)
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]float64
		for _, family := range families {
			got = map[string]float64{}
			for _, metric := range family.GetMetric() {
				labels := map[string]string{}
				for _, label := range metric.GetLabel() {
					labels[label.GetName()] = label.GetValue()
				}
				if labels["namespace"] != "isthmus-system" || labels["name"] != "mesh" || !slices.Contains(problemReasons, labels["reason"]) {
					t.Errorf("labels %v", labels)
				}
				if value := metric.GetGauge().GetValue(); value != 0 {
					got[labels["reason"]] = value
				}
			}
			if len(family.GetMetric()) != len(problemReasons) {
				t.Errorf("%s: %d series, want one for each of %v, so that alerts end", step.reason, len(family.GetMetric()), problemReasons)
			}
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s: -want, +got:\n%s", step.reason, diff)
		}
		condition := conditions.Get(ms, v1alpha1.PreflightCondition)
		if (condition == nil) != (got == nil) || condition != nil && (condition.Status == metav1.ConditionFalse) != (len(got) > 0) {
			t.Errorf("%s: condition %+v, metric %v", step.reason, condition, got)
		}
	}
}
