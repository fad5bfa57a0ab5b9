package evaluate_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

const withList = "package config\n\nimport \"list\"\n\n"

// endless runs for hours in little memory.
const endless = withList + `_found: [for a in list.Range(0, 3000, 1) for b in list.Range(0, 3000, 1) for c in list.Range(0, 3000, 1) if a+b+c == -1 {a}]
_none: len(_found) & 0
`

// What a repository does to its evaluation, it does to nothing else: no limit is met by this process, and the next
// repository is evaluated as if nothing had been.
func TestARepositoryHarmsOnlyItsOwnEvaluation(t *testing.T) {
	limits := evaluate.Limits{Memory: 256 << 20, CPU: 5 * time.Second}
	const anyLimit, cpu, memory = "see --evaluation-", "--evaluation-cpu", "--evaluation-memory"
	doubled := "package config\n\nservices: web: owner: _s30\n_s0: \"0123456789abcdef\"\n"
	for i := range 30 {
		doubled += fmt.Sprintf("_s%d: _s%d + _s%d\n", i+1, i, i)
	}
	nested := "package config\n\n_x: " + strings.Repeat("{a: ", 200_000) + "1" + strings.Repeat("}", 200_000) + "\n"
	for name, tc := range map[string]struct {
		reason  string
		content string
		says    string // "" where it may be evaluated as well
	}{
		"Endless":          {"CUE cannot be interrupted", endless, cpu},
		"LongList":         {"one call makes more than the machine has", withList + "services: web: hosts: [for n in list.Range(0, 1e8, 1) {\"\\(n)\"}]\n", memory},
		"Doubling":         {"thirty lines make 16 GiB", doubled, memory},
		"BigComprehension": {"values are kept", withList + "_l: list.Range(0, 2000, 1)\n_all: {for a in _l for b in _l {\"\\(a).\\(b)\": a*b}}\n", memory},
		"DeepRecursion":    {"a template that calls itself", "package config\n\n_f: {n: int, out: {_g: _f & {\"n\": n + 1}, x: _g.out.x}}\nservices: web: owner: (_f & {n: 0}).out.x\n", "services/bad.cue"},
		"Infinite":         {"a structural cycle", "package config\n\n_x: {n: _x}\nservices: web: owner: _x.n.n.owner\n", "services/bad.cue"},
		"DeepNesting":      {"the parser recurses", nested, ""},
		"DeepList":         {"brackets cost a byte each", "package config\n\n_x: " + strings.Repeat("[", 1_000_000) + strings.Repeat("]", 1_000_000) + "\n", ""},
		"LongString":       {"large is not wrong", "package config\n\n_x: \"" + strings.Repeat("x", 10<<20) + "\"\n", ""},
		"Exec":             {"tools do not run", "package config\n\nimport \"tool/exec\"\n\nservices: web: hosts: [(exec.Run & {cmd: \"id\", stdout: string}).stdout]\n", "services/bad.cue"},
		"File":             {"tools do not read", "package config\n\nimport \"tool/file\"\n\nservices: web: hosts: [(file.Read & {filename: \"/etc/passwd\", contents: string}).contents]\n", "services/bad.cue"},
		"UnknownTag":       {"a tag that nobody sets", "package config\n\nservices: web: owner: string @tag(nobody)\nservices: x: owner: string @tag(else)\n", "services/bad.cue"},
		"HostTag":          {"facts of the host are not there", "package config\n\nservices: web: owner: string @tag(h,var=hostname)\nservices: web: vip: string @tag(h2,var=cwd)\n", "services/bad.cue"},
		"NotUTF8":          {"a file that is no text", "package config\n\nservices: web: hosts: [\"\xff\xfe\"]\n", "services/bad.cue"},
		"Future":           {"a file for a newer CUE", "@experiment(fromthefuture)\n\npackage config\n\nservices: web: hosts: []\n", "services/bad.cue"},
		"NUL":              {"a file that is no text", "package config\n\n\x00\n", "services/bad.cue"},
		"Registry":         {"an import from elsewhere", "package config\n\nimport \"example.org/else@v1\"\n\n_x: else.y\n", "services/bad.cue"},
		"Embed":            {"a file of the machine", "@extern(embed)\n\npackage config\n\nservices: web: owner: _ @embed(file=\"../../../../etc/hostname\",type=text)\n", "services/bad.cue"},
		"ExternC":          {"an extern other than embed", "@extern(\"wasm\")\n\npackage config\n\n_add: _ @extern(\"/tmp/foo.wasm\",abi=c, sig=\"func(int64, int64): int64\")\nservices: web: vip: \"\\(_add(1, 2))\"\n", "services/bad.cue"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			_, err := evaluate.Evaluate(ctx, quickstart(t, map[string]string{"services/bad.cue": tc.content}), evaluate.Options{Cluster: "east", Limits: limits})
			t.Logf("%.400v", err)
			if err == nil && tc.says == "" {
				return
			}
			var findings manifest.Findings
			if !errors.As(err, &findings) {
				t.Fatalf("%s: got %v, want findings", tc.reason, err)
			}
			if !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %q is not named: %v", tc.reason, tc.says, err)
			}
			if host, _ := os.Hostname(); host != "" && strings.Contains(err.Error(), host) {
				t.Errorf("%s: the host's name came out: %v", tc.reason, err)
			}
		})
	}
	// Reading 18 files, one of 10 MiB, and no evaluation.
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.Sys > 256<<20 {
		t.Errorf("this process has grown to %d MiB", m.Sys>>20)
	}
	if _, err := evaluate.Evaluate(t.Context(), quickstart(t, nil), evaluate.Options{Cluster: "east", Limits: limits}); err != nil {
		t.Errorf("the next repository is not evaluated: %v", err)
	}
}

// A deadline is nobody's mistake for certain: the machine may be busy.
func TestAnEvaluationEndsWithItsContext(t *testing.T) {
	slow := quickstart(t, map[string]string{"services/x.cue": endless})
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

func TestTwoEvaluationsDoNotNeedMemoryAtTheSameTime(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := evaluate.Evaluate(ctx, quickstart(t, map[string]string{"services/x.cue": endless}), evaluate.Options{Limits: evaluate.Limits{CPU: time.Hour}})
		first <- err
	}()
	// Until the first one is under way, a second one is evaluated.
	for {
		brief, done := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := evaluate.Evaluate(brief, quickstart(t, nil), evaluate.Options{})
		done()
		if err != nil {
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "earlier evaluation") {
				t.Errorf("got %v, want to hear of the earlier one", err)
			}
			break
		}
	}
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first one ended with %v", err)
	}
}
