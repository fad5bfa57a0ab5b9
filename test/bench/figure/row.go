// Package figure is the common part of the benchmark commands. It compares measurements with their
// limits and keeps the table in docs/benchmarks.md.
//
// In: the [Row]s of one run. Out: whether a limit is missed, and a table in Markdown. A ratio
// misses its limit if it exceeds the limit by more than 25 %, because other work on the machine
// slows both sides, but never evenly. A count has no such tolerance.
package figure

import "fmt"

// Row is one figure.
type Row struct {
	Figure string
	// Measured must be at most Limit. 0 is no limit, unless Count is set. Of is the unit of both, for
	// example "`cue export`" for a share of its time.
	Limit, Measured float64
	Of              string
	// Ours and Theirs are the measurements behind the figure.
	Ours, Theirs string
	// Bytes: Measured is an amount of memory. Count: Measured is a number, and the limit is 0. Exact:
	// the limit has no tolerance.
	Bytes, Count, Exact bool
}

// tolerance is the factor by which a ratio may exceed its limit before a run fails.
const tolerance = 1.25

// Judged reports whether there is a limit.
func (r Row) Judged() bool { return r.Limit > 0 || r.Count }

// Missed reports whether the limit is exceeded by more than its tolerance.
func (r Row) Missed() bool {
	if r.Count || r.Exact {
		return r.Judged() && r.Measured > r.Limit
	}
	return r.Judged() && r.Measured > r.Limit*tolerance
}

// Cells returns the columns of the table.
func (r Row) Cells() []string {
	value := func(v float64) string {
		switch {
		case r.Bytes:
			return Bytes(int64(v))
		case r.Count:
			return fmt.Sprint(v)
		case v < 0.1:
			return "1/" + Thousands(int(1/max(v, 1e-9)+0.5))
		}
		return fmt.Sprintf("%.2f", v)
	}
	limit, pass := "", ""
	if r.Judged() {
		limit = "at most " + value(r.Limit)
		if r.Of != "" {
			limit += " of " + r.Of
		}
		switch {
		case r.Measured <= r.Limit:
			pass = "yes"
		case !r.Missed():
			pass = "within a quarter"
		default:
			pass = "**no**"
		}
	} else if r.Of != "" {
		limit = "none, of " + r.Of
	}
	return []string{r.Figure, limit, value(r.Measured), r.Ours, r.Theirs, pass}
}
