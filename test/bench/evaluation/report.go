package main

import (
	"runtime/debug"
	"time"

	"github.com/isthmus-mesh/isthmus/test/bench/figure"
)

// program is the name under which the table is kept.
const program = "test/bench/evaluation"

// report is the table, and what it was measured on.
func (b *benchmark) report(rows []figure.Row) figure.Report {
	return figure.Report{Took: time.Since(b.began), With: "CUE " + cueVersion(), Others: b.others, Rows: rows}
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
