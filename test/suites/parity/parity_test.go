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
	seed     = flag.Uint64("parity.seed", defaultSeed, "seed of the first repository; each next one has the next seed. 0 takes one from the clock")
	repos    = flag.Int("parity.repos", defaultRepos, "how many repositories")
	without  = flag.String("parity.without", "", "features to leave out, separated by commas")
	services = flag.String("parity.without-services", "", "services to leave out, separated by commas")
)

const (
	defaultSeed  = 1
	defaultRepos = 200
)

// How long repositories that differ are made smaller, all together.
const patience = 3 * time.Minute

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// totals of all repositories.
type totals struct {
	sync.Mutex
	features                                        map[string]int
	total, refused, changesRefused, clustersRefused int
	compared, resources, shown                      int
}

func TestIsthmusRendersWhatPlainCUEExports(t *testing.T) {
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
	slow, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	t.Run("seed", func(t *testing.T) {
		for i := range uint64(count) {
			spec := parity.Spec{Seed: first + i, Without: list(*without), WithoutServices: list(*services)}
			t.Run(fmt.Sprint(spec.Seed), func(t *testing.T) {
				t.Parallel()
				tr := trial{cue: cue, isthmus: isthmus, cache: cache, dir: filepath.Join(t.TempDir(), "mesh")}
				if spec.Seed%2 == 0 {
					tr.isthmus = apart
				}
				v := tr.try(t.Context(), t, spec)
				all.add(v)
				if v.refused != "" {
					t.Logf("refused by plain CUE: %s", v.refused)
				}
				if v.changeRefused != "" {
					t.Logf("changed, refused by plain CUE: %s", v.changeRefused)
				}
				if v.different != "" {
					report(slow, t, tr, spec, v, all)
				}
			})
		}
	})
	all.judge(t, first == defaultSeed && count == defaultRepos && *without == "" && *services == "")
}

func (all *totals) add(v verdict) {
	all.Lock()
	defer all.Unlock()
	all.total++
	all.compared += v.compared
	all.resources += v.resources
	all.clustersRefused += v.clustersRefused
	if v.refused != "" {
		all.refused++
		return
	}
	if v.changeRefused != "" {
		all.changesRefused++
	}
	for f, n := range v.features {
		all.features[f] += n
	}
}

// judge says what occurred, and whether it was enough to mean something.
func (all *totals) judge(t *testing.T, standard bool) {
	t.Helper()
	t.Logf("%d repositories, %d refused by plain CUE, %d more only once changed, and %d clusters; %d renderings compared, of %d resources",
		all.total, all.refused, all.changesRefused, all.clustersRefused, all.compared, all.resources)
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
		t.Errorf("no repository that plain CUE accepts has %s", strings.Join(never, "; "))
	}
	if most := all.total * 15 / 100; all.refused > most || all.changesRefused > most || all.clustersRefused > most {
		t.Errorf("plain CUE refuses %d repositories and %d changes of %d: the generator makes too many that tell nothing", all.refused, all.changesRefused, all.total)
	}
	if all.resources < 10*all.compared {
		t.Errorf("%d renderings have %d resources: too few to tell anything", all.compared, all.resources)
	}
}

// report tells of a difference, in the smallest repository that can be found while there is time.
func report(ctx context.Context, t *testing.T, tr trial, spec parity.Spec, v verdict, all *totals) {
	t.Helper()
	all.Lock()
	all.shown++
	early := all.shown <= 3
	all.Unlock()
	alone := tr
	alone.cache = t.TempDir()
	again := alone.try(t.Context(), t, spec)
	if again.different == "" {
		t.Errorf("seed %d, with what isthmus kept of other repositories in %s, and not with a cache of its own: is a key of the cache too coarse?\n%s\n%s",
			spec.Seed, tr.cache, v.different, show(t, spec))
		return
	}
	if early {
		spec = alone.smaller(ctx, t, spec, again.kind)
		if less := alone.try(t.Context(), t, spec); less.different != "" {
			again = less
		}
	}
	t.Errorf("%s\n\ngo test ./test/suites/parity -run Plain -parity.repos 1 -parity.seed %d -parity.without '%s' -parity.without-services '%s'\n\n%s",
		again.different, spec.Seed, strings.Join(spec.Without, ","), strings.Join(spec.WithoutServices, ","), show(t, spec))
}
