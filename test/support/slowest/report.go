package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// event is one line of `go test -json`, as `go doc test2json` describes it. Build events have no Package.
type event struct {
	Time                          time.Time
	Action, Package, Test, Output string
}

// report prints events as `go test` prints them without -v, and counts tests that are no subtests.
type report struct {
	out                     io.Writer
	packages                map[string]*pkg
	ended                   []timed
	passed, failed, skipped int
}

// pkg is a package whose tests are not finished.
type pkg struct {
	lines []line
	tests map[string]*test
	// failed is true once a test failed.
	failed bool
}

// line is a piece of output. It belongs to the package if test is empty.
type line struct{ test, text string }

type test struct {
	// began is when the test began or went on, took the time before that. A parallel test pauses until its turn.
	began time.Time
	took  time.Duration
	// result is pass, fail or skip, and empty before the end.
	result string
}

type timed struct {
	took time.Duration
	name string
}

func newReport(out io.Writer) *report { return &report{out: out, packages: map[string]*pkg{}} }

func (r *report) print(text string) { _, _ = io.WriteString(r.out, text) }

func (r *report) add(e event) {
	if e.Package == "" {
		r.print(e.Output)
		return
	}
	p := r.packages[e.Package]
	if p == nil {
		p = &pkg{tests: map[string]*test{}}
		r.packages[e.Package] = p
	}
	if e.Action == "output" {
		p.lines = append(p.lines, line{e.Test, e.Output})
		return
	}
	if e.Test != "" {
		r.addTest(p, e)
		return
	}
	if e.Action == "pass" || e.Action == "fail" || e.Action == "skip" {
		r.finish(p, e.Action == "fail")
		delete(r.packages, e.Package)
	}
}

func (r *report) addTest(p *pkg, e event) {
	t := p.tests[e.Test]
	if t == nil {
		t = &test{}
		p.tests[e.Test] = t
	}
	switch e.Action {
	case "run", "cont":
		t.began = e.Time
		return
	case "pause":
		t.took += e.Time.Sub(t.began)
		return
	}
	// The event's own Elapsed lacks the time of parallel subtests.
	t.took += e.Time.Sub(t.began)
	t.result = e.Action
	if strings.Contains(e.Test, "/") {
		return
	}
	r.ended = append(r.ended, timed{t.took, strings.TrimPrefix(e.Package, "github.com/isthmus-mesh/isthmus/") + "." + e.Test})
	switch e.Action {
	case "pass":
		r.passed++
	case "fail":
		r.failed++
		p.failed = true
	case "skip":
		r.skipped++
	}
}

// finish prints the last line of a package, and if the package failed, the output of all tests that did not pass.
func (r *report) finish(p *pkg, failed bool) {
	if failed && !p.failed {
		// Not a test: a build, TestMain, or a panic between tests.
		r.failed++
	}
	for i, l := range p.lines {
		t := p.tests[l.test]
		switch {
		case t == nil && failed && l.text != "PASS\n",
			t == nil && i == len(p.lines)-1,
			// A test without a result ran when the process died.
			t != nil && failed && (t.result == "fail" || t.result == "") && !strings.HasPrefix(l.text, "=== "):
			r.print(l.text)
		}
	}
}

// summary prints the slowest tests and, as the last line, how many tests there were.
func (r *report) summary() {
	slices.SortStableFunc(r.ended, func(a, b timed) int { return cmp.Compare(b.took, a.took) })
	r.print("\nslowest tests:\n")
	for _, t := range r.ended[:min(shown, len(r.ended))] {
		fmt.Fprintf(r.out, "%8.1fs  %s\n", t.took.Seconds(), t.name)
	}
	fmt.Fprintf(r.out, "\n%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
}
