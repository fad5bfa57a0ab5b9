// Package cuecmd answers: where is the real cue command, against which Isthmus is held?
//
// It is built from the tools module, in the version that the module pins, once for all checkouts: the binary is
// kept in the user's cache folder under its version.
package cuecmd

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Path returns the cue command and ends the test if it cannot be built.
func Path(t testing.TB) string {
	t.Helper()
	path, err := Build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Build returns the absolute path of the cue command, built now if it is not in the cache: about a minute on
// an empty Go build cache. It needs the checkout of this module and the go command.
func Build() (string, error) {
	root, err := checkout()
	if err != nil {
		return "", err
	}
	tools := filepath.Join(root, "tools", "go.mod")
	version, err := run(root, "go", "list", "-modfile="+tools, "-m", "-f", "{{.Version}}", "cuelang.org/go")
	if err != nil {
		return "", fmt.Errorf("finding the version of cue in %s: %w", tools, err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding a cache folder for the cue command: %w", err)
	}
	folder := filepath.Join(cache, "isthmus", "cue-"+version)
	path := filepath.Join(folder, "cue")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	// Built aside and renamed, so that tests of several packages may do it at once and a build that is cut off
	// leaves nothing under the final name.
	scratch, err := os.MkdirTemp(folder, ".build-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	built := filepath.Join(scratch, filepath.Base(path))
	if _, err := run(root, "go", "build", "-trimpath", "-modfile="+tools, "-o", built, "cuelang.org/go/cmd/cue"); err != nil {
		return "", fmt.Errorf("building the cue command %s: %w", version, err)
	}
	if err := os.Rename(built, path); err != nil {
		return "", err
	}
	return path, nil
}

// checkout is the root of this module's source, found from the working directory as the go command does.
func checkout() (string, error) {
	gomod, err := run("", "go", "env", "GOMOD")
	if err != nil {
		return "", fmt.Errorf("finding the checkout: %w", err)
	}
	if gomod == "" || gomod == os.DevNull {
		return "", errors.New("the cue command is built from the tools module of this checkout; run from within it")
	}
	return filepath.Dir(gomod), nil
}

// run is the trimmed standard output of a command, which is run in dir; its error holds what it wrote to stderr.
func run(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	// A go.work around the checkout would exclude -modfile.
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}
