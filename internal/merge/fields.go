package merge

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/nested"
)

// setList leaves the field unchanged if the list is empty: absent and empty are different specs.
func setList(spec map[string]any, name string, list []any) {
	if len(list) > 0 {
		spec[name] = list
	}
}

// copyFields sets fields to the values that they have in another object, or removes them.
func copyFields(to, from map[string]any, names ...string) {
	for _, name := range names {
		delete(to, name)
		if value, ok := from[name]; ok {
			to[name] = value
		}
	}
}

// setMark returns labels or annotations in which one is "true", or absent.
func setMark(marks map[string]string, name string, present bool) map[string]string {
	out := map[string]string{}
	maps.Copy(out, marks)
	delete(out, name)
	if present {
		out[name] = "true"
	}
	return out
}

// find returns the first object of a list that meets a condition; nil if there is none.
func find(list []any, condition func(item map[string]any) bool) map[string]any {
	for _, item := range list {
		if condition(nested.Map(item)) {
			return nested.Map(item)
		}
	}
	return nil
}

// someItem reports whether an object of a list meets a condition.
func someItem(list []any, condition func(item map[string]any) bool) bool {
	return slices.ContainsFunc(list, func(item any) bool { return condition(nested.Map(item)) })
}

// selectsAllOf reports whether one label selector selects every workload that another one selects.
func selectsAllOf(selector, other map[string]any) bool {
	for name, value := range selector {
		if other[name] != value {
			return false
		}
	}
	return true
}

// PortNumber returns the number in a field of a port as text: the value is an int64 or a float64.
func PortNumber(port any, field string) string {
	n, _ := nested.Integer(nested.Map(port)[field])
	return fmt.Sprint(n)
}

func hasPrefix(value any, prefix string) bool {
	text, _ := value.(string)
	return strings.HasPrefix(text, prefix)
}
