package meshsync

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
)

const (
	phaseFetch = "fetch"
	phasePlan  = "plan"
	phaseApply = "apply"
	phaseTotal = "total"
)

// Metrics are the metrics of the controller; docs/metrics.md lists them.
type Metrics struct {
	duration    *prometheus.HistogramVec
	reconciles  *prometheus.CounterVec
	ready       *prometheus.GaugeVec
	stalled     *prometheus.GaugeVec
	suspended   *prometheus.GaugeVec
	observing   *prometheus.GaugeVec
	services    *prometheus.GaugeVec
	resources   *prometheus.GaugeVec
	findings    *prometheus.GaugeVec
	held        *prometheus.GaugeVec
	preflight   *prometheus.GaugeVec
	frozen      *prometheus.GaugeVec
	written     *prometheus.CounterVec
	writeErrors *prometheus.CounterVec
	drift       *prometheus.CounterVec
	fights      *prometheus.GaugeVec
	lastFetch   *prometheus.GaugeVec
	lastApplied *prometheus.GaugeVec
	revision    *prometheus.GaugeVec
	lag         *lagCollector
	build       *prometheus.GaugeVec
}

var meshSyncLabels = []string{"namespace", "name"}

// NewMetrics makes the metrics; now is the clock of isthmus_branch_lag_seconds.
func NewMetrics(now func() time.Time) *Metrics {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, append(append([]string{}, meshSyncLabels...), labels...))
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append(append([]string{}, meshSyncLabels...), labels...))
	}
	return &Metrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "isthmus_reconcile_duration_seconds",
			Help:    "Duration of the phases of a run: fetch, evaluate, render, plan, apply, total. A phase that was not needed is not counted.",
			Buckets: []float64{.001, .005, .02, .1, .5, 1, 2, 5, 10, 30, 60, 120},
		}, []string{"phase"}),
		reconciles: counter("isthmus_reconciles_total", "Runs by the reason of the condition Ready at their end.", "reason"),
		ready:      gauge("isthmus_ready", "1 if the condition Ready is True: the last run applied everything or, in mode Observe, planned everything; else 0."),
		stalled:    gauge("isthmus_stalled", "1 if a user must act, else 0."),
		suspended:  gauge("isthmus_suspended", "1 if the MeshSync is suspended, else 0."),
		observing:  gauge("isthmus_observing", "1 while spec.mode is Observe, so that nothing is written, else 0."),
		services:   gauge("isthmus_services", "Services that run in this cluster or are called from it."),
		resources: gauge("isthmus_resources", "Resources by state: desired, unchanged, refused (an object of another owner has the name), "+
			"skipped (not touched although it may differ; status.skipped has the reason), withdrawing (other clusters may still call it).", "state"),
		findings:    gauge("isthmus_findings", "Errors in the last commit that was evaluated."),
		frozen:      gauge("isthmus_frozen_services", "Services that are broken in the last commit and are kept at their last known good manifest, or left out if there is none."),
		preflight:   gauge("isthmus_preflight_problems", "Preflight problems by reason, as in the condition Preflight; 0 if checked and fine.", "reason"),
		held:        gauge("isthmus_held", "1 if a plan is held until a user acknowledges it, else 0."),
		written:     counter("isthmus_objects_written_total", "Objects written, by verb: create, update, claim, adopt, delete.", "verb"),
		writeErrors: counter("isthmus_write_errors_total", "Objects that could not be written."),
		drift:       counter("isthmus_drift_corrected_total", "Objects whose drift was corrected: another writer had changed or deleted them."),
		fights:      gauge("isthmus_fights", "Objects that another field manager keeps changing; the controller backs off."),
		lastFetch:   gauge("isthmus_last_fetch_timestamp_seconds", "Time of the last successful fetch."),
		lastApplied: gauge("isthmus_last_applied_timestamp_seconds", "Time of the last run that ended with everything applied."),
		revision: gauge("isthmus_applied_revision_info",
			"Always 1; the labels are the name of the cluster in the inventory and the last fully applied revision.", "cluster", "revision"),
		build: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "isthmus_build_info", Help: "Always 1; the label is the version of the controller."}, []string{"version"}),
		lag:   &lagCollector{now: now, since: map[types.NamespacedName]time.Time{}},
	}
}

// Collectors returns all collectors, to be registered.
func (m *Metrics) Collectors() []prometheus.Collector {
	return append(m.perMeshSync(), m.duration, m.lag, m.build)
}

// Build sets the version of this process.
func (m *Metrics) Build(version string) { m.build.WithLabelValues(version).Set(1) }

func (m *Metrics) perMeshSync() []prometheus.Collector {
	return []prometheus.Collector{
		m.reconciles, m.ready, m.stalled, m.suspended, m.observing, m.services, m.resources, m.findings,
		m.preflight, m.held, m.frozen, m.written, m.writeErrors, m.drift, m.fights, m.lastFetch, m.lastApplied, m.revision,
	}
}

// countIdle sets the metrics for the spec fields that stop writes.
func (m *Metrics) countIdle(ms *v1alpha1.MeshSync) {
	m.suspended.WithLabelValues(ms.Namespace, ms.Name).Set(truth(ms.Spec.Suspend))
	m.observing.WithLabelValues(ms.Namespace, ms.Name).Set(truth(ms.Spec.Mode == v1alpha1.ModeObserve))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// timed measures a phase: defer m.timed(phaseFetch)().
func (m *Metrics) timed(phase string) func() {
	start := time.Now()
	return func() { m.duration.WithLabelValues(phase).Observe(time.Since(start).Seconds()) }
}

// forget removes the series of a deleted MeshSync.
func (m *Metrics) forget(key types.NamespacedName) {
	match := prometheus.Labels{"namespace": key.Namespace, "name": key.Name}
	for _, collector := range m.perMeshSync() {
		if vector, ok := collector.(interface {
			DeletePartialMatch(labels prometheus.Labels) int
		}); ok {
			vector.DeletePartialMatch(match)
		}
	}
	m.lag.set(key, time.Time{}, false)
}

// lagCollector computes the age of the oldest unapplied commit at the scrape, so that the lag grows
// while no run happens.
type lagCollector struct {
	now   func() time.Time
	mutex sync.Mutex
	// since is zero for a MeshSync that is up to date.
	since map[types.NamespacedName]time.Time
}

var lagDesc = prometheus.NewDesc("isthmus_branch_lag_seconds",
	"Seconds since a commit was first seen that is not applied yet; 0 if all seen commits are applied. "+
		"In mode Observe it grows while anything would be written or is refused.", meshSyncLabels, nil)

func (l *lagCollector) set(key types.NamespacedName, since time.Time, known bool) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if !known {
		delete(l.since, key)
		return
	}
	l.since[key] = since
}

// Describe implements [prometheus.Collector].
func (l *lagCollector) Describe(descs chan<- *prometheus.Desc) { descs <- lagDesc }

// Collect implements [prometheus.Collector].
func (l *lagCollector) Collect(metrics chan<- prometheus.Metric) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for key, since := range l.since {
		seconds := 0.0
		if !since.IsZero() {
			seconds = l.now().Sub(since).Seconds()
		}
		metrics <- prometheus.MustNewConstMetric(lagDesc, prometheus.GaugeValue, seconds, key.Namespace, key.Name)
	}
}
