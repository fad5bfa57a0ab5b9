// Package figure holds what a benchmark measured against its bars, and keeps the table of it in docs/benchmarks.md.
//
// In: the [Row]s of one run. Out: whether a bar is missed, and a table in Markdown. A ratio misses its bar when it is above it by more than
// a quarter, since other work on the machine slows both sides, but never evenly; a count has no noise.
package figure

import "fmt"

// Row is one figure.
type Row struct {
	Figure string
	// Bar is at most what Measured shall be, 0 for none, and Of says of what it is a part or a multiple.
	Bar, Measured float64
	Of            string
	// Ours and Theirs are what the figure was made of, for a person.
	Ours, Theirs string
	// Bytes: Measured is an amount of memory; Count: it is a number, and the bar is 0; Exact: no noise excuses it.
	Bytes, Count, Exact bool
}

// slack is by how much a ratio may be above its bar before a run fails.
const slack = 1.25

// Judged reports whether there is a bar.
func (r Row) Judged() bool { return r.Bar > 0 || r.Count }

// Missed reports whether the bar is missed, noise allowed for.
func (r Row) Missed() bool {
	if r.Count || r.Exact {
		return r.Judged() && r.Measured > r.Bar
	}
	return r.Judged() && r.Measured > r.Bar*slack
}

// Cells are the row's columns in the table.
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
	bar, pass := "", ""
	if r.Judged() {
		bar = "at most " + value(r.Bar)
		if r.Of != "" {
			bar += " of " + r.Of
		}
		switch {
		case r.Measured <= r.Bar:
			pass = "yes"
		case !r.Missed():
			pass = "within a quarter"
		default:
			pass = "**no**"
		}
	} else if r.Of != "" {
		bar = "none, of " + r.Of
	}
	return []string{r.Figure, bar, value(r.Measured), r.Ours, r.Theirs, pass}
}
