package istio

import (
	"math"

	"k8s.io/apimachinery/pkg/util/json"
)

// normalized is a deep copy of a JSON value with the types that an API server's decoder makes of it after a
// way over the wire: whole numbers are int64 where they fit, all others float64. A value of a type that is
// not JSON's, such as []string, becomes what it is in JSON; one that JSON cannot express stays as it is.
func normalized(value any) any {
	switch value := value.(type) {
	case map[string]any:
		if value == nil {
			return map[string]any{}
		}
		out := make(map[string]any, len(value))
		for key, v := range value {
			out[key] = normalized(v)
		}
		return out
	case []any:
		out := make([]any, len(value))
		for i, v := range value {
			out[i] = normalized(v)
		}
		return out
	case nil, string, bool, int64:
		return value
	case int:
		return int64(value)
	case float64:
		return normalizedFloat(value)
	default:
		raw, err := json.Marshal(value)
		if err != nil {
			return value
		}
		var out any
		if err := json.Unmarshal(raw, &out); err != nil {
			return value
		}
		return out
	}
}

// normalizedFloat turns 80.0, which is written "80", into the integer that is read back.
func normalizedFloat(value float64) any {
	// math.MaxInt64 as a float64 is 2^63, the first one that does not fit.
	if value == math.Trunc(value) && value >= math.MinInt64 && value < math.MaxInt64 {
		return int64(value)
	}
	return value
}
