// Package cuecmd builds the cue command, the reference for the output of Isthmus.
//
// Its version is the one in tools/go.mod. The binary is cached by version in the user's cache
// folder, for all checkouts.
package cuecmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Path returns the path of the cue command. An error of the build ends the test.
func Path(t testing.TB) string {
	t.Helper()
	path, err := Build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Build returns the absolute path of the cue command and builds it if it is not cached. With an
// empty Go build cache this takes about a minute. It needs the checkout of this module and the go
// command.
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
	// Renamed after the build, because tests of several packages may build at the same time and a
	// build may be interrupted.
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

// Export runs cue export for a cluster in the folder of a mesh repository. It returns the resources
// by key, "Kind/namespace/name".
func Export(ctx context.Context, cue, repository, cluster string) (map[string]*unstructured.Unstructured, error) {
	cmd := exec.CommandContext(ctx, cue, "export", "-t", "cluster="+cluster, "-e", "resources", "./services")
	var stderr bytes.Buffer
	cmd.Dir, cmd.Stderr = repository, &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cue export for %s: %w\n%s", cluster, err, stderr.String())
	}
	var resources map[string]map[string]any
	if err := json.Unmarshal(out, &resources); err != nil {
		return nil, fmt.Errorf("cue export for %s: %w", cluster, err)
	}
	objects := map[string]*unstructured.Unstructured{}
	for key, object := range resources {
		objects[key] = &unstructured.Unstructured{Object: object}
	}
	return objects, nil
}

// checkout returns the root of the module that contains the working directory.
func checkout() (string, error) {
	gomod, err := run("", "go", "env", "GOMOD")
	if err != nil {
		return "", fmt.Errorf("finding the checkout: %w", err)
	}
	if gomod == "" || gomod == os.DevNull {
		return "", errors.New("the cue command is built from tools/go.mod of the checkout; run it inside the checkout")
	}
	return filepath.Dir(gomod), nil
}

// run runs a command in dir and returns its trimmed stdout. An error contains its stderr.
func run(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	// -modfile is not allowed with a go.work file.
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}
