package main

import (
	"fmt"
	"time"

	"github.com/isthmus-mesh/isthmus/test/bench/figure"
)

func memoryRow(limit float64, ours, theirs usage) figure.Row {
	return figure.Row{
		Figure: "the same: memory", Limit: limit, Of: "`cue export`", Measured: float64(ours.memory) / float64(theirs.memory),
		Ours: fmt.Sprintf("%s (itself %s, children %s)", figure.Bytes(ours.memory), figure.Bytes(ours.own), figure.Bytes(ours.children)), Theirs: figure.Bytes(theirs.memory),
	}
}

func timeRow(what string, limit float64, ours, theirs usage) figure.Row {
	return figure.Row{
		Figure: what, Limit: limit, Of: "`cue export`", Measured: ours.wall.Seconds() / theirs.wall.Seconds(),
		Ours: withCPU(ours), Theirs: withCPU(theirs),
	}
}

func withCPU(u usage) string {
	return fmt.Sprintf("%s (%s of processors)", figure.Seconds(u.wall), figure.Seconds(u.cpu))
}

func changeRows(f changedFigure, h controllerResponse, theirs usage) []figure.Row {
	of := func(d func(sample) time.Duration) time.Duration {
		var all []time.Duration
		for _, m := range h.Changes {
			all = append(all, d(m))
		}
		return figure.Median(all)
	}
	total, alone := of(func(m sample) time.Duration { return m.Total }), of(func(m sample) time.Duration { return m.Alone })
	children, rendering := of(func(m sample) time.Duration { return m.Children }), of(func(m sample) time.Duration { return m.Render })
	calls := 0
	var nothing []time.Duration
	for _, m := range h.Nothing {
		calls += m.Work.Calls
		nothing = append(nothing, m.Total)
	}
	limits := []float64{changeLimit, aloneLimit}
	if !f.judged {
		limits = []float64{0, 0}
	}
	return []figure.Row{
		{
			Figure: "one service changed, " + shape(f.repo) + ": commit to bundle", Limit: limits[0], Of: "`cue export`", Measured: total.Seconds() / theirs.wall.Seconds(),
			Ours:   fmt.Sprintf("%s, median of %d (of it a child's start %s, rendering %s)", figure.Seconds(total), len(h.Changes), figure.Seconds(h.Start), figure.Seconds(rendering)),
			Theirs: figure.Seconds(theirs.wall),
		},
		{
			Figure: "the same: the evaluation alone", Limit: limits[1], Of: "`cue export`", Measured: alone.Seconds() / theirs.wall.Seconds(),
			Ours: fmt.Sprintf("%s without the child's start (%s of the child's processors)", figure.Seconds(alone), figure.Seconds(children)), Theirs: figure.Seconds(theirs.wall),
		},
		{
			Figure: "nothing changed here, " + shape(f.repo) + ": calls to children", Limit: 0, Count: true, Measured: float64(calls),
			Ours: fmt.Sprintf("%d calls, %s to the bundle", calls, figure.Seconds(figure.Median(nothing))),
		},
	}
}

func memoryRows(f changedFigure, h controllerResponse) []figure.Row {
	if len(h.Memory) < 2 {
		return nil
	}
	first, last := h.Memory[0], h.Memory[len(h.Memory)-1]
	r := figure.Row{
		Figure: fmt.Sprintf("controller's memory after %s commits, %s", figure.Thousands(last.Commit), shape(f.repo)), Bytes: true, Limit: f.limit, Measured: float64(last.Resident),
		Ours: fmt.Sprintf("%s live; between two measurements at most %s, and the children %s; a commit took %s", figure.Bytes(last.Heap), figure.Bytes(h.Peaks.Own),
			figure.Bytes(h.Peaks.Children), figure.Seconds(h.Median)),
	}
	flat := figure.Row{
		Figure: "the same: growth since the first " + figure.Thousands(first.Commit), Limit: flatLimit, Of: "then",
		Measured: float64(last.Resident) / float64(first.Resident), Exact: true,
		Ours: figure.Bytes(last.Resident), Theirs: figure.Bytes(first.Resident),
	}
	if f.limit == 0 {
		flat.Limit = 0
	}
	return []figure.Row{r, flat}
}
