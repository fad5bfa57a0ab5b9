// Package docs_test checks that the documentation matches the project.
package docs_test

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "../../.."

// goMod holds the needed fields of `go mod edit -json`.
type goMod struct {
	Require []struct {
		Path     string
		Version  string
		Indirect bool
	}
	Tool []struct{ Path string }
}

// moduleOf is the required module that contains the package, "" if there is none.
func (m goMod) moduleOf(pkg string) string {
	longest := ""
	for _, r := range m.Require {
		if (pkg == r.Path || strings.HasPrefix(pkg, r.Path+"/")) && len(r.Path) > len(longest) {
			longest = r.Path
		}
	}
	return longest
}

// direct are the modules that go.mod marks as direct, that contain a tool, or that packages and
// tests of the project import. The marks of go.mod alone may be out of date until the next go mod
// tidy.
func (m goMod) direct(imports []string) []string {
	set := map[string]bool{}
	for _, r := range m.Require {
		if !r.Indirect {
			set[r.Path] = true
		}
	}
	for _, tool := range m.Tool {
		set[m.moduleOf(tool.Path)] = true
	}
	for _, pkg := range imports {
		set[m.moduleOf(pkg)] = true
	}
	delete(set, "")
	var paths []string
	for path := range set {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

// line is a row of a table in dependencies.md.
type line struct{ module, licence string }

var row = regexp.MustCompile(`^\| (\S+) \| (.+) \| (.+) \| (\S+) \|$`)

// documented reads the rows of dependencies.md by the go.mod file that their heading names.
func documented(t *testing.T) map[string][]line {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string][]line{}
	section := ""
	for text := range strings.Lines(string(raw)) {
		text = strings.TrimSpace(text)
		if heading, ok := strings.CutPrefix(text, "## "); ok {
			_, section, _ = strings.Cut(heading, ": ")
			continue
		}
		if found := row.FindStringSubmatch(text); found != nil && found[1] != "module" {
			lines[section] = append(lines[section], line{module: found[1], licence: found[4]})
		} else if strings.HasPrefix(text, "|") && !strings.HasPrefix(text, "|-") && !strings.HasPrefix(text, "| module |") {
			t.Errorf("docs/dependencies.md: a row must have the columns module, what for, why, licence: %s", text)
		}
	}
	return lines
}

func TestDependenciesAreDocumented(t *testing.T) {
	lines := documented(t)
	for _, tc := range []struct {
		file string
		// imports: packages of the project belong to the module. linked: its modules become part of
		// shipped binaries.
		imports, linked bool
	}{
		{file: "go.mod", imports: true, linked: true},
		{file: "tools/go.mod"},
		{file: "test/support/controlplane/go.mod", linked: true},
	} {
		t.Run(tc.file, func(t *testing.T) {
			dir := filepath.Join(root, filepath.Dir(tc.file))
			// The go command reads the file in a child process. Stat makes it an input of go test's
			// cache.
			if _, err := os.Stat(filepath.Join(root, tc.file)); err != nil {
				t.Fatal(err)
			}
			var mod goMod
			goJSON(t, dir, &mod, "mod", "edit", "-json")
			var imports []string
			if tc.imports {
				imports = imported(t, dir)
			}

			var named []string
			for _, l := range lines[tc.file] {
				named = append(named, l.module)
			}
			if diff := cmp.Diff(mod.direct(imports), named); diff != "" {
				t.Errorf("docs/dependencies.md, section %s: needs one sorted row for each direct dependency (-want +got):\n%s", tc.file, diff)
			}
			for _, l := range lines[tc.file] {
				if mod.moduleOf(l.module) != l.module {
					continue // reported above as an unneeded row
				}
				if tc.linked && !permissive[l.licence] {
					t.Errorf("%s is linked into shipped binaries, but %s is not a permissive licence", l.module, l.licence)
				}
				if got := licenceOf(t, dir, l.module); got != l.licence {
					t.Errorf("docs/dependencies.md states the licence of %s as %s, but its LICENSE file is %s", l.module, l.licence, got)
				}
			}
		})
	}
}

// imported are the import paths in the Go files of the module in dir, including tests and files for
// other systems. The files are parsed here and not by go list, so that they are inputs of go test's
// cache.
func imported(t *testing.T, dir string) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			name := entry.Name()
			_, nested := os.Stat(filepath.Join(path, "go.mod"))
			if path != dir && (nested == nil || name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			paths = append(paths, name)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("read the imports of %s: %v", dir, err)
	}
	return paths
}

var permissive = map[string]bool{"Apache-2.0": true, "MIT": true, "BSD-2-Clause": true, "BSD-3-Clause": true, "ISC": true}

// licences are recognized by a sentence that only they contain.
var licences = []struct{ name, sentence string }{
	{"GPL-3.0", "GNU GENERAL PUBLIC LICENSE Version 3"},
	{"Apache-2.0", "Apache License Version 2.0"},
	{"MIT", "to any person obtaining a copy of this software and associated documentation files"},
	{"ISC", "Permission to use, copy, modify, and/or distribute this software for any purpose"},
	{"BSD-2-Clause", "Redistribution and use in source and binary forms"},
}

// thirdClause distinguishes BSD-3-Clause from BSD-2-Clause.
const thirdClause = "to endorse or promote products derived from"

// licenceOf reads the LICENSE file of a module in the version of the go.mod file in dir.
func licenceOf(t *testing.T, dir, module string) string {
	t.Helper()
	var download struct{ Dir, Error string }
	goJSON(t, dir, &download, "mod", "download", "-json", module)
	for _, name := range []string{"LICENSE", "LICENSE.txt", "LICENSE.md", "COPYING"} {
		raw, err := os.ReadFile(filepath.Join(download.Dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(strings.Fields(string(raw)), " ")
		// If a file has several licences, the first one is that of the module. The others apply to
		// copied code.
		best, first := "unknown", len(text)
		for _, l := range licences {
			if at := strings.Index(text, l.sentence); at >= 0 && at < first {
				best, first = l.name, at
			}
		}
		if best == "BSD-2-Clause" && strings.Contains(text, thirdClause) {
			return "BSD-3-Clause"
		}
		return best
	}
	return "missing"
}

// goJSON runs the go command in dir and reads the JSON that it prints.
func goJSON(t *testing.T, dir string, into any, args ...string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v in %s: %v %s", cmd, dir, explained(err), out)
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatalf("%v in %s: %v", cmd, dir, err)
	}
}

// explained adds the stderr of the go command to its error.
func explained(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return err.Error() + "\n" + string(exit.Stderr)
	}
	return err.Error()
}
