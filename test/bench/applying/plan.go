package main

// clusterName is the cluster that is rendered.
const clusterName = "c0"

// clusters is the number of clusters of the mesh. With more clusters, each has fewer objects per
// service.
const clusters = 10

// seed is the same in all runs, so that they measure the same repositories.
const seed = 1

// The limits.
const (
	// firstLimit and idleLimit are shares of the time of ApplyAll.
	firstLimit = 0.35
	idleLimit  = 1. / 100
	// changeLimit is in round trips.
	changeLimit = 3
	memoryLimit = 150e6 // bytes
)

// peers are the concurrencies of ApplyAll. One is the default of its package, four that of
// kustomize-controller (--concurrent-ssa). ApplyAll compares objects concurrently, but always
// writes them one after the other.
var peers = []struct {
	concurrency int
	judged      bool
}{{1, true}, {4, false}}

// plan defines what is measured.
type plan struct {
	// some is applied by both sides. many is used for changes of one object and for the memory.
	some, many size
	// rounds is the number of first syncs per side. After each, Isthmus runs intervals times without a
	// change.
	rounds, intervals int
	// changes is the number of changed objects.
	changes int
	// processes is the number of child processes with and without objects.
	processes int
	// only are the figures to measure, nil for all.
	only []string
	// profiles is a folder for profiles, "" for none.
	profiles string
}

// size is the size of a mesh. objects is the least number of objects of a cluster.
type size struct{ services, objects int }

func fullPlan() plan {
	return plan{
		some: size{1240, 3000}, many: size{4100, 10000},
		rounds: 3, intervals: 20, changes: 30, processes: 3,
	}
}

// smaller divides the number of services.
func (p plan) smaller(by int) plan {
	for _, s := range []*size{&p.some, &p.many} {
		s.services /= by
		s.objects /= 2 * by // a small mesh has fewer objects per service
	}
	return p
}
