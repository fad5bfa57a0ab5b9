package nested

import (
	"encoding/json"
	"math"
)

// Map descends into a value by field names; it is nil if a field is absent or is not a map.
func Map(value any, names ...string) map[string]any {
	fields, _ := value.(map[string]any)
	for _, name := range names {
		fields, _ = fields[name].(map[string]any)
	}
	return fields
}

// List is the list in a field of a value; nil if there is none.
func List(value any, name string) []any {
	list, _ := Map(value)[name].([]any)
	return list
}

// JSON is a value in one line, equal for equal values.
func JSON(value any) string {
	raw, _ := json.Marshal(value) // it was read from JSON
	return string(raw)
}

// Integer is a number as an int64; exact is false if the value is not an integer.
func Integer(value any) (n int64, exact bool) {
	switch v := value.(type) {
	case int64:
		return v, true
	case int:
		return int64(v), true
	case float64:
		// Above 2^53 a float64 no longer names one integer.
		if v == math.Trunc(v) && math.Abs(v) <= 1<<53 {
			return int64(v), true
		}
	}
	return 0, false
}
