package apiserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// envAssets names the folder with kube-apiserver and etcd, as everywhere in the field.
const envAssets = "KUBEBUILDER_ASSETS"

// Assets returns the folder that holds kube-apiserver and etcd. Where KUBEBUILDER_ASSETS is unset it runs
// test/support/controlplane/build.sh, which takes minutes the first time, and says so on stderr.
func Assets(ctx context.Context) (string, error) {
	dir := os.Getenv(envAssets)
	if dir == "" {
		built, err := build(ctx)
		if err != nil {
			return "", err
		}
		dir = built
	}
	for _, name := range []string{"kube-apiserver", "etcd"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return "", fmt.Errorf("%s has no %s; unset %s to have it built: %w", dir, name, envAssets, err)
		}
	}
	return dir, nil
}

func build(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("%s is unset and the module root cannot be found to build kube-apiserver and etcd: %w", envAssets, err)
	}
	gomod := strings.TrimSpace(string(out))
	if gomod == "" || gomod == os.DevNull {
		return "", errors.New(envAssets + " is unset and the working directory is in no Go module, so kube-apiserver and etcd cannot be built; run it in the checkout")
	}
	script := filepath.Join(filepath.Dir(gomod), "test", "support", "controlplane", "build.sh")
	var stdout bytes.Buffer
	cmd := exec.CommandContext(ctx, script)
	cmd.Stdout, cmd.Stderr = &stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("building kube-apiserver and etcd with %s: %w", script, err)
	}
	return strings.TrimSpace(stdout.String()), nil
}
