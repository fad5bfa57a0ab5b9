package main

import (
	"os/exec"
	"strings"
	"testing"
)

// depguard sees only direct imports.
func TestBinaryHasNoTestCodeAndNoManager(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	dependencies := strings.Fields(string(out))
	if len(dependencies) < 100 {
		t.Fatalf("go list returned only %d packages", len(dependencies))
	}
	for _, dependency := range dependencies {
		for _, unwanted := range []string{
			"github.com/isthmus-mesh/isthmus/test", "github.com/isthmus-mesh/isthmus/controllers", "testing", "net/http/httptest",
			"sigs.k8s.io/controller-runtime/pkg/manager", "sigs.k8s.io/controller-runtime/pkg/envtest", "github.com/fluxcd/pkg/gittestserver", "github.com/onsi/gomega",
		} {
			if dependency == unwanted || strings.HasPrefix(dependency, unwanted+"/") {
				t.Errorf("isthmus imports %s, directly or not", dependency)
			}
		}
	}
}
