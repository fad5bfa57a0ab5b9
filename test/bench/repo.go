// Package bench generates mesh repositories of any size, for benchmarks and cost checks.
package bench

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	meshmodule "github.com/isthmus-mesh/isthmus/cue"
)

// Repository is the shape of a generated mesh repository. Every service has five calls, two ports,
// two versions and one route, and runs in two clusters.
type Repository struct {
	Services, Clusters int
	// Seed determines the random choices. Equal shapes and seeds give equal files.
	Seed uint64
}

// Files returns the files of the repository by path.
func (r Repository) Files() (map[string]string, error) {
	random := rand.New(rand.NewPCG(r.Seed, 0))
	files := map[string]string{
		"cue.mod/module.cue": "module: \"example.com/bench\"\nlanguage: version: \"v0.17.0\"\n",
		"mesh.cue": `@experiment(explicitopen)

package config

import "isthmus.dev/mesh"

mesh.#Mesh
services: [string]:  mesh.#Service
clusters: [string]:  mesh.#Cluster
externals: [string]: mesh.#External
cluster:             *"" | string @tag(cluster)
#template:           mesh.#Template...
#externalTemplate:   mesh.#ExternalTemplate...
`,
	}
	entries, err := meshmodule.Files.ReadDir(".")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		data, err := meshmodule.Files.ReadFile(e.Name())
		if err != nil {
			return nil, err
		}
		files["cue.mod/pkg/"+meshmodule.Path+"/"+e.Name()] = string(data)
	}
	var clusters strings.Builder
	clusters.WriteString("package config\n\n")
	for c := range r.Clusters {
		fmt.Fprintf(&clusters, "clusters: c%d: {region: \"r%d\", gateways: [{address: \"192.0.2.%d\"}]}\n", c, c%3, c%250+1)
	}
	files["clusters.cue"] = clusters.String()
	for i := range r.Services {
		files[fmt.Sprintf("services/s%d.cue", i)] = r.service(random, i)
	}
	return files, nil
}

func (r Repository) service(random *rand.Rand, i int) string {
	calls := map[int]bool{}
	for len(calls) < min(5, r.Services) {
		calls[random.IntN(r.Services)] = true
	}
	var egress []string
	for callee := range calls {
		egress = append(egress, fmt.Sprintf("s%d: {}", callee))
	}
	slices.Sort(egress)
	home := random.IntN(r.Clusters)
	return fmt.Sprintf(`package config

services: s%[1]d: {
	owner: "team%[2]d"
	ports: {http: {port: 80, protocol: "HTTP", targetPort: 8080}, grpc: {port: 9000, protocol: "GRPC"}}
	backend: {namespace: "ns%[3]d", selector: app: "s%[1]d", serviceAccounts: ["s%[1]d"]}
	versions: {v1: labels: version: "v1", v2: labels: version: "v2"}
	placement: {c%[4]d: {}, c%[5]d: {}}
	egress: {%[6]s}
	routes: [{match: [{headers: "end-user": exact: "jason"}], to: [{version: "v2", weight: 70}, {version: "v1", weight: 30}]}]
}
`, i, i%50, i%40, home, (home+1+random.IntN(max(1, r.Clusters-1)))%r.Clusters, strings.Join(egress, ", "))
}

// Write writes the files of the repository below dir.
func (r Repository) Write(dir string) error {
	files, err := r.Files()
	if err != nil {
		return err
	}
	return WriteFiles(dir, files)
}

// WriteFiles writes files by slash-separated path below dir.
func WriteFiles(dir string, files map[string]string) error {
	for name, content := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}
