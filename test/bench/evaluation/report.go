package main

import (
	"time"

	"github.com/isthmus-mesh/isthmus/test/bench/figure"
)

// program is the name under which the table is kept.
const program = "test/bench/evaluation"

// report is the table, and what it was measured on.
func (b *benchmark) report(rows []figure.Row) figure.Report {
	return figure.Report{Took: time.Since(b.began), With: "CUE " + figure.ModuleVersion("cuelang.org/go"), Others: b.others, Rows: rows}
}
