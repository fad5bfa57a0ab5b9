package istio

import (
	"math"

	"k8s.io/apimachinery/pkg/util/json"
)

// normalized returns a deep copy of a JSON value with the types of an API server's decoder: whole
// numbers are int64 if they fit, all others float64. Values of other Go types, such as []string,
// are converted through JSON; a value that JSON cannot express stays unchanged.
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

// normalizedFloat converts 80.0 to the integer 80, which JSON encodes alike.
func normalizedFloat(value float64) any {
	// math.MaxInt64 as a float64 is 2^63, the smallest value that does not fit.
	if value == math.Trunc(value) && value >= math.MinInt64 && value < math.MaxInt64 {
		return int64(value)
	}
	return value
}
