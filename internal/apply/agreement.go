package apply

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/sets"
)

// Agreement is what a person let pass and what is not done yet: deletions, and calls that lose their last endpoint. A change may take several runs, and what
// is left of it is not asked about again.
type Agreement sets.Set[string]

// of is what of it a plan still does.
func (a Agreement) of(deletions, losses []string) Agreement {
	still := Agreement{}
	for _, line := range slices.Concat(deletions, losses) {
		if _, ok := a[line]; ok {
			still[line] = sets.Empty{}
		}
	}
	return still
}

func (a Agreement) with(lines []string) Agreement {
	for _, line := range lines {
		a[line] = sets.Empty{}
	}
	return a
}

func (a Agreement) without(lines []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		_, ok := a[line]
		return ok
	})
}
