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

// ignored matches files that .gitignore excludes and Git does not track. Build output is often a
// link or large; reporting it would be an error that only the command line has, not the controller.
type ignored struct {
	// prefix is the path of the folder in its repository.
	prefix   []string
	patterns []gitignore.Pattern
	// tracked has the files in the index of Git and their folders, by path in the repository.
	tracked map[string]bool
}

// newIgnored searches the repository that contains dir. Nothing is ignored if there is none, or if
// it cannot be read.
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
	for n := range i.prefix {
		i.readFile(filepath.Join(top, filepath.Join(i.prefix[:n]...), gitignoreFile), i.prefix[:n])
	}
	if len(i.prefix) > 0 && i.skips(".", true) {
		// The folder itself is ignored, for example a test mesh in a build directory.
		return &ignored{}
	}
	return i
}

// locate sets prefix to the path from top to dir.
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
		i.prefix = strings.Split(filepath.ToSlash(way), "/")
	}
	return true
}

// readFile adds the patterns of a file, if it exists.
func (i *ignored) readFile(name string, domain []string) {
	if data, err := os.ReadFile(name); err == nil {
		i.add(data, domain)
	}
}

// enter adds the patterns of a folder.
func (i *ignored) enter(root *os.Root, folder string) {
	name := path.Join(folder, gitignoreFile)
	info, err := root.Lstat(name)
	// Git does not follow a .gitignore that is a link.
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

// inRepository converts a path below the folder to path elements in the repository.
func (i *ignored) inRepository(name string) []string {
	steps := append([]string{}, i.prefix...)
	if name != "." {
		steps = append(steps, strings.Split(name, "/")...)
	}
	return steps
}

// skips reports whether a path is ignored and not tracked.
func (i *ignored) skips(name string, isFolder bool) bool {
	if len(i.patterns) == 0 {
		return false
	}
	steps := i.inRepository(name)
	return gitignore.NewMatcher(i.patterns).Match(steps, isFolder) && !i.tracked[strings.Join(steps, "/")]
}
