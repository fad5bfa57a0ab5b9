package source

import (
	"bufio"
	"bytes"
	"os"
	"path"
	"path/filepath"
	"strings"

	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
)

const gitignoreFile = ".gitignore"

// ignored tells what of a working tree no commit will hold: what .gitignore files name and Git does not track.
// Build output is often a link or large, and refusing it would be an error that only the command line has.
type ignored struct {
	// above is where the folder that is read is in its repository.
	above    []string
	patterns []gitignore.Pattern
	// tracked are the files in Git's index and all their folders, by their path in the repository.
	tracked map[string]bool
}

// newIgnored looks for the repository that dir is in. Outside of one, or where it cannot be read, nothing is
// ignored.
func newIgnored(dir string) *ignored {
	i := &ignored{tracked: map[string]bool{}}
	repository, err := gogit.PlainOpenWithOptions(dir, &gogit.PlainOpenOptions{DetectDotGit: true, EnableDotGitCommonDir: true})
	if err != nil {
		return i
	}
	tree, err := repository.Worktree()
	if err != nil {
		return i
	}
	index, err := repository.Storer.Index()
	if err != nil {
		return i
	}
	top := tree.Filesystem.Root()
	if !i.locate(top, dir) {
		return i
	}
	for _, e := range index.Entries {
		for p := e.Name; p != "." && !i.tracked[p]; p = path.Dir(p) {
			i.tracked[p] = true
		}
	}
	i.readFile(filepath.Join(top, gitFolder, "info", "exclude"), nil)
	for n := range i.above {
		i.readFile(filepath.Join(top, filepath.Join(i.above[:n]...), gitignoreFile), i.above[:n])
	}
	if len(i.above) > 0 && i.skips(".", true) {
		// Someone keeps a mesh in a folder that the repository around it ignores, to try something out.
		return &ignored{}
	}
	return i
}

// locate sets above to the way from top to dir.
func (i *ignored) locate(top, dir string) bool {
	top, err := filepath.EvalSymlinks(top)
	if err != nil {
		return false
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return false
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return false
	}
	way, err := filepath.Rel(top, dir)
	if err != nil || way == ".." || strings.HasPrefix(way, ".."+string(filepath.Separator)) {
		return false
	}
	if way != "." {
		i.above = strings.Split(filepath.ToSlash(way), "/")
	}
	return true
}

// readFile adds the patterns of a file, if there is one.
func (i *ignored) readFile(name string, domain []string) {
	if data, err := os.ReadFile(name); err == nil {
		i.add(data, domain)
	}
}

// enter adds the patterns of a folder below the one that is read.
func (i *ignored) enter(root *os.Root, folder string) {
	name := path.Join(folder, gitignoreFile)
	info, err := root.Lstat(name)
	// Git reads no .gitignore that is a link.
	if err != nil || !info.Mode().IsRegular() || info.Size() > defaultMaxFileBytes {
		return
	}
	if data, err := root.ReadFile(name); err == nil {
		i.add(data, i.inRepository(folder))
	}
}

func (i *ignored) add(data []byte, domain []string) {
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		if line := lines.Text(); strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") {
			i.patterns = append(i.patterns, gitignore.ParsePattern(line, domain))
		}
	}
}

// inRepository is where a path below the folder that is read is in the repository.
func (i *ignored) inRepository(name string) []string {
	steps := append([]string{}, i.above...)
	if name != "." {
		steps = append(steps, strings.Split(name, "/")...)
	}
	return steps
}

// skips says whether a path is ignored and not tracked.
func (i *ignored) skips(name string, isFolder bool) bool {
	if len(i.patterns) == 0 {
		return false
	}
	steps := i.inRepository(name)
	return gitignore.NewMatcher(i.patterns).Match(steps, isFolder) && !i.tracked[strings.Join(steps, "/")]
}
