package random_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/test/suites/conformance/random"
)

func TestASeedAlwaysMakesTheSameMesh(t *testing.T) {
	if diff := cmp.Diff(random.Make(7, 1), random.Make(7, 1)); diff != "" {
		t.Error(diff)
	}
	if cmp.Equal(random.Make(7, 1).Services, random.Make(8, 1).Services) {
		t.Error("two seeds make the same services")
	}
}

func TestWithoutAServiceNobodyCallsIt(t *testing.T) {
	mesh := random.Make(7, 1)
	for _, gone := range mesh.ServiceNames() {
		for name, s := range mesh.Without(gone).Services {
			if _, calls := s.(map[string]any)["egress"].(map[string]any)[gone]; calls || name == gone {
				t.Errorf("%s is still there, by %s", gone, name)
			}
		}
	}
}
