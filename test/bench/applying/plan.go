package main

// clusterName is the one of the mesh that everything is rendered for.
const clusterName = "c0"

// clusters is how many the mesh has; with more of them one gets fewer objects of a service.
const clusters = 10

// seed makes all runs measure the same repositories.
const seed = 1

// The bars.
const (
	// firstBar and nothingBar are parts of ApplyAll's time.
	firstBar   = 0.35
	nothingBar = 1. / 100
	// changeBar is in round trips.
	changeBar = 3
	memoryBar = 150e6 // bytes
)

// peers are how many objects ApplyAll compares at a time, and whether it is judged by that. One is the default of the package,
// four is that of kustomize-controller (--concurrent-ssa). What differs it then writes one after the other in any case.
var peers = []struct {
	sideBySide int
	judged     bool
}{{1, true}, {4, false}}

// plan is what is measured.
type plan struct {
	// some is what both sides apply, many what a single object is changed of and what is held in memory.
	some, many size
	// rounds is how often each side applies everything to an empty cluster; intervals is how often we then find nothing to do.
	rounds, intervals int
	// changes is how many single objects are changed.
	changes int
	// holders is how many processes are measured of each sort.
	holders int
	// only names figures, nil for all.
	only []string
	// profiles is a folder, "" for none.
	profiles string
}

// size is a mesh of so many services, and how many objects one of its clusters has at least.
type size struct{ services, objects int }

func fullPlan() plan {
	return plan{
		some: size{1240, 3000}, many: size{4100, 10000},
		rounds: 3, intervals: 20, changes: 30, holders: 3,
	}
}

// smaller has only one service where p has so many.
func (p plan) smaller(by int) plan {
	for _, s := range []*size{&p.some, &p.many} {
		s.services /= by
		s.objects /= 2 * by // a small mesh has fewer of each service
	}
	return p
}
