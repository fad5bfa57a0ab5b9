package plans

import (
	"cmp"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/ownership"
)

// gone is the digest of an object that is deleted in the end.
const gone = "gone"

// withdrawnMark is the content of [ownership.AnnotationWithdrawn].
type withdrawnMark struct {
	since time.Time
	// left is the digest of what is left of the object in the end, or gone; as is the digest of the
	// withdrawn spec.
	left, as string
}

func (w withdrawnMark) String() string {
	return strings.Join([]string{w.since.UTC().Format(time.RFC3339), w.left, w.as}, " ")
}

// readWithdrawnMark reads the annotation. It counts only if the same content is left in the end.
func readWithdrawnMark(live *unstructured.Unstructured, left string) (mark withdrawnMark, ok bool) {
	parts := strings.Fields(live.GetAnnotations()[ownership.AnnotationWithdrawn])
	if len(parts) != 3 {
		return withdrawnMark{}, false
	}
	since, err := time.Parse(time.RFC3339, parts[0])
	return withdrawnMark{since: since, left: parts[1], as: parts[2]}, err == nil && parts[1] == cmp.Or(short(left), gone)
}

// digestOfSpec is a short digest of a spec.
func digestOfSpec(spec any) string { return short(digestOfText(spec)) }

func short(digest string) string { return digest[:min(len(digest), 12)] }
