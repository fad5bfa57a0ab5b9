package repo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// Command is a built isthmus command.
type Command struct {
	path string
}

// Build builds the isthmus command of this checkout into dir.
func Build(dir string) (Command, error) {
	path := filepath.Join(dir, "isthmus")
	root, err := Root()
	if err != nil {
		return Command{}, err
	}
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", path, "./cmd/isthmus")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return Command{}, fmt.Errorf("build ./cmd/isthmus in %s: %w\n%s", build.Dir, err, out)
	}
	return Command{path: path}, nil
}

// Root is the root folder of the checkout. The go command knows the folder of this module; a binary
// that is built with -trimpath does not.
var Root = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module of the conformance suite: %w", err)
	}
	file := strings.TrimSpace(string(out))
	if file == "" || file == os.DevNull {
		return "", errors.New("run the conformance suite from within its checkout")
	}
	return filepath.Join(filepath.Dir(file), "..", "..", ".."), nil
})

// Bundles renders the resources of every cluster: by cluster, then by Kind/namespace/name.
func (c Command) Bundles(dir string) (map[string]map[string]map[string]any, error) {
	out, err := c.run("render", "--repo", dir, "--all", "-o", "json")
	if err != nil {
		return nil, err
	}
	bundles := map[string]map[string]map[string]any{}
	if err := json.Unmarshal([]byte(out), &bundles); err != nil {
		return nil, fmt.Errorf("read the output of isthmus render for %s: %w", dir, err)
	}
	return bundles, nil
}

// Vendor copies the CUE module of this checkout into the repository.
func (c Command) Vendor(dir string) error {
	_, err := c.run("vendor", "--repo", dir)
	return err
}

// Vet returns the messages of isthmus vet. It returns an error if isthmus vet could not run.
func (c Command) Vet(dir string) ([]string, error) {
	cmd := exec.Command(c.path, "vet", "--repo", dir, "-o", "json")
	out, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil, nil
	case !errors.As(err, &exit) || exit.ExitCode() != 1:
		return nil, fmt.Errorf("isthmus vet --repo %s: %w\n%s", dir, err, out)
	}
	report := struct {
		Findings []struct {
			Message string `json:"message"`
		} `json:"findings"`
	}{}
	if err := json.Unmarshal(out, &report); err != nil {
		return nil, fmt.Errorf("read the output of isthmus vet for %s: %w", dir, err)
	}
	messages := []string{}
	for _, f := range report.Findings {
		messages = append(messages, f.Message)
	}
	return messages, nil
}

func (c Command) run(args ...string) (string, error) {
	cmd := exec.Command(c.path, args...)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("isthmus %s: %w\n%s", strings.Join(args, " "), err, problems.String())
	}
	return out.String(), nil
}

// Repo is a mesh repository: the manifests and the rendered bundles.
type Repo struct {
	Mesh    Mesh
	Bundles map[string]map[string]map[string]any
}

// Load reads the repository in dir, which must contain the CUE module.
func Load(c Command, dir string) (Repo, error) {
	mesh, err := Evaluate(dir)
	if err != nil {
		return Repo{}, err
	}
	bundles, err := c.Bundles(dir)
	if err != nil {
		return Repo{}, err
	}
	return Repo{Mesh: mesh, Bundles: bundles}, nil
}

// Copy copies the mesh repository in from, then the files of the overlays in order, to the empty
// folder to, and adds the CUE module of this checkout.
func (c Command) Copy(to, from string, overlays ...string) error {
	for _, dir := range append([]string{from}, overlays...) {
		if err := copyCUE(to, dir); err != nil {
			return err
		}
	}
	return c.addModule(to)
}

// Compose creates a mesh repository of single files in the empty folder to.
func (c Command) Compose(to string, files ...string) error {
	for _, file := range files {
		if err := copyFile(filepath.Join(to, filepath.Base(filepath.Dir(file))+"-"+filepath.Base(file)), file); err != nil {
			return err
		}
	}
	return c.addModule(to)
}

// addModule makes the folder a CUE module and vendors the module of this checkout.
func (c Command) addModule(to string) error {
	module := filepath.Join(to, "cue.mod", "module.cue")
	if err := os.MkdirAll(filepath.Dir(module), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(module, []byte("module: \"example.com/mesh\"\nlanguage: version: \"v0.17.0\"\n"), 0o644); err != nil {
		return err
	}
	return c.Vendor(to)
}

// copyCUE copies the CUE files of the top folder and of services/.
func copyCUE(to, from string) error {
	for _, pattern := range []string{"*.cue", "services/*.cue"} {
		files, err := filepath.Glob(filepath.Join(from, pattern))
		if err != nil {
			return err
		}
		for _, file := range files {
			name, err := filepath.Rel(from, file)
			if err != nil {
				return err
			}
			if err := copyFile(filepath.Join(to, name), file); err != nil {
				return err
			}
		}
	}
	return nil
}

func copyFile(to, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}
