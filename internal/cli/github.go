package cli

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// writeGitHub annotates the lines of a pull request by workflow commands
// (https://docs.github.com/actions/reference/workflow-commands-for-github-actions) and repeats the report as text, since
// GitHub shows ten annotations of a step and the log does not show their places.
func writeGitHub(w io.Writer, r vetReport, dir string) error {
	below := checkout(dir)
	annotate := func(command string, problems []problem) {
		for _, p := range problems {
			fmt.Fprintf(w, "::%s %s::%s\n", command, p.properties(below), escapeData(p.text(known(r.Summary.Clusters))))
		}
	}
	annotate("error", r.Problems)
	annotate("notice", r.Notes)
	if len(r.Problems)+len(r.Notes) == 0 {
		return writeText(w, r, dir, style{})
	}
	// Whoever writes a manifest does not get to write commands for the workflow into a message.
	token := rand.Text()
	fmt.Fprintf(w, "::stop-commands::%s\n", token)
	if err := writeText(w, r, dir, style{}); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "::%s::\n", token)
	return err
}

// properties are those of an annotation: where it belongs, and its title.
func (p problem) properties(below string) string {
	var list []string
	add := func(name, value string) { list = append(list, name+"="+escapeProperty(value)) }
	if p.File != "" {
		add("file", filepath.ToSlash(filepath.Join(below, filepath.FromSlash(p.File))))
	}
	if p.Line > 0 {
		add("line", fmt.Sprint(p.Line))
	}
	if p.Column > 0 {
		add("col", fmt.Sprint(p.Column))
	}
	title := "mesh"
	if p.Service != "" {
		title = "service " + p.Service
	}
	add("title", title)
	return strings.Join(list, ",")
}

// escapeData and escapeProperty are those of GitHub's own toolkit.
func escapeData(text string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(text)
}

func escapeProperty(text string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(text)
}

// checkout is the path from the top of the Git checkout to the mesh repository: GitHub and code scanning name files
// from there, whatever the working directory. Outside of one it is the path from the working directory.
func checkout(dir string) string {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	top := os.Getenv("GITHUB_WORKSPACE")
	if top == "" {
		top = gitTop(dir)
	}
	if top == "" {
		top, _ = os.Getwd()
	}
	below, err := filepath.Rel(top, dir)
	if err != nil || !filepath.IsLocal(below) {
		return ""
	}
	return below
}

// gitTop is the folder of the Git checkout that dir is in, "" if it is in none.
func gitTop(dir string) string {
	for {
		if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}
