package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// row is one figure.
type row struct {
	figure string
	// bar is at most what measured shall be, 0 for none, and of what it is a part or a multiple.
	bar, measured float64
	of            string
	ours, theirs  string
	// bytes: measured is an amount of memory; count: it is a number, and the bar is 0; exact: no noise excuses it.
	bytes, count, exact bool
}

// slack is by how much a ratio may be above its bar before a run fails.
const slack = 1.25

func (r row) judged() bool { return r.bar > 0 || r.count }

func (r row) missed() bool {
	if r.count || r.exact {
		return r.judged() && r.measured > r.bar
	}
	return r.judged() && r.measured > r.bar*slack
}

func (r row) cells() []string {
	value := func(v float64) string {
		switch {
		case r.bytes:
			return bytesText(int64(v))
		case r.count:
			return fmt.Sprint(v)
		case v < 0.1:
			return "1/" + thousands(int(1/max(v, 1e-9)+0.5))
		}
		return fmt.Sprintf("%.2f", v)
	}
	bar, pass := "", ""
	if r.judged() {
		bar = "at most " + value(r.bar)
		if r.of != "" {
			bar += " of " + r.of
		}
		switch {
		case r.measured <= r.bar:
			pass = "yes"
		case !r.missed():
			pass = "within a quarter"
		default:
			pass = "**no**"
		}
	} else if r.of != "" {
		bar = "none, of " + r.of
	}
	return []string{r.figure, bar, value(r.measured), r.ours, r.theirs, pass}
}

// report is the table, in Markdown, and what it was measured on.
func (b *benchmark) report(rows []row) string {
	var out strings.Builder
	others := "nothing"
	if len(b.others) > 0 {
		sum := 0.
		for _, n := range b.others {
			sum += n
		}
		others = fmt.Sprintf("%.1f processors on average, at most %.1f", sum/float64(len(b.others)), slices.Max(b.others))
	}
	fmt.Fprintf(&out, "Measured in one run of %s on %d cores and %s with %s and CUE %s; other work used %s at the same time.\n\n", time.Since(b.began).Round(time.Second),
		runtime.NumCPU(), machineMemory(), strings.Replace(runtime.Version(), "go", "Go ", 1), cueVersion(), others)
	out.WriteString("| figure | bar | measured | Isthmus | held against | pass |\n|---|---|---|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&out, "| %s |\n", strings.Join(r.cells(), " | "))
	}
	return strings.TrimRight(out.String(), "\n")
}

const (
	// document is where the table is kept, below the checkout, between two lines.
	document   = "docs/benchmarks.md"
	beginsHere = "<!-- Written by test/bench/evaluation -write; all up to the end mark is replaced. -->"
	endsHere   = "<!-- end -->"
)

// keep puts the table between the marks.
func keep(file, text string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, begins := bytes.Cut(data, []byte(beginsHere))
	_, after, ends := bytes.Cut(rest, []byte(endsHere))
	if !begins || !ends {
		return fmt.Errorf("%s lacks the lines %q and %q, between which the table belongs", file, beginsHere, endsHere)
	}
	return os.WriteFile(file, slices.Concat(before, []byte(beginsHere+"\n"+text+"\n"+endsHere), after), 0o644)
}

func machineMemory() string {
	data, _ := os.ReadFile("/proc/meminfo")
	var kib int64
	if _, err := fmt.Sscanf(string(data), "MemTotal: %d kB", &kib); err != nil {
		return "unknown memory"
	}
	return fmt.Sprintf("%.0f GiB", float64(kib)/(1<<20))
}

func cueVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "cuelang.org/go" {
				return m.Version
			}
		}
	}
	return "of go.mod"
}

func seconds(d time.Duration) string {
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

func bytesText(n int64) string {
	if n >= 1000*megabyte {
		return fmt.Sprintf("%.2f GB", float64(n)/(1000*megabyte))
	}
	return fmt.Sprintf("%.0f MB", float64(n)/megabyte)
}

func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
