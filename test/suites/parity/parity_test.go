package parity_test

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/isthmus-mesh/isthmus/test/suites/parity"
	"github.com/isthmus-mesh/isthmus/test/support/cuecmd"
)

var (
	seed     = flag.Uint64("parity.seed", defaultSeed, "seed of the first repository; the next ones have the next seeds; 0 for a random seed")
	repos    = flag.Int("parity.repos", defaultRepos, "number of repositories")
	without  = flag.String("parity.without", "", "comma-separated list of features to leave out")
	services = flag.String("parity.without-services", "", "comma-separated list of services to leave out")
)

const (
	defaultSeed  = 1
	defaultRepos = 200
)

// minimizeTimeout limits the time for minimizing failing repositories, all together.
const minimizeTimeout = 3 * time.Minute

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// totals counts results over all repositories.
type totals struct {
	sync.Mutex
	features                                           map[string]int
	total, rejected, changesRejected, clustersRejected int
	compared, resources, shown                         int
}

func TestRenderEqualsPlainCUEExport(t *testing.T) {
	count := *repos
	if testing.Short() {
		count = min(count, 20)
	}
	first := *seed
	if first == 0 {
		first = uint64(time.Now().UnixNano())%1e9 + 1
	}
	t.Logf("%d repositories from -parity.seed %d", count, first)
	cue, cache := cuecmd.Path(t), t.TempDir()
	all := &totals{features: map[string]int{}}
	ctx, cancel := context.WithTimeout(t.Context(), minimizeTimeout)
	defer cancel()
	t.Run("seed", func(t *testing.T) {
		for i := range uint64(count) {
			spec := parity.Spec{Seed: first + i, Without: list(*without), WithoutServices: list(*services)}
			t.Run(fmt.Sprint(spec.Seed), func(t *testing.T) {
				t.Parallel()
				c := comparison{cue: cue, isthmus: isthmus, cache: cache, dir: filepath.Join(t.TempDir(), "mesh")}
				if spec.Seed%2 == 0 {
					c.isthmus = isthmusUnbatched
				}
				v := c.run(t.Context(), t, spec)
				all.add(v)
				if v.rejected != "" {
					t.Logf("rejected by plain CUE: %s", v.rejected)
				}
				if v.changeRejected != "" {
					t.Logf("rejected by plain CUE after the change: %s", v.changeRejected)
				}
				if v.difference != "" {
					report(ctx, t, c, spec, v, all)
				}
			})
		}
	})
	all.check(t, first == defaultSeed && count == defaultRepos && *without == "" && *services == "")
}

func (all *totals) add(v outcome) {
	all.Lock()
	defer all.Unlock()
	all.total++
	all.compared += v.compared
	all.resources += v.resources
	all.clustersRejected += v.clustersRejected
	if v.rejected != "" {
		all.rejected++
		return
	}
	if v.changeRejected != "" {
		all.changesRejected++
	}
	for f, n := range v.features {
		all.features[f] += n
	}
}

// check logs the totals. For the standard flags it also checks that every feature occurs and that
// plain CUE accepts most repositories.
func (all *totals) check(t *testing.T, standard bool) {
	t.Helper()
	t.Logf("%d repositories; plain CUE rejects %d, %d more after the change, and %d clusters; %d renderings with %d resources compared",
		all.total, all.rejected, all.changesRejected, all.clustersRejected, all.compared, all.resources)
	var never []string
	for _, f := range parity.Features() {
		t.Logf("%5d %s", all.features[f], f)
		if all.features[f] == 0 {
			never = append(never, f)
		}
	}
	if !standard {
		return
	}
	if len(never) > 0 {
		t.Errorf("no repository that plain CUE accepts has the features %s", strings.Join(never, "; "))
	}
	if most := all.total * 15 / 100; all.rejected > most || all.changesRejected > most || all.clustersRejected > most {
		t.Errorf("plain CUE rejects %d repositories and %d changes of %d: too many of them test nothing", all.rejected, all.changesRejected, all.total)
	}
	if all.resources < 10*all.compared {
		t.Errorf("%d renderings have only %d resources", all.compared, all.resources)
	}
}

// report reports a difference with a minimized repository. Minimizing stops after minimizeTimeout.
func report(ctx context.Context, t *testing.T, c comparison, spec parity.Spec, v outcome, all *totals) {
	t.Helper()
	all.Lock()
	all.shown++
	early := all.shown <= 3
	all.Unlock()
	alone := c
	alone.cache = t.TempDir()
	again := alone.run(t.Context(), t, spec)
	if again.difference == "" {
		t.Errorf("seed %d differs with the shared cache %s, but not with an empty cache; a cache key may be incomplete\n%s\n%s",
			spec.Seed, c.cache, v.difference, describe(t, spec))
		return
	}
	if early {
		spec = alone.minimize(ctx, t, spec, again.kind)
		if less := alone.run(t.Context(), t, spec); less.difference != "" {
			again = less
		}
	}
	t.Errorf("%s\n\ngo test ./test/suites/parity -run PlainCUE -parity.repos 1 -parity.seed %d -parity.without '%s' -parity.without-services '%s'\n\n%s",
		again.difference, spec.Seed, strings.Join(spec.Without, ","), strings.Join(spec.WithoutServices, ","), describe(t, spec))
}
