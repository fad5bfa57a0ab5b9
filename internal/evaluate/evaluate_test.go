package evaluate_test

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// quickstart is the example with changed files; "" removes a file.
func quickstart(t *testing.T, changes map[string]string) *source.Snapshot {
	t.Helper()
	snap, err := source.FromDir(context.Background(), filepath.Join("..", "..", "examples", "quickstart"), source.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	files := maps.Clone(snap.Files)
	for name, content := range changes {
		for p := range files {
			if content == "" && (p == name || strings.HasPrefix(p, strings.TrimSuffix(name, "/")+"/")) {
				delete(files, p)
			}
		}
		if content != "" {
			files[name] = source.Blob{Data: []byte(content)}
		}
	}
	return &source.Snapshot{Files: files}
}

func TestGoodRepositoryYieldsManifestsAndObjects(t *testing.T) {
	result, err := evaluate.Evaluate(context.Background(), quickstart(t, nil), evaluate.Options{Cluster: "east"})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"cart", "stock", "web"}, slices.Sorted(maps.Keys(result.Mesh.Services))); d != "" {
		t.Errorf("services (-want +got):\n%s", d)
	}
	want := manifest.Service{
		Owner:     "storefront",
		Ports:     map[string]manifest.Port{"http": {Port: 80, Protocol: "HTTP", TargetPort: 8080}},
		Backend:   manifest.Backend{Namespace: "web", Selector: map[string]string{"app": "web"}, ServiceAccounts: []string{"web"}},
		Versions:  map[string]manifest.Version{},
		Placement: map[string]manifest.Placement{"east": {}},
		Egress:    map[string]struct{}{"cart": {}, "stock": {}},
	}
	if d := cmp.Diff(want, result.Mesh.Services["web"]); d != "" {
		t.Errorf("manifest of web (-want +got):\n%s", d)
	}
	if c := result.Mesh.Clusters["east"]; c.State != "active" || c.TrustDomain != "cluster.local" || c.Gateways[0].Port != 15443 {
		t.Errorf("the defaults of a cluster are not filled in: %+v", c)
	}
	if len(result.Rendered) == 0 {
		t.Error("nothing is rendered")
	}
	if at, ok := result.Locate("services.web.egress.cart"); !ok || at != (evaluate.Position{File: "services/web.cue", Line: 8, Column: 11}) {
		t.Errorf("services.web.egress.cart was found at %+v", at)
	}
}

func TestNothingIsRenderedWithoutACluster(t *testing.T) {
	result, err := evaluate.Evaluate(context.Background(), quickstart(t, nil), evaluate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if result.Rendered != nil {
		t.Errorf("rendered %d resources for no cluster", len(result.Rendered))
	}
}

// As in a folder that plain cue reads: files beside the one that embeds them.
func TestFileOfTheRepositoryIsEmbedded(t *testing.T) {
	snap := quickstart(t, map[string]string{
		"services/x.cue":      "@extern(embed)\n\npackage config\n\nservices: web: hosts: _ @embed(file=\"hosts.json\")\n",
		"services/hosts.json": `["web.example.com"]`,
	})
	result, err := evaluate.Evaluate(context.Background(), snap, evaluate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"web.example.com"}, result.Mesh.Services["web"].Hosts); d != "" {
		t.Errorf("hosts (-want +got):\n%s", d)
	}
}

func TestMeshIsOnePackageInAllFolders(t *testing.T) {
	snap := quickstart(t, map[string]string{
		"services/":                  "",
		"teams/a/web/web.cue":        "package config\n\nservices: web: {owner: \"a\", ports: http: {port: 80, protocol: \"HTTP\"}}\n",
		"teams/b/web.cue":            "package config\n\nservices: web: backend: {namespace: \"web\", selector: app: \"web\", serviceAccounts: [\"web\"]}\n",
		"_drafts/x.cue":              "package other\n",
		"teams/a/deploy_tool.cue":    "package tools\n",
		"lib/names/names.cue":        "package names\n\nPlatform: \"platform\"\n",
		"lib/more/more.cue":          "package others\n\nTeam: \"x\"\n",
		"teams/x/x.cue":              "package config\n\nimport \"example.com/quickstart/lib/more@v0:others\"\n\nservices: web: hosts: [others.Team + \".example.com\"]\n",
		"teams/platform/gateway.cue": "package config\n\nimport \"example.com/quickstart/lib/names\"\n\nservices: gw: {owner: names.Platform, ports: http: {port: 80, protocol: \"HTTP\"}, backend: {namespace: \"gw\", selector: app: \"gw\", serviceAccounts: [\"gw\"]}}\n",
	})
	result, err := evaluate.Evaluate(context.Background(), snap, evaluate.Options{Cluster: "east"})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"gw", "web"}, slices.Sorted(maps.Keys(result.Mesh.Services))); d != "" {
		t.Errorf("services (-want +got):\n%s", d)
	}
	if owner := result.Mesh.Services["gw"].Owner; owner != "platform" {
		t.Errorf("the owner of gw is %q, want the one of the imported package", owner)
	}
}

func TestErrorIsAFindingWithItsPosition(t *testing.T) {
	const web = "package config\n\nservices: web2: "
	cases := []struct {
		reason  string
		changes map[string]string
		file    string
		line    int
		says    string
	}{
		{"an empty tree", map[string]string{"cue.mod": "", "services": "", "mesh.cue": "", "clusters.cue": ""}, "", 0, "the repository has no files"},
		{"no module", map[string]string{"cue.mod/module.cue": ""}, "cue.mod/module.cue", 0, "is missing"},
		{"no root package", map[string]string{"mesh.cue": "", "clusters.cue": ""}, "mesh.cue", 0, "is missing"},
		{"no vendored module", map[string]string{"cue.mod/pkg": ""}, "mesh.cue", 5, "isthmus vendor"},
		{"two packages in the root", map[string]string{"other.cue": "package other\n"}, "clusters.cue", 1, "2 packages (config, other"},
		{"a file of another package beside the others", map[string]string{"services/x.cue": "package confg\n\nservices: x: {}\n"}, "services/x.cue", 1, "is of package confg, but the mesh is package config"},
		{"a folder of another package that nothing imports", map[string]string{"teams/x/x.cue": "package confg\n"}, "teams/x/x.cue", 1, "is of package confg"},
		{"a file without a package", map[string]string{"services/x.cue": "services: x: {}\n"}, "services/x.cue", 1, "has no package clause"},
		{"a module of a newer language", map[string]string{"cue.mod/module.cue": "module: \"example.com/quickstart\"\nlanguage: version: \"v0.99.0\"\n"}, "cue.mod/module.cue", 0, "v0.99.0"},
		{"a file that does not parse", map[string]string{"services/x.cue": web + "{\n\towner: \n}\n"}, "services/x.cue", 5, "expected"},
		{"an import from a registry", map[string]string{"services/x.cue": "package config\n\nimport \"github.com/else/where\"\n\nservices: x: where.x\n"}, "services/x.cue", 3, "github.com/else/where"},
		{"a mistake in services that are computed", map[string]string{"services/x.cue": "package config\n\nfor n in [\"p\"] {\n\tservices: (n): {owner: \"o\", backend: {namespace: \"x\", selector: app: \"x\"}}\n}\n"}, "services/x.cue", 4, "serviceAccounts is missing"},
		{"a reference to nothing", map[string]string{"services/x.cue": web + "owner: nobody\n"}, "services/x.cue", 3, "reference \"nobody\" not found"},
		{"a value that stays open", map[string]string{"services/x.cue": web + `{owner: "x", vip: string, ports: http: {port: 80, protocol: "HTTP"}, backend: {namespace: "x", selector: app: "x", serviceAccounts: ["x"]}}` + "\n"}, "services/x.cue", 3, "incomplete value"},
		{"a structural cycle", map[string]string{"services/x.cue": web + "{a: b: a}\n"}, "services/x.cue", 3, ""},
		{"a file of the machine", map[string]string{"services/x.cue": "@extern(embed)\n\npackage config\n\nservices: x: owner: _ @embed(file=\"/etc/passwd\",type=text)\n"}, "services/x.cue", 5, ""},
		{"a file outside the repository", map[string]string{"services/x.cue": "@extern(embed)\n\npackage config\n\nservices: x: owner: _ @embed(file=\"../../etc/passwd\",type=text)\n"}, "services/x.cue", 5, ""},
	}
	for _, c := range cases {
		t.Run(c.reason, func(t *testing.T) {
			_, err := evaluate.Evaluate(context.Background(), quickstart(t, c.changes), evaluate.Options{Cluster: "east"})
			var findings manifest.Findings
			if !errors.As(err, &findings) || len(findings) == 0 {
				t.Fatalf("got %v, want findings", err)
			}
			f := findings[0]
			if f.File != c.file || f.Line != c.line || !strings.Contains(f.Message, c.says) {
				t.Errorf("got %q at %s:%d, want %q at %s:%d", f.Message, f.File, f.Line, c.says, c.file, c.line)
			}
			if strings.Contains(err.Error(), "in-memory") || strings.Contains(err.Error(), "root:") {
				t.Errorf("the message shows what is not the user's: %s", err)
			}
		})
	}
}
