//go:build linux

package torture_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

// fault is a kind of fault.
type fault struct {
	name string
	// weight is the relative frequency. Slow faults are left out of the short run.
	weight int
	slow   bool
	// inject starts the fault and returns a function that ends it. A commit is pushed in between,
	// unless inject pushed one.
	inject func(*injection) (end func())
	// tolerated: clusters must converge while the fault lasts.
	tolerated bool
	// overlaps: the fault may be injected together with another one. exclusive: no other fault may
	// overlap.
	overlaps, exclusive bool
	// idles: after recovery, the controllers must be idle.
	idles bool
}

// injection is one injected fault.
type injection struct {
	*testing.T
	*environment
	number int
	random *rand.Rand
	// log describes the random choices.
	log []string
}

// run injects one fault and waits for recovery.
func (env *environment) run(t *testing.T, number int, f fault) {
	began := time.Now()
	// The generator depends on the number only, so that one fault can be repeated alone.
	random := rand.New(rand.NewPCG(env.seed^0x9e3779b97f4a7c15, uint64(number)))
	inj := &injection{T: t, environment: env, number: number, random: random}
	if env.state != number-1 {
		inj.commit(number - 1)
		env.converge(t, "the previous state")
	}
	name := fmt.Sprintf("fault %d, %s", number, f.name)
	disturbed, gitDisturbed := env.disturbed(), env.git.proxy.disturbed.Load()
	inj.drawDelays()
	endOverlapping := inj.overlap(f)
	end := f.inject(inj)
	if env.state != number {
		inj.commit(number)
	}
	if f.tolerated {
		env.converge(t, "the start of "+name)
	} else {
		inj.pause(0, 1200*time.Millisecond)
	}
	end()
	endOverlapping()
	ended := time.Now()
	choices := strings.Join(inj.log, "; ")
	env.converge(t, name+" ("+choices+")")
	env.recoveries[f.name] = append(env.recoveries[f.name], time.Since(ended))
	t.Logf("seed %d, %s: %s; it disturbed %d requests to API servers and %d to Git, lasted %.1fs, recovery took %.1fs", env.seed, name, choices,
		env.disturbed()-disturbed, env.git.proxy.disturbed.Load()-gitDisturbed, ended.Sub(began).Seconds(), time.Since(ended).Seconds())
	if f.idles {
		env.checkIdle(t)
	}
}

// overlap sometimes injects a second, independent fault.
func (inj *injection) overlap(f fault) (end func()) {
	var candidates []fault
	for _, other := range faults {
		if other.overlaps {
			candidates = append(candidates, other)
		}
	}
	if f.exclusive || !inj.chance(0.2) {
		return func() {}
	}
	other := pick(inj, candidates)
	inj.note("together with %s", other.name)
	return other.inject(inj)
}

// commit pushes the mesh state with this number.
func (inj *injection) commit(n int) {
	inj.Helper()
	inj.git.commit(inj.T, meshOf(inj.seed, n))
	inj.state = n
}

func (inj *injection) note(format string, args ...any) {
	inj.log = append(inj.log, fmt.Sprintf(format, args...))
}

// pause sleeps for a random time.
func (inj *injection) pause(least, most time.Duration) {
	time.Sleep(least + time.Duration(inj.random.Int64N(int64(most-least))))
}

// chance is true with probability p.
func (inj *injection) chance(p float64) bool { return inj.random.Float64() < p }

// upTo is a random time below most.
func (inj *injection) upTo(most time.Duration) time.Duration {
	return time.Duration(inj.random.Int64N(int64(most)))
}

func pick[T any](inj *injection, from []T) T { return from[inj.random.IntN(len(from))] }

// concurrentRandom returns a generator of numbers in [0, 1) for several goroutines.
func (inj *injection) concurrentRandom() func() float64 {
	random := rand.New(rand.NewPCG(inj.random.Uint64(), 0))
	var mutex sync.Mutex
	return func() float64 {
		mutex.Lock()
		defer mutex.Unlock()
		return random.Float64()
	}
}

// someClusters returns one, two or all clusters.
func (inj *injection) someClusters() []*cluster {
	order := inj.random.Perm(len(inj.clusters))
	var out []*cluster
	var names []string
	for _, i := range order[:1+inj.random.IntN(len(order))] {
		out = append(out, inj.clusters[i])
		names = append(names, inj.clusters[i].name)
	}
	inj.note("in %s", strings.Join(names, ", "))
	return out
}

// drawDelays sets spec.routingDelay and spec.withdrawAfter in some injections, 0 in all others.
func (inj *injection) drawDelays() {
	routing, withdraw := time.Duration(0), time.Duration(0)
	if inj.chance(0.2) {
		routing, withdraw = time.Second, 2*time.Second
		inj.note("routingDelay %s, withdrawAfter %s", routing, withdraw)
	}
	for _, c := range inj.clusters {
		c.setDelays(inj.T, routing, withdraw)
	}
}
