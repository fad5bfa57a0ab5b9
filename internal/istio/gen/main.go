// Command gen writes the CRDs of the managed kinds, one JSON file for each kind, from the CRD file
// in the module istio.io/api. Run it with go generate after a change of [istio.Kinds] or of the
// version of istio.io/api in go.mod.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	_ "istio.io/api/label" // keeps istio.io/api in go.mod; the CRD file is not in a Go package
)

func main() {
	if err := run("crds"); err != nil {
		fmt.Fprintln(os.Stderr, "the CRDs were not generated: "+err.Error())
		os.Exit(1)
	}
}

// run rewrites the JSON files of the folder and removes those of kinds that are no longer managed.
func run(folder string) error {
	origin, err := originFile()
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(origin)
	if err != nil {
		return fmt.Errorf("reading Istio's CRDs: %w", err)
	}
	files, err := reduce(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", origin, err)
	}
	stale, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return err
	}
	for _, name := range stale {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// originFile returns the path of Istio's CRD file in the module cache, for the version in go.mod.
func originFile() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "istio.io/api").Output()
	if err != nil {
		return "", fmt.Errorf("go list -m istio.io/api: %w", err)
	}
	dir := strings.TrimSpace(string(out))
	if dir == "" {
		return "", fmt.Errorf("the module istio.io/api is not in the module cache; run go mod download istio.io/api")
	}
	return filepath.Join(dir, "kubernetes", "customresourcedefinitions.gen.yaml"), nil
}
