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

// Report contains the results of one run.
type Report struct {
	// Took is the duration of the run.
	Took time.Duration
	// With names the versions of other software, for example "CUE v0.17.1".
	With string
	// Others is the number of processors that other work used during each measurement.
	Others []float64
	Rows   []Row
}

// Missed reports whether any limit is missed.
func (r Report) Missed() bool { return slices.ContainsFunc(r.Rows, Row.Missed) }

// String returns a description of the run and the table in Markdown.
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
	out.WriteString("| figure | limit | measured | Isthmus | compared with | pass |\n|---|---|---|---|---|---|\n")
	for _, row := range r.Rows {
		fmt.Fprintf(&out, "| %s |\n", strings.Join(row.Cells(), " | "))
	}
	return strings.TrimRight(out.String(), "\n")
}

// Document contains the tables, each between a line that names its program and an end mark.
const Document = "docs/benchmarks.md"

const endsHere = "<!-- end -->"

func beginsHere(program string) string {
	return "<!-- Written by " + program + " -write; all up to the end mark is replaced. -->"
}

// Keep replaces the table of a program ("test/bench/evaluation") in a file.
func Keep(file, program, text string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	begin := beginsHere(program)
	before, rest, begins := bytes.Cut(data, []byte(begin))
	_, after, ends := bytes.Cut(rest, []byte(endsHere))
	if !begins || !ends {
		return fmt.Errorf("%s lacks the lines %q and %q around the table", file, begin, endsHere)
	}
	return os.WriteFile(file, slices.Concat(before, []byte(begin+"\n"+text+"\n"+endsHere), after), 0o644)
}

// checkout is the root of the source of this module.
func checkout(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("finding the checkout: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// Seconds formats a duration with about three digits.
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

// Megabyte is 10^6 bytes, the unit in tables.
const Megabyte = 1e6

// Bytes formats an amount of memory.
func Bytes(n int64) string {
	if n >= 1000*Megabyte {
		return fmt.Sprintf("%.2f GB", float64(n)/(1000*Megabyte))
	}
	return fmt.Sprintf("%.0f MB", float64(n)/Megabyte)
}

// Thousands formats a number with commas.
func Thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
