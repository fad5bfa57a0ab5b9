package random

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Mesh holds the manifests of a repository in the format of the schema.
type Mesh struct {
	Seed     uint64
	Settings map[string]any
	Clusters map[string]any
	Services map[string]any
}

// Write writes the mesh to a folder. mesh.cue must be added.
func (m Mesh) Write(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "services"), 0o755); err != nil {
		return err
	}
	files := map[string]map[string]any{
		"settings.cue": {"settings": m.Settings},
		"clusters.cue": {"clusters": m.Clusters},
	}
	for name, s := range m.Services {
		files["services/"+name+".cue"] = map[string]any{"services": map[string]any{name: s}}
	}
	for path, content := range files {
		// JSON is valid CUE.
		data, err := json.MarshalIndent(content, "", "\t")
		if err != nil {
			return err
		}
		text := fmt.Sprintf("package config\n\n%s\n", data)
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Without returns the mesh without a service and without the calls to it.
func (m Mesh) Without(service string) Mesh {
	out := Mesh{Seed: m.Seed, Settings: m.Settings, Clusters: m.Clusters, Services: map[string]any{}}
	for name, s := range m.Services {
		if name == service {
			continue
		}
		copied := maps.Clone(s.(map[string]any))
		if egress, ok := copied["egress"].(map[string]any); ok {
			egress = maps.Clone(egress)
			delete(egress, service)
			copied["egress"] = egress
		}
		out.Services[name] = copied
	}
	return out
}

// ServiceNames returns the sorted names of the services.
func (m Mesh) ServiceNames() []string { return slices.Sorted(maps.Keys(m.Services)) }
