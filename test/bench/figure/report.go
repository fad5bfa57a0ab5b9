package figure

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Report is one run.
type Report struct {
	// Took is how long the run took.
	Took time.Duration
	// With names what was measured with besides Go ("CUE v0.17.1").
	With string
	// Others is how many processors other work used, while each measurement was made.
	Others []float64
	Rows   []Row
}

// Missed reports whether any bar is missed.
func (r Report) Missed() bool { return slices.ContainsFunc(r.Rows, Row.Missed) }

// String is the table, in Markdown, and what it was measured on.
func (r Report) String() string {
	var out strings.Builder
	others := ""
	if len(r.Others) > 0 {
		sum := 0.
		for _, n := range r.Others {
			sum += n
		}
		others = fmt.Sprintf("; other work used %.1f processors on average, at most %.1f at the same time", sum/float64(len(r.Others)), slices.Max(r.Others))
	}
	fmt.Fprintf(&out, "Measured in one run of %s on %d cores and %s with %s and %s%s.\n\n", r.Took.Round(time.Second),
		runtime.NumCPU(), machineMemory(), strings.Replace(runtime.Version(), "go", "Go ", 1), r.With, others)
	out.WriteString("| figure | bar | measured | Isthmus | held against | pass |\n|---|---|---|---|---|---|\n")
	for _, row := range r.Rows {
		fmt.Fprintf(&out, "| %s |\n", strings.Join(row.Cells(), " | "))
	}
	return strings.TrimRight(out.String(), "\n")
}

// Document is where tables are kept, below the checkout, each between a line that names its program and an end mark.
const Document = "docs/benchmarks.md"

const endsHere = "<!-- end -->"

func beginsHere(program string) string {
	return "<!-- Written by " + program + " -write; all up to the end mark is replaced. -->"
}

// Keep puts the table of a program ("test/bench/evaluation") between its marks in the file.
func Keep(file, program, text string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	begin := beginsHere(program)
	before, rest, begins := bytes.Cut(data, []byte(begin))
	_, after, ends := bytes.Cut(rest, []byte(endsHere))
	if !begins || !ends {
		return fmt.Errorf("%s lacks the lines %q and %q, between which the table belongs", file, begin, endsHere)
	}
	return os.WriteFile(file, slices.Concat(before, []byte(begin+"\n"+text+"\n"+endsHere), after), 0o644)
}

// Checkout is the root of this module's source.
func Checkout(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("finding the checkout: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// Seconds writes a time with three digits.
func Seconds(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1000)
	case d < 10*time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// Megabyte is 10^6 bytes, as tables count.
const Megabyte = 1e6

// Bytes writes an amount of memory.
func Bytes(n int64) string {
	if n >= 1000*Megabyte {
		return fmt.Sprintf("%.2f GB", float64(n)/(1000*Megabyte))
	}
	return fmt.Sprintf("%.0f MB", float64(n)/Megabyte)
}

// Thousands writes a number with commas.
func Thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Median of an even number is the mean of the middle two.
func Median(of []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(of))
	if len(s) == 0 {
		return 0
	}
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
