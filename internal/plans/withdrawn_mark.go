package plans

import (
	"cmp"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/ownership"
)

// gone stands in the annotation of what shall not be there at all.
const gone = "gone"

// withdrawnAs is what the annotation says.
type withdrawnMark struct {
	since time.Time
	// left is a digest of what shall be left of the object, or gone; as is one of the spec as it stays.
	left, as string
}

func (w withdrawnMark) String() string {
	return strings.Join([]string{w.since.UTC().Format(time.RFC3339), w.left, w.as}, " ")
}

// withdrawnMark reads the annotation; it counts only for what shall be left now.
func readWithdrawnMark(live *unstructured.Unstructured, left string) (mark withdrawnMark, ok bool) {
	parts := strings.Fields(live.GetAnnotations()[ownership.AnnotationWithdrawn])
	if len(parts) != 3 {
		return withdrawnMark{}, false
	}
	since, err := time.Parse(time.RFC3339, parts[0])
	return withdrawnMark{since: since, left: parts[1], as: parts[2]}, err == nil && parts[1] == cmp.Or(short(left), gone)
}

// digestOfSpec names what a spec says.
func digestOfSpec(spec any) string { return short(digestOfText(spec)) }

func short(digest string) string { return digest[:min(len(digest), 12)] }
