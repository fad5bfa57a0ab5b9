package main

import (
	"github.com/isthmus-mesh/isthmus/test/bench"
	"github.com/isthmus-mesh/isthmus/test/bench/figure"
)

// cluster is the cluster that is rendered.
const cluster = "c0"

// seed is the same in all runs, so that they measure the same repositories.
const seed = 1

// plan defines what is measured.
type plan struct {
	// cold are full renderings without a cache.
	cold []coldFigure
	// changed are the repositories with changes of single services. The first is also rendered with a
	// warm cache.
	changed []changedFigure
	// changes is the number of changes. warm is the number of renderings with a warm cache.
	changes, warm int
	// small and large are compared for the growth. small is measured smallTimes.
	small, large bench.Repository
	smallTimes   int
	// verify compares the bundle after all changes with an evaluation from scratch.
	verify bool
	// only are the figures to measure, nil for all.
	only []string
}

type coldFigure struct {
	repo bench.Repository
	// time and memory are limits, as shares of cue export.
	time, memory float64
}

type changedFigure struct {
	repo bench.Repository
	// commits is the number of commits for the measurement of the memory. limit is the limit of the
	// memory in bytes, 0 for none.
	commits int
	limit   float64
	// judged: the times have limits.
	judged bool
}

func repository(services, clusters int) bench.Repository {
	return bench.Repository{Services: services, Clusters: clusters, Seed: seed}
}

func fullPlan() plan {
	return plan{
		cold: []coldFigure{
			{repository(5000, 10), 0.5, 0.2},
			{repository(5000, 100), 0.3, 0.2},
		},
		changed: []changedFigure{
			{repo: repository(10000, 10), judged: true, commits: 100},
			{repo: repository(10000, 100), commits: 1000, limit: 400 * figure.Megabyte},
		},
		changes:    24,
		warm:       3,
		small:      repository(2000, 10),
		large:      repository(20000, 10),
		smallTimes: 3,
	}
}

// smaller divides the number of services.
func (p plan) smaller(by int) plan {
	shrink := func(r *bench.Repository) { r.Services = max(r.Services/by, 40) }
	for i := range p.cold {
		shrink(&p.cold[i].repo)
	}
	for i := range p.changed {
		shrink(&p.changed[i].repo)
		p.changed[i].commits /= by
	}
	shrink(&p.small)
	shrink(&p.large)
	p.verify = true
	return p
}
