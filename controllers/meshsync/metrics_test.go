package meshsync

import (
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
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
		t.Fatal("no metric was found, so this test proves nothing")
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
	m.ready.WithLabelValues("ns", "gone").Set(1)
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
					t.Errorf("%s still tells of the MeshSync that is gone", family.GetName())
				}
			}
		}
	}
	if series != 1 {
		t.Errorf("the series of the other MeshSync stays alone, and there are %d", series)
	}
}
