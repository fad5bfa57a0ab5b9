package main

import (
	"github.com/isthmus-mesh/isthmus/test/bench"
	"github.com/isthmus-mesh/isthmus/test/bench/figure"
)

// cluster is the one that everything is rendered for.
const cluster = "c0"

// seed makes all runs measure the same repositories.
const seed = 1

// plan is what is measured.
type plan struct {
	// cold are whole renderings without a cache, each with the bars of its time and memory.
	cold []coldFigure
	// changed are the repositories in which single services are changed; the first is the one that is rendered again on a warm cache.
	changed []changedFigure
	// changes is how many different ones are made, warm how often a warm cache is rendered from.
	changes, warm int
	// small and large are the repositories between which the growth is taken, small measured so many times.
	small, large bench.Repository
	smallTimes   int
	// verify evaluates the outcome of all changes once more, from nothing.
	verify bool
	// only names figures, nil for all.
	only []string
}

type coldFigure struct {
	repo         bench.Repository
	time, memory float64
}

type changedFigure struct {
	repo bench.Repository
	// commits is how many are made one after another while the memory is watched; limit is its bar in bytes, 0 for none.
	commits int
	limit   float64
	// judged: the times are held against the bars.
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

// smaller has only one service where p has so many.
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
