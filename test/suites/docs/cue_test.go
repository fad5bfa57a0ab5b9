package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/test/support/cuecmd"
)

// mistake is a section of docs/cue-for-yaml.md: the right lines of the manifest, the wrong ones,
// and the error that cue vet prints for them.
type mistake struct{ title, wrong, message, right string }

var (
	manifestBlock = regexp.MustCompile("(?s)```cue\n(package config\n\nservices: parcel: .*?)```")
	mistakeBlocks = regexp.MustCompile("(?s)\n### (\\d+\\. [^\n]+)\n.*?```cue\n(.*?)```.*?```text\n(.*?)```.*?```cue\n(.*?)```")
)

func TestUsualMistakesPrintTheErrorsThatThePageShows(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "cue-for-yaml.md"))
	if err != nil {
		t.Fatal(err)
	}
	manifest := manifestBlock.FindStringSubmatch(string(page))
	var mistakes []mistake
	for _, found := range mistakeBlocks.FindAllStringSubmatch(string(page), -1) {
		mistakes = append(mistakes, mistake{title: found[1], wrong: found[2], message: found[3], right: found[4]})
	}
	if len(manifest) == 0 || len(mistakes) != 10 {
		t.Fatalf("the page has a manifest: %t, and %d mistakes, not 10", len(manifest) > 0, len(mistakes))
	}
	cue := cuecmd.Path(t)
	t.Run("the manifest itself", func(t *testing.T) {
		t.Parallel()
		if out := vet(t, cue, manifest[1]); out != "" {
			t.Errorf("cue vet rejects it:\n%s", out)
		}
	})
	for _, m := range mistakes {
		t.Run(m.title, func(t *testing.T) {
			t.Parallel()
			if strings.Count(manifest[1], m.right) != 1 {
				t.Fatalf("the right lines are not in the manifest:\n%s", m.right)
			}
			out := vet(t, cue, strings.Replace(manifest[1], m.right, m.wrong, 1))
			for line := range strings.Lines(m.message) {
				if !strings.Contains(out, line) {
					t.Errorf("cue vet does not print the line of the page\n%s\nbut\n%s", line, out)
				}
			}
		})
	}
}

// vet returns what cue vet prints for examples/shop with the manifest in it, "" if it accepts it.
func vet(t *testing.T, cue, manifest string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "examples", "shop"))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "services", "parcel.cue"), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(cue, "vet", "./...")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil && len(out) == 0 {
		t.Fatal(err)
	}
	return string(out)
}
