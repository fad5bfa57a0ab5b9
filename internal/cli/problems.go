package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// problem is a finding, told once for all the clusters in which it was found.
type problem struct {
	Service string `json:"service,omitempty"`
	// Clusters are sorted; none means that it does not depend on the cluster.
	Clusters []string `json:"clusters,omitempty"`
	Path     string   `json:"path,omitempty"`
	// File is relative to the mesh repository.
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
}

// asFindings are the findings that an error carries, if it is about the content of the repository.
func asFindings(err error) (manifest.Findings, bool) {
	var findings manifest.Findings
	ok := errors.As(err, &findings)
	return findings, ok && len(findings) > 0
}

// merge tells equal findings of several clusters once, sorted by place.
func merge(findings manifest.Findings) []problem {
	clusters := map[manifest.Finding][]string{}
	for _, f := range findings {
		cluster := f.Cluster
		f.Cluster = ""
		known := clusters[f]
		if cluster != "" && !slices.Contains(known, cluster) {
			known = append(known, cluster)
		}
		clusters[f] = known
	}
	problems := make([]problem, 0, len(clusters))
	for f, in := range clusters {
		slices.Sort(in)
		problems = append(problems, problem{f.Service, in, f.Path, f.File, f.Line, f.Column, f.Message})
	}
	slices.SortFunc(problems, func(a, b problem) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message),
		)
	})
	return problems
}

// text is the problem without its place; allClusters is the number of clusters in the inventory.
func (p problem) text(allClusters int) string {
	text := manifest.Finding{Path: p.Path, Message: p.Message}.String()
	switch n := len(p.Clusters); {
	case n == 0:
	case n > 1 && n == allClusters:
		text += " (in every cluster)"
	case n > 4:
		text += fmt.Sprintf(" (in clusters %s and %d more)", strings.Join(p.Clusters[:3], ", "), n-3)
	case n > 1:
		text += " (in clusters " + strings.Join(p.Clusters, ", ") + ")"
	default:
		text += " (in cluster " + p.Clusters[0] + ")"
	}
	return printable(text)
}

// total is "3 problems in 2 files".
func total(problems []problem) string {
	files := map[string]bool{}
	for _, p := range problems {
		if p.File != "" {
			files[p.File] = true
		}
	}
	text := count(len(problems), "problem")
	if len(files) > 0 {
		text += " in " + count(len(files), "file")
	}
	return text
}

// count is "1 file", "2 files".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
