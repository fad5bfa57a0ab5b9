package testcluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// envAssets names the folder with kube-apiserver and etcd. setup-envtest and Kubebuilder use the
// same variable.
const envAssets = "KUBEBUILDER_ASSETS"

// Assets returns the folder that holds kube-apiserver and etcd: KUBEBUILDER_ASSETS, or the output
// of test/support/controlplane/build.sh if the working directory is in a checkout. The first build
// takes minutes and reports its progress on stderr.
func Assets(ctx context.Context) (string, error) {
	dir := os.Getenv(envAssets)
	if dir == "" {
		var err error
		if dir, err = Build(ctx); err != nil {
			return "", err
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for _, name := range []string{"kube-apiserver", "etcd"} {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return "", fmt.Errorf("%s has no %s: set %s to a folder that has it, or unset it and run `make demo` in a checkout, which builds it: %w",
				dir, name, envAssets, err)
		}
	}
	return dir, nil
}

// Build runs build.sh of the checkout that holds the working directory. It returns the folder with
// kube-apiserver, etcd and the given other programs.
func Build(ctx context.Context, others ...string) (string, error) {
	const script = "test/support/controlplane/build.sh"
	module, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	path := filepath.Join(filepath.Dir(strings.TrimSpace(string(module))), filepath.FromSlash(script))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		return "", fmt.Errorf("kube-apiserver and etcd are needed: set %s to a folder that holds them, "+
			"as `setup-envtest use -p path` prints it, or run `make demo` in a checkout, which builds them", envAssets)
	}
	var stdout bytes.Buffer
	cmd := exec.CommandContext(ctx, path, others...)
	cmd.Env = append(os.Environ(), envAssets+"=")
	cmd.Stdout, cmd.Stderr = &stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("building kube-apiserver and etcd with %s: %w", path, err)
	}
	return strings.TrimSpace(stdout.String()), nil
}
