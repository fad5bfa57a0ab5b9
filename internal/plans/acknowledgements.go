package plans

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/sets"
)

// Acknowledgements are the deletions and lost calls that a user acknowledged and that have not
// been carried out yet. A change may take several runs; acknowledged lines are not held again.
type Acknowledgements sets.Set[string]

// stillPending are the acknowledged lines that a plan still has.
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
