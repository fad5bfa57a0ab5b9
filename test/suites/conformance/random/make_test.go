package random_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/random"
)

func TestSameSeedGivesSameMesh(t *testing.T) {
	if diff := cmp.Diff(random.Make(7, 1), random.Make(7, 1)); diff != "" {
		t.Error(diff)
	}
	if cmp.Equal(random.Make(7, 1).Services, random.Make(8, 1).Services) {
		t.Error("two seeds give the same services")
	}
}

func TestWithoutRemovesTheServiceAndCallsToIt(t *testing.T) {
	mesh := random.Make(7, 1)
	for _, removed := range mesh.ServiceNames() {
		for name, s := range mesh.Without(removed).Services {
			if _, calls := s.(map[string]any)["egress"].(map[string]any)[removed]; calls || name == removed {
				t.Errorf("service %s still refers to the removed %s", name, removed)
			}
		}
	}
}
