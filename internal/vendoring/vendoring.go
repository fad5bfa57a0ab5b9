// Package vendoring answers: does a mesh repository hold the CUE module of this binary, and what has to change
// so that it does?
//
// In: the folder of a mesh repository. Out: the [Changes] that make cue.mod/pkg/isthmus.dev/mesh equal to the
// embedded module. Nothing outside that folder is looked at or written.
package vendoring

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	meshmodule "github.com/isthmus-mesh/isthmus/cue"
)

// Folder is where the module lies in a mesh repository.
const Folder = "cue.mod/pkg/" + meshmodule.Path

// ModuleFile is what makes a folder a CUE module, and so a mesh repository.
const ModuleFile = "cue.mod/module.cue"

// ErrNoModule says that the folder is no CUE module.
var ErrNoModule = errors.New("is missing, so this is no CUE module")

// Action is what happens to one file.
type Action string

// The actions on a file.
const (
	Add    Action = "add"
	Update Action = "update"
	Remove Action = "remove"
)

// Change is one file that differs.
type Change struct {
	Action Action
	// File is relative to the mesh repository, slash-separated.
	File string
}

// Files are the module's files by their path in a mesh repository.
func Files() (map[string][]byte, error) {
	entries, err := meshmodule.Files.ReadDir(".")
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte, len(entries))
	for _, e := range entries {
		data, err := meshmodule.Files.ReadFile(e.Name())
		if err != nil {
			return nil, err
		}
		files[path.Join(Folder, e.Name())] = data
	}
	return files, nil
}

// Compare lists what must change in the repository, sorted by file. It writes nothing.
func Compare(repo string) ([]Change, error) {
	root, err := open(repo)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	return compare(root)
}

// Vendor makes the changes and lists them. A file is replaced as a whole, never half written.
func Vendor(repo string) ([]Change, error) {
	root, err := open(repo)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	changes, err := compare(root)
	if err != nil || len(changes) == 0 {
		return nil, err
	}
	files, err := Files()
	if err != nil {
		return nil, err
	}
	if err := root.MkdirAll(Folder, 0o755); err != nil {
		return nil, fmt.Errorf("making %s: %w", Folder, err)
	}
	for i, c := range changes {
		if c.Action == Remove {
			err = root.Remove(c.File)
		} else {
			err = replace(root, c.File, files[c.File])
		}
		if err != nil {
			return changes[:i], fmt.Errorf("%s is only partly vendored, run it again: %w", Folder, err)
		}
	}
	return changes, nil
}

// open is the repository's folder, if it is a CUE module.
func open(repo string) (*os.Root, error) {
	root, err := os.OpenRoot(repo)
	if err != nil {
		return nil, err
	}
	if _, err := root.Stat(ModuleFile); err != nil {
		_ = root.Close()
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%s %w", ModuleFile, ErrNoModule)
		}
		return nil, err
	}
	return root, nil
}

func compare(root *os.Root) ([]Change, error) {
	want, err := Files()
	if err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(root.FS(), Folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var changes []Change
	there := map[string]bool{}
	for _, e := range entries {
		file := path.Join(Folder, e.Name())
		there[file] = true
		data, known := want[file]
		switch {
		case !known && !e.IsDir() && (strings.HasSuffix(file, ".cue") || strings.HasSuffix(file, scratchSuffix)):
			// CUE would still read what an earlier version of the module left there; a scratch file is of a run
			// that was cut off.
			changes = append(changes, Change{Remove, file})
		case known:
			same, err := holds(root, e, file, data)
			if err != nil {
				return nil, err
			}
			if !same {
				changes = append(changes, Change{Update, file})
			}
		}
	}
	for _, file := range slices.Sorted(maps.Keys(want)) {
		if !there[file] {
			changes = append(changes, Change{Add, file})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.File, b.File) })
	return changes, nil
}

// holds tells whether the file is a regular one of this content; a link is replaced, since Isthmus follows none.
func holds(root *os.Root, e fs.DirEntry, file string, data []byte) (bool, error) {
	if !e.Type().IsRegular() {
		return false, nil
	}
	got, err := root.ReadFile(file)
	if err != nil {
		return false, err
	}
	return bytes.Equal(got, data), nil
}

// scratchSuffix ends the name of a file until it is complete.
const scratchSuffix = ".cue.new"

// replace writes beside the file and renames, so that a run that is cut off leaves the old or the new content.
func replace(root *os.Root, file string, data []byte) error {
	scratch := path.Join(path.Dir(file), "."+strings.TrimSuffix(path.Base(file), ".cue")+scratchSuffix)
	if err := root.WriteFile(scratch, data, 0o644); err != nil {
		return err
	}
	if err := root.Rename(scratch, file); err != nil {
		return errors.Join(err, root.Remove(scratch))
	}
	return nil
}
