package figure

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"
)

// Measurement measures the rows of one figure with a benchmark B.
type Measurement[B any] struct {
	Name    string
	Measure func(B, context.Context) ([]Row, error)
}

// Names returns the names of measurements.
func Names[B any](measurements []Measurement[B]) []string {
	var names []string
	for _, m := range measurements {
		names = append(names, m.Name)
	}
	return names
}

// MeasureAll runs the measurements with the names in only, all if it is nil.
func MeasureAll[B any](ctx context.Context, benchmark B, measurements []Measurement[B], only []string) ([]Row, error) {
	var rows []Row
	for _, m := range measurements {
		if only != nil && !slices.Contains(only, m.Name) {
			continue
		}
		more, err := m.Measure(benchmark, ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// Progress logs the progress of a run.
type Progress struct {
	Began time.Time
	to    io.Writer
}

// NewProgress starts the time of a run.
func NewProgress(to io.Writer) Progress { return Progress{Began: time.Now(), to: to} }

// Logf writes a line with the time since the start and the load average.
func (p Progress) Logf(format string, args ...any) {
	fmt.Fprintf(p.to, "%s load %s: %s\n", Seconds(time.Since(p.Began)), LoadAverage(), fmt.Sprintf(format, args...))
}

// Median of an even number is the mean of the middle two.
func Median(of []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(of))
	if len(s) == 0 {
		return 0
	}
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// MedianBy returns the item with the middle value.
func MedianBy[T any](of []T, value func(T) int64) T {
	sorted := slices.SortedFunc(slices.Values(of), func(a, b T) int { return int(value(a) - value(b)) })
	return sorted[len(sorted)/2]
}
