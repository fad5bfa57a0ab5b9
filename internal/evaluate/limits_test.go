package evaluate_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// withList is a shared file that needs package list.
func withList(text string) string { return "package config\n\nimport \"list\"\n\n" + text }

// A repository that is evaluated in one piece affects neither this process nor the next repository.
func TestRepositoryCannotHarmOtherEvaluations(t *testing.T) {
	before := resident()
	for _, name := range slices.Sorted(maps.Keys(badInputs())) {
		tc := badInputs()[name]
		if tc.says != "" && !slices.Contains([]string{"Endless", "Doubling", "LongList"}, name) {
			continue // three that meet limits are enough
		}
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			bad := quickstart(t, map[string]string{"services/bad.cue": tc.text("bad"), "obstacle.cue": obstacle})
			result, err := evaluate.Evaluate(ctx, bad, evaluate.Options{Cluster: "east", Limits: small})
			if err == nil && tc.harmless {
				if !result.Work.Unsharded {
					t.Error("it was evaluated in shards")
				}
				return
			}
			var findings manifest.Findings
			if !errors.As(err, &findings) {
				t.Fatalf("%s: got %v, want findings", tc.reason, err)
			}
			says := tc.says
			if says == "" {
				says = "services/bad.cue"
			}
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %q is not named: %.2000v", tc.reason, says, err)
			}
			if host, _ := os.Hostname(); host != "" && strings.Contains(err.Error(), host) {
				t.Errorf("%s: the host's name came out: %v", tc.reason, err)
			}
		})
	}
	if after := resident(); after > before+256<<20 {
		t.Errorf("this process has grown from %d to %d MiB", before>>20, after>>20)
	}
	if _, err := evaluate.Evaluate(t.Context(), quickstart(t, nil), evaluate.Options{Cluster: "east", Limits: small}); err != nil {
		t.Errorf("the next repository is not evaluated: %v", err)
	}
}

func TestLimitsThatAreTooLowAreInvalid(t *testing.T) {
	for _, tc := range []struct {
		reason string
		limits evaluate.Limits
		says   string
	}{
		{"the default", evaluate.DefaultLimits(), ""},
		{"the least", evaluate.Limits{Memory: 128 << 20, CPU: time.Second}, ""},
		{"a byte less", evaluate.Limits{Memory: 128<<20 - 1, CPU: time.Second}, "--evaluation-memory must be at least 128Mi"},
		{"a moment less", evaluate.Limits{Memory: 128 << 20, CPU: time.Second - 1}, "--evaluation-cpu must be at least 1s"},
		{"none", evaluate.Limits{}, "--evaluation-memory"},
		{"a negative one", evaluate.Limits{Memory: 1 << 30, CPU: -time.Second}, "--evaluation-cpu"},
	} {
		err := tc.limits.Validate()
		if (err != nil) != (tc.says != "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %q", tc.reason, err, tc.says)
		}
	}
}

func TestMemoryFlagIsAKubernetesQuantity(t *testing.T) {
	for text, want := range map[string]int64{"2Gi": 2 << 30, "1500Mi": 1500 << 20, "1G": 1e9, "134217728": 128 << 20, "0.5Gi": 1 << 29} {
		var got int64
		value := evaluate.SizeValue{Bytes: &got}
		if err := value.Set(text); err != nil || got != want {
			t.Errorf("%s is %d, %v, want %d", text, got, err, want)
		}
		// What it prints, it understands.
		printed := value.String()
		if err := value.Set(printed); err != nil || got != want {
			t.Errorf("%s is printed as %s, which is %d, %v", text, printed, got, err)
		}
	}
	for _, text := range []string{"", "much", "2GiB", "2 Gi"} {
		got := int64(7)
		if err := (evaluate.SizeValue{Bytes: &got}).Set(text); err == nil || got != 7 || !strings.Contains(err.Error(), "write for example") {
			t.Errorf("%q is %d, %v", text, got, err)
		}
	}
	if text := (evaluate.SizeValue{}).String(); text != "" {
		t.Errorf("nothing is printed as %q", text)
	}
}

// In shards and in one piece.
func TestLowestLimitsSufficeForASmallMesh(t *testing.T) {
	least := evaluate.Limits{Memory: 128 << 20, CPU: 5 * time.Second}
	for _, changes := range []map[string]string{nil, {"obstacle.cue": obstacle}} {
		if _, err := evaluate.Evaluate(t.Context(), quickstart(t, changes), evaluate.Options{Cluster: "east", Limits: least}); err != nil {
			t.Error(err)
		}
	}
}

// A deadline is not a finding, because the machine may be busy.
func TestEvaluationEndsWithItsContext(t *testing.T) {
	slow := quickstart(t, map[string]string{"services/x.cue": withList(endless)})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := evaluate.Evaluate(ctx, slow, evaluate.Options{})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want the deadline", err)
	}
	var findings manifest.Findings
	if errors.As(err, &findings) {
		t.Error("a deadline is told as a mistake of the repository")
	}
	// It does not go on: the next one, which has to wait for it, comes to its turn.
	if _, err := evaluate.Evaluate(t.Context(), quickstart(t, nil), evaluate.Options{}); err != nil {
		t.Errorf("the next evaluation: %v", err)
	}
}

func TestEvaluationsAreSerialized(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := evaluate.Evaluate(ctx, quickstart(t, map[string]string{"services/x.cue": withList(endless)}), evaluate.Options{Limits: evaluate.Limits{CPU: time.Hour}})
		first <- err
	}()
	// Until the first one is under way, a second one is evaluated, or is too slow on a busy machine.
	for end := time.Now().Add(2 * time.Minute); ; {
		brief, done := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := evaluate.Evaluate(brief, quickstart(t, nil), evaluate.Options{})
		done()
		if errors.Is(err, context.DeadlineExceeded) && strings.Contains(err.Error(), "earlier evaluation") {
			break
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) || time.Now().After(end) {
			t.Errorf("got %v, want to hear of the earlier one", err)
			break
		}
	}
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first one ended with %v", err)
	}
}
