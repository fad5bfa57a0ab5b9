package evaluate_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/cache"
	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// crowd is newTree with many more services, each in a file of its own. Each calls the next one, and
// the last one calls the service last.
func crowd(t *testing.T, services int, last string) *tree {
	r := newTree(t)
	for i := range services {
		name, callee := fmt.Sprintf("service-%03d", i), fmt.Sprintf("service-%03d", i+1)
		if i == services-1 {
			callee = last
		}
		r.files["services/"+name+".cue"] = service(name, everywhere, fmt.Sprintf(`egress: %q: {}`, callee))
	}
	return r
}

// forever is an expression that takes hours for the services of an owner, or with "" for all.
func forever(owner string) string {
	return fmt.Sprintf(`[if %q == "" || service.owner == %[1]q {"\(len([for a in list.Range(0, 3000, 1) for b in list.Range(0, 3000, 1) `+
		`for c in list.Range(0, 3000, 1) if a+b+c == -1 {a}]))"}, "short"][0]`, owner)
}

func templateWithList(text string) string {
	return withList("#template: {service: _, resources: [string]: metadata: annotations: text: " + text + "}\n")
}

// An endless service delays the others once, by some seconds, well below spec.timeout.
func TestEndlessServiceIsFoundAmongManyWithinSeconds(t *testing.T) {
	limits := evaluate.Limits{CPU: 12 * time.Second}
	slow := strings.Replace(service("slow", everywhere), `"tests"`, `"slow"`, 1)
	for name, files := range map[string]map[string]string{
		"Manifest": {"services/slow.cue": badInputs()["Endless"].text("slow")},
		"Memory":   {"services/slow.cue": badInputs()["ManyValues"].text("slow")},
		"Template": {"services/slow.cue": slow, "text.cue": templateWithList(forever("slow"))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, err := cache.Open(t.TempDir(), 0)
			if err != nil {
				t.Fatal(err)
			}
			r := crowd(t, 300, "slow")
			options := evaluate.Options{Cluster: "east", LastKnownGood: &evaluate.LastKnownGood{}}
			first, err := evaluate.New(limits, store).Partial(t.Context(), r.commit(files), options)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "left out", []string{"slow"}, first.NeverGood)
			if text := first.Findings().Error(); !strings.Contains(text, anyLimit) || !strings.Contains(text, "services/slow.cue") {
				t.Errorf("told: %s", text)
			}
			// One batch over the limit, its parts, their parts, and the service by itself.
			if n := first.Work.Calls; n > 60 {
				t.Errorf("it took %d calls", n)
			}
			again, err := evaluate.New(limits, store).Partial(t.Context(), r.commit(nil), options)
			if err != nil {
				t.Fatal(err)
			}
			if n := again.Work.Calls; n > 0 {
				t.Errorf("the next commit, after a restart, tries it again: %+v", again.Work)
			}
			same(t, "told again", first.Findings(), again.Findings())
			mended := evaluated(t, evaluate.New(limits, store), r.commit(map[string]string{"services/slow.cue": slow, "text.cue": ""}), options)
			if len(mended.NeverGood) > 0 {
				t.Errorf("mended: %v", mended.Findings())
			}
		})
	}
}

func TestEndlessTemplateIsReportedAsSharedCause(t *testing.T) {
	r := crowd(t, 100, "stock")
	began := time.Now()
	_, err := evaluate.New(evaluate.Limits{CPU: 12 * time.Second}, nil).Partial(t.Context(),
		r.commit(map[string]string{"text.cue": templateWithList(forever(""))}), evaluate.Options{Cluster: "east", LastKnownGood: &evaluate.LastKnownGood{}})
	var findings manifest.Findings
	if !errors.As(err, &findings) || !strings.Contains(err.Error(), "what they share") || !strings.Contains(err.Error(), cpuLimit) {
		t.Fatalf("got %v", err)
	}
	t.Logf("after %s: %v", time.Since(began), err)
}
