package demo

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/ownership"
)

// differences lists how the live objects differ from the wanted ones, sorted. It compares
// everything that Isthmus manages: the set of objects, and their labels, annotations and spec.
func differences(want, live objects) []string {
	var found []string
	for key, w := range want {
		l := live[key]
		if l == nil {
			found = append(found, key+" is missing")
			continue
		}
		labels := maps.Clone(w.GetLabels())
		if labels == nil {
			labels = map[string]string{}
		}
		labels[ownership.LabelPartOf] = applySetID()
		for _, part := range []struct {
			path       string
			want, live any
		}{
			{"metadata.labels", untyped(labels), untyped(l.GetLabels())},
			{"metadata.annotations", untyped(w.GetAnnotations()), untyped(l.GetAnnotations())},
			{"spec", w.Object["spec"], l.Object["spec"]},
		} {
			if path := firstDifference(part.path, part.want, part.live); path != "" {
				found = append(found, key+" differs in "+path)
			}
		}
	}
	for key := range live {
		if want[key] == nil {
			found = append(found, key+" is not in the repository")
		}
	}
	slices.Sort(found)
	return found
}

func untyped(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for key, value := range m {
		out[key] = value
	}
	return out
}

// firstDifference returns the path of the first value that differs, or "".
func firstDifference(path string, a, b any) string {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok {
			return path
		}
		keys := slices.Sorted(maps.Keys(a))
		for _, key := range slices.Sorted(maps.Keys(b)) {
			if _, known := a[key]; !known {
				keys = append(keys, key)
			}
		}
		for _, key := range keys {
			if different := firstDifference(path+"."+key, a[key], b[key]); different != "" {
				return different
			}
		}
		return ""
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return path
		}
		for i := range a {
			if different := firstDifference(path+"["+strconv.Itoa(i)+"]", a[i], b[i]); different != "" {
				return different
			}
		}
		return ""
	}
	if !reflect.DeepEqual(a, b) {
		return path
	}
	return ""
}

// abbreviate returns the first elements of a list and the number of the others.
func abbreviate(list []string) string {
	const shown = 3
	if len(list) <= shown {
		return strings.Join(list, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(list[:shown], "; "), len(list)-shown)
}

// change counts the objects that were written between two reads of a cluster.
type change struct{ created, updated, deleted int }

func changed(before, after objects) change {
	var c change
	for key, a := range after {
		b := before[key]
		switch {
		case b == nil:
			c.created++
		case b.GetUID() != a.GetUID():
			c.created++
			c.deleted++
		case b.GetResourceVersion() != a.GetResourceVersion():
			c.updated++
		}
	}
	for key := range before {
		if after[key] == nil {
			c.deleted++
		}
	}
	return c
}
