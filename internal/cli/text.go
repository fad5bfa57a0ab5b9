package cli

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// writeText is the report for a person: one problem a line, a blank line between files, and what it comes to.
func writeText(w io.Writer, r vetReport, dir string, s style) error {
	if len(r.Problems) > 0 {
		return writeProblems(w, r.Problems, known(r.Summary.Clusters), dir, s, "nothing was changed")
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "note: %s\n", note.line(known(r.Summary.Clusters), dir, s))
	}
	summary := []string{
		count(known(r.Summary.Services), "service"), count(known(r.Summary.Clusters), "cluster"), count(known(r.Summary.Resources), "resource"),
	}
	if len(r.Notes) > 0 {
		summary = append(summary, count(len(r.Notes), "note"))
	}
	_, err := fmt.Fprintf(w, "%s: %s\n", s.green("ok"), strings.Join(summary, ", "))
	return err
}

// writeProblems ends with what became of the command for it.
func writeProblems(w io.Writer, problems []problem, allClusters int, dir string, s style, outcome string) error {
	for i, p := range problems {
		if i > 0 && p.File != problems[i-1].File {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, p.line(allClusters, dir, s))
	}
	_, err := fmt.Fprintf(w, "\n%s; %s\n", s.red(total(problems)), outcome)
	return err
}

// line is the problem with its place. What CUE says may have several lines; they stay under their problem.
func (p problem) line(allClusters int, dir string, s style) string {
	text := strings.ReplaceAll(strings.TrimSpace(p.text(allClusters)), "\n", "\n    ")
	if place := p.place(dir); place != "" {
		return s.bold(place) + " " + text
	}
	return text
}

// place is "services/cart.cue:4:2:", seen from the working directory, so that editors and terminals can jump there.
func (p problem) place(dir string) string {
	if p.File == "" {
		return ""
	}
	place := printable(filepath.Join(dir, filepath.FromSlash(p.File)))
	if p.Line > 0 {
		place += fmt.Sprintf(":%d", p.Line)
		if p.Column > 0 {
			place += fmt.Sprintf(":%d", p.Column)
		}
	}
	return place + ":"
}

func writeJSON(w io.Writer, r vetReport) error { return encodeJSON(w, r) }
