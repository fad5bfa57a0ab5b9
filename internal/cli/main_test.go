package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// isthmus is the built command; every test here runs it as a person does. initialized is what isthmus init makes.
var isthmus, initialized string

// builtVersion is what the tests' build says of itself, by the flag that releases use.
const builtVersion = "v1.2.3-test"

func TestMain(m *testing.M) {
	status, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

func buildAndRun(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "isthmus-cli-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	isthmus = filepath.Join(dir, "isthmus")
	build := exec.Command("go", "build", "-ldflags", "-s -w -X github.com/isthmus-mesh/isthmus/internal/version.version="+builtVersion,
		"-o", isthmus, "github.com/isthmus-mesh/isthmus/cmd/isthmus")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("building isthmus: %w\n%s", err, out)
	}
	// No test depends on the checkout that CI runs them in, nor on the person's terminal.
	for _, name := range []string{"GITHUB_WORKSPACE", "NO_COLOR"} {
		if err := os.Unsetenv(name); err != nil {
			return 0, err
		}
	}
	initialized = filepath.Join(dir, "mesh")
	if out, err := exec.Command(isthmus, "init", initialized).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("isthmus init: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// ran is what a command did.
type ran struct {
	status         int
	stdout, stderr string
}

// run runs isthmus in a folder.
func run(t *testing.T, dir string, args ...string) ran {
	t.Helper()
	return runCommand(t, dir, isthmus, args...)
}

func runCommand(t *testing.T, dir, name string, args ...string) ran {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return ran{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// expect checks a run's exit status and that its outputs hold the texts; an empty list wants an empty output.
func (r ran) expect(t *testing.T, status int, stdout, stderr []string) {
	t.Helper()
	if r.status != status {
		t.Errorf("exit status %d, want %d\nstdout:\n%s\nstderr:\n%s", r.status, status, r.stdout, r.stderr)
	}
	holds(t, "stdout", r.stdout, stdout)
	holds(t, "stderr", r.stderr, stderr)
}

func holds(t *testing.T, stream, got string, want []string) {
	t.Helper()
	if len(want) == 0 && got != "" {
		t.Errorf("%s is not empty:\n%s", stream, got)
	}
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("%s lacks %q:\n%s", stream, w, got)
		}
	}
}

// newRepository is a fresh mesh repository, a copy of the one that isthmus init made.
func newRepository(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "mesh")
	if err := os.CopyFS(dir, os.DirFS(initialized)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, dir, file, content string) {
	t.Helper()
	name := filepath.Join(dir, filepath.FromSlash(file))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// replace replaces text that must be there.
func replace(t *testing.T, dir, file, old, new string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), old) {
		t.Fatalf("%s lacks %q", file, old)
	}
	write(t, dir, file, strings.ReplaceAll(string(data), old, new))
}

// tree is the content of all files below dir.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, p)
		files[filepath.ToSlash(name)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
