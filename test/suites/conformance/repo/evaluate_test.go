package repo_test

import (
	"path/filepath"
	"testing"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/repo"
)

func TestEvaluateReadsManifestsWithDefaultsOfTheSchema(t *testing.T) {
	root, err := repo.Root()
	if err != nil {
		t.Fatal(err)
	}
	mesh, err := repo.Evaluate(filepath.Join(root, "examples", "versions"))
	if err != nil {
		t.Fatal(err)
	}
	service := mesh.Services["helloworld"]
	if got, want := len(service.Versions), 3; got != want {
		t.Errorf("helloworld has %d versions, want %d", got, want)
	}
	if got, want := service.Routes[0].To[0].Version, "v2"; got != want {
		t.Errorf("the first route goes to %q, want %q", got, want)
	}
	if got, want := mesh.Clusters["cluster1"].TrustDomain, "cluster.local"; got != want {
		t.Errorf("trust domain %q, want the schema's default %q", got, want)
	}
	if got, want := mesh.Settings.ExportSuffix, "isthmus.internal"; got != want {
		t.Errorf("export suffix %q, want the schema's default %q", got, want)
	}
}
