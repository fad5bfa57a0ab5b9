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

// Metrics are the controller's own; docs/metrics.md lists them for the people who alert on them.
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

// NewMetrics makes them, with the clock by which the lag behind the branch is told.
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
			Help:    "How long the phases of a run took: fetch, evaluate, render, plan, apply, total. A phase that was not needed is not counted.",
			Buckets: []float64{.001, .005, .02, .1, .5, 1, 2, 5, 10, 30, 60, 120},
		}, []string{"phase"}),
		reconciles: counter("isthmus_reconciles_total", "Runs, by the reason of the Ready condition that they ended in.", "reason"),
		ready:      gauge("isthmus_ready", "1 if the last run ended with everything applied or, in mode Observe, looked at, else 0."),
		stalled:    gauge("isthmus_stalled", "1 if a person has to act, else 0."),
		suspended:  gauge("isthmus_suspended", "1 if the MeshSync is suspended, else 0."),
		observing:  gauge("isthmus_observing", "1 while spec.mode is Observe, so that nothing is written, else 0."),
		services:   gauge("isthmus_services", "Services that run in this cluster or are called from it."),
		resources: gauge("isthmus_resources", "Resources by state: desired, unchanged, refused (an object of that name belongs to somebody else), "+
			"left (not as the repository says, or opted out, and left alone; status.skipped tells why), withdrawing (it stays for a while).", "state"),
		findings: gauge("isthmus_findings", "Errors in the last commit that was looked at."),
		frozen:   gauge("isthmus_frozen_services", "Services that are broken in the last commit and kept as they were when they were good last."),
		preflight: gauge("isthmus_preflight_problems", "Respects in which the cluster is not as the repository takes it to be, by reason: those of the Preflight "+
			"condition. 0 where that was looked at and is well.", "reason"),
		held:        gauge("isthmus_held", "1 if a change set waits for acknowledgement, else 0."),
		written:     counter("isthmus_objects_written_total", "Objects written, by verb: create, update, claim, adopt, delete.", "verb"),
		writeErrors: counter("isthmus_write_errors_total", "Objects that could not be written."),
		drift:       counter("isthmus_drift_corrected_total", "Objects that somebody had changed or deleted in the cluster and that were put right."),
		fights:      gauge("isthmus_fights", "Objects that somebody changes as often as they are put right."),
		lastFetch:   gauge("isthmus_last_fetch_timestamp_seconds", "When the repository was last looked at with success."),
		lastApplied: gauge("isthmus_last_applied_timestamp_seconds", "When a run last ended with everything applied."),
		revision:    gauge("isthmus_applied_revision_info", "1, for the cluster's name in the inventory and the last revision that was applied whole.", "cluster", "revision"),
		build:       prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "isthmus_build_info", Help: "1, for the version of the controller."}, []string{"version"}),
		lag:         &lagCollector{now: now, since: map[types.NamespacedName]time.Time{}},
	}
}

// Collectors are all of them, to be registered.
func (m *Metrics) Collectors() []prometheus.Collector {
	return append(m.perMeshSync(), m.duration, m.lag, m.build)
}

// Build tells the version of this process.
func (m *Metrics) Build(version string) { m.build.WithLabelValues(version).Set(1) }

func (m *Metrics) perMeshSync() []prometheus.Collector {
	return []prometheus.Collector{
		m.reconciles, m.ready, m.stalled, m.suspended, m.observing, m.services, m.resources, m.findings,
		m.preflight, m.held, m.frozen, m.written, m.writeErrors, m.drift, m.fights, m.lastFetch, m.lastApplied, m.revision,
	}
}

// countIdle tells what of a MeshSync's spec keeps it from writing.
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

// forget removes what is told of a MeshSync that is gone.
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

// lagCollector tells how long a commit has been waiting to be applied, as of the moment of the scrape, so that it grows while nothing runs.
type lagCollector struct {
	now   func() time.Time
	mutex sync.Mutex
	// since is zero for a MeshSync that is up to date.
	since map[types.NamespacedName]time.Time
}

var lagDesc = prometheus.NewDesc("isthmus_branch_lag_seconds",
	"How long ago a commit was first seen that is not applied yet; 0 if everything that was seen is applied. "+
		"In mode Observe it grows while there is anything to write, or refused.", meshSyncLabels, nil)

func (l *lagCollector) set(key types.NamespacedName, since time.Time, known bool) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if !known {
		delete(l.since, key)
		return
	}
	l.since[key] = since
}

// Describe is for prometheus.
func (l *lagCollector) Describe(descs chan<- *prometheus.Desc) { descs <- lagDesc }

// Collect is for prometheus.
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
