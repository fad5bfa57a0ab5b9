package plans

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/sets"
)

// Agreement is what a person let pass and what is not done yet: deletions, and calls that lose their last endpoint. A change may take several runs, and what
// is left of it is not asked about again.
type Acknowledgements sets.Set[string]

// of is what of it a plan still does.
func (a Acknowledgements) stillPending(deletions, losses []string) Acknowledgements {
	still := Acknowledgements{}
	for _, line := range slices.Concat(deletions, losses) {
		if _, ok := a[line]; ok {
			still[line] = sets.Empty{}
		}
	}
	return still
}

func (a Acknowledgements) with(lines []string) Acknowledgements {
	for _, line := range lines {
		a[line] = sets.Empty{}
	}
	return a
}

func (a Acknowledgements) without(lines []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		_, ok := a[line]
		return ok
	})
}
