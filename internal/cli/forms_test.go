package cli_test

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// odd is a folder whose name needs escaping in most forms.
const odd = "our mesh, 50%"

// broken is a mesh repository in the folder odd of a Git checkout, with one problem that needs escaping, too.
func broken(t *testing.T) (checkout string) {
	t.Helper()
	checkout = t.TempDir()
	write(t, checkout, ".git/HEAD", "ref: refs/heads/main\n")
	run(t, checkout, "init", odd).expect(t, 0, []string{odd}, nil)
	write(t, checkout, odd+"/services/more.cue", "package config\n\nservices: cart: routes: [{fault: \"a%b\\n::c,d\": true}]\n")
	return checkout
}

func TestVetJSON(t *testing.T) {
	t.Parallel()
	type form struct {
		Findings []struct {
			Service, Path, File, Message string
			Clusters                     []string
			Line, Column                 int
		}
		Summary map[string]int
	}
	var got form
	r := run(t, broken(t), "vet", "--repo", odd, "-o", "json")
	r.expect(t, 1, []string{"findings"}, nil)
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Findings) != 1 {
		t.Fatalf("want one finding:\n%s", r.stdout)
	}
	f := got.Findings[0]
	if f.Service != "cart" || f.File != "services/more.cue" || f.Line != 3 || f.Column == 0 || f.Message == "" {
		t.Errorf("got %+v", f)
	}
	if diff := cmp.Diff([]string{"east"}, f.Clusters); diff != "" {
		t.Errorf("clusters (-want +got):\n%s", diff)
	}

	r = run(t, newRepository(t), "vet", "-o", "json")
	r.expect(t, 0, []string{`"findings": []`}, nil)
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
		t.Fatal(err)
	}
	s := got.Summary
	if s["services"] != 3 || s["clusters"] != 2 || s["externals"] != 1 || s["resources"] == 0 || s["files"] == 0 {
		t.Errorf("summary: %v", s)
	}
}

func TestVetJSONOmitsUnknownCounts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reason string
		breaks func(t *testing.T, dir string)
		want   []string
	}{
		{"nothing is missing", func(*testing.T, string) {}, []string{"clusters", "externals", "files", "resources", "services"}},
		{
			"a cluster's resources are refused, so theirs cannot all be counted",
			func(t *testing.T, dir string) {
				write(t, dir, "services/more.cue", "package config\n\nservices: cart: routes: [{timeout: \"soon\"}]\n")
			},
			[]string{"clusters", "externals", "files", "services"},
		},
		{
			"the manifests are refused",
			func(t *testing.T, dir string) { replace(t, dir, "services/web.cue", "egress:", "egres:") },
			[]string{"files"},
		},
		{
			"a file is refused",
			func(t *testing.T, dir string) { write(t, dir, "sub/.git", "gitdir: ../.git/modules/sub\n") },
			[]string{"files"},
		},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			dir := newRepository(t)
			tc.breaks(t, dir)
			var got struct{ Summary map[string]int }
			r := run(t, dir, "vet", "-o", "json")
			if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
				t.Fatalf("%v in:\n%s%s", err, r.stdout, r.stderr)
			}
			if diff := cmp.Diff(tc.want, slices.Sorted(maps.Keys(got.Summary))); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestVetGitHub(t *testing.T) {
	t.Parallel()
	checkout := broken(t)
	for _, tc := range []struct{ reason, dir, repo string }{
		{"from the top of the checkout", checkout, odd},
		{"from within", filepath.Join(checkout, odd), "."},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			r := run(t, tc.dir, "vet", "--repo", tc.repo, "-o", "github")
			r.expect(t, 1, []string{"1 problem in 1 file"}, nil)
			// Whatever the working directory, GitHub names files from the top of the checkout.
			want := regexp.MustCompile(`(?m)^::error file=our mesh%2C 50%25/services/more\.cue,line=3,col=\d+,title=service cart::VirtualService/.*a%25b%0A::c,d: unknown field`)
			if !want.MatchString(r.stdout) {
				t.Errorf("no annotation:\n%s", r.stdout)
			}
			stopped := regexp.MustCompile(`(?s)\n::stop-commands::(\w{20,})\n.*services/more\.cue:3:.*\n::(\w+)::\n$`).FindStringSubmatch(r.stdout)
			if stopped == nil || stopped[1] != stopped[2] {
				t.Errorf("the text for people is not shielded from being read as commands:\n%s", r.stdout)
			}
		})
	}
	t.Run("outside of a checkout", func(t *testing.T) {
		dir := newRepository(t)
		replace(t, dir, "services/web.cue", "egress:", "egres:")
		run(t, filepath.Dir(dir), "vet", "--repo", "mesh", "-o", "github").expect(t, 1, []string{"::error file=mesh/services/web.cue,line=11,col=2,"}, nil)
	})
	run(t, newRepository(t), "vet", "-o", "github").expect(t, 0, []string{"ok: 3 services"}, nil)
}

func TestVetSARIF(t *testing.T) {
	t.Parallel()
	r := run(t, broken(t), "vet", "--repo", odd, "-o", "sarif")
	r.expect(t, 1, []string{`"$schema"`}, nil)
	var log struct {
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct {
					Name, Version string
					Rules         []struct{ ID string }
				}
			}
			Results []struct {
				RuleID    string
				RuleIndex int
				Level     string
				Message   struct{ Text string }
				Locations []struct {
					PhysicalLocation struct {
						ArtifactLocation struct{ URI, URIBaseID string }
						Region           struct{ StartLine, StartColumn int }
					}
				}
			}
		}
	}
	d := json.NewDecoder(strings.NewReader(r.stdout))
	if err := d.Decode(&log); err != nil {
		t.Fatal(err)
	}
	if log.Version != "2.1.0" || len(log.Runs) != 1 || len(log.Runs[0].Results) != 1 || len(log.Runs[0].Results[0].Locations) != 1 {
		t.Fatalf("got\n%s", r.stdout)
	}
	run1, result := log.Runs[0], log.Runs[0].Results[0]
	if run1.Tool.Driver.Name != "isthmus" || run1.Tool.Driver.Version != builtVersion {
		t.Errorf("driver: %+v", run1.Tool.Driver)
	}
	if run1.Tool.Driver.Rules[result.RuleIndex].ID != result.RuleID || result.Level != "error" || result.Message.Text == "" {
		t.Errorf("result: %+v", result)
	}
	at := result.Locations[0].PhysicalLocation
	if at.ArtifactLocation.URI != "our%20mesh,%2050%25/services/more.cue" || at.ArtifactLocation.URIBaseID != "%SRCROOT%" || at.Region.StartLine != 3 || at.Region.StartColumn == 0 {
		t.Errorf("location: %+v", at)
	}

	// Without findings there is a run with an empty list: a missing list would say that nothing was looked at.
	run(t, newRepository(t), "vet", "-o", "sarif").expect(t, 0, []string{`"results": []`}, nil)
}

func TestVersion(t *testing.T) {
	t.Parallel()
	run(t, ".", "version").expect(t, 0, []string{"isthmus    " + builtVersion, "Istio API  v1.", "CUE        v0."}, nil)
	run(t, ".", "--version").expect(t, 0, []string{"isthmus version " + builtVersion + "\n"}, nil)
	var info struct{ Version, IstioAPI, CUE string }
	r := run(t, ".", "version", "-o", "json")
	if err := json.Unmarshal([]byte(r.stdout), &info); err != nil {
		t.Fatal(err)
	}
	if info.Version != builtVersion || info.IstioAPI == "" || info.CUE == "" {
		t.Errorf("got %s", r.stdout)
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	dir := newRepository(t)
	for _, tc := range []struct {
		reason string
		args   []string
		stdout []string
	}{
		{"clusters of this folder", []string{"render", "--cluster", ""}, []string{"east\nwest\n"}},
		{"services and externals", []string{"render", "--service", ""}, []string{"cart\npayments\nstock\nweb\n"}},
		{"forms of render", []string{"render", "-o", ""}, []string{"yaml\njson\ndir=\n"}},
		{"forms of vet", []string{"vet", "-o", ""}, []string{"text\njson\ngithub\nsarif\n"}},
		{"commands", []string{"v"}, []string{"vendor\t", "version\t", "vet\t"}},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			t.Parallel()
			r := run(t, dir, append([]string{"__complete"}, tc.args...)...)
			r.expect(t, 0, tc.stdout, []string{"Completion ended"})
		})
	}
	r := run(t, filepath.Dir(dir), "__complete", "render", "--repo", "mesh", "--cluster", "")
	r.expect(t, 0, []string{"east\nwest\n"}, []string{"Completion ended"})
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		run(t, dir, "completion", shell).expect(t, 0, []string{"isthmus"}, nil)
	}
}

func TestEveryCommandHasExamples(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{}, {"init"}, {"vendor"}, {"vet"}, {"render"}, {"version"}, {"help"}, {"completion"}, {"completion", "bash"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			run(t, ".", append(args, "--help")...).expect(t, 0, []string{"Examples:\n  isthmus", "Usage:"}, nil)
		})
	}
}
