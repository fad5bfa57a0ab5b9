package repo

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path/filepath"
	"sort"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/load"
)

// Evaluate reads the manifests of the mesh repository in dir. No cluster is selected, so no
// template is evaluated.
func Evaluate(dir string) (Mesh, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Mesh{}, err
	}
	files, err := sources(dir)
	if err != nil {
		return Mesh{}, err
	}
	instances := load.Instances(files, &load.Config{Dir: dir, ModuleRoot: dir, Env: []string{"CUE_REGISTRY=none"}})
	if len(instances) != 1 {
		return Mesh{}, fmt.Errorf("the files of %s are %d packages, want one", dir, len(instances))
	}
	if err := instances[0].Err; err != nil {
		return Mesh{}, fmt.Errorf("load %s: %w", dir, err)
	}
	value := cuecontext.New().BuildInstance(instances[0])
	if err := value.Err(); err != nil {
		return Mesh{}, fmt.Errorf("evaluate %s: %w", dir, err)
	}
	mesh := Mesh{}
	for path, into := range map[string]any{
		"settings":  &mesh.Settings,
		"clusters":  &mesh.Clusters,
		"services":  &mesh.Services,
		"externals": &mesh.Externals,
	} {
		field := value.LookupPath(cue.ParsePath(path))
		if !field.Exists() {
			continue
		}
		data, err := field.MarshalJSON()
		if err != nil {
			return Mesh{}, fmt.Errorf("evaluate %s of %s: %w", path, dir, err)
		}
		if err := json.Unmarshal(data, into); err != nil {
			return Mesh{}, fmt.Errorf("read %s of %s: %w", path, dir, err)
		}
	}
	return mesh, nil
}

// sources lists the CUE files of the repository in all folders except cue.mod.
func sources(dir string) ([]string, error) {
	files := []string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() == "cue.mod" {
			return fs.SkipDir
		}
		if !entry.IsDir() && strings.HasSuffix(path, ".cue") {
			files = append(files, path)
		}
		return nil
	})
	sort.Strings(files)
	return files, err
}
