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

// Folder is the path of the module in a mesh repository.
const Folder = "cue.mod/pkg/" + meshmodule.Path

// ModuleFile is the file that makes a folder a CUE module.
const ModuleFile = "cue.mod/module.cue"

// ErrNoModule is the error for a folder without ModuleFile.
var ErrNoModule = errors.New("is missing, so this is not a CUE module")

// Action is the kind of a change.
type Action string

// The actions.
const (
	Add    Action = "add"
	Update Action = "update"
	Remove Action = "remove"
)

// Change is a file that differs from the embedded module.
type Change struct {
	Action Action
	// File is relative to the mesh repository, slash-separated.
	File string
}

// Files returns the files of the module by their path in a mesh repository.
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

// Compare returns the changes that Vendor would make, sorted by file. It writes nothing.
func Compare(repo string) ([]Change, error) {
	root, err := open(repo)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	return compare(root)
}

// Vendor makes the folder equal to the embedded module and returns the changes. Each file is
// replaced atomically. On an error it returns the changes made so far.
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
		return nil, fmt.Errorf("creating %s: %w", Folder, err)
	}
	for i, c := range changes {
		if c.Action == Remove {
			err = root.Remove(c.File)
		} else {
			err = replace(root, c.File, files[c.File])
		}
		if err != nil {
			return changes[:i], fmt.Errorf("%s is only partly vendored, run the command again: %w", Folder, err)
		}
	}
	return changes, nil
}

// open opens the folder of the repository. It fails if the folder is not a CUE module.
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
	exists := map[string]bool{}
	for _, e := range entries {
		file := path.Join(Folder, e.Name())
		exists[file] = true
		data, known := want[file]
		switch {
		case !known && !e.IsDir() && (strings.HasSuffix(file, ".cue") || strings.HasSuffix(file, temporarySuffix)):
			// CUE would still read files of an earlier version of the module. Temporary files are
			// from interrupted runs.
			changes = append(changes, Change{Remove, file})
		case known:
			same, err := isCurrent(root, e, file, data)
			if err != nil {
				return nil, err
			}
			if !same {
				changes = append(changes, Change{Update, file})
			}
		}
	}
	for _, file := range slices.Sorted(maps.Keys(want)) {
		if !exists[file] {
			changes = append(changes, Change{Add, file})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.File, b.File) })
	return changes, nil
}

// isCurrent reports whether the file is a regular file with this content. Links are replaced,
// because Isthmus does not follow links.
func isCurrent(root *os.Root, e fs.DirEntry, file string, data []byte) (bool, error) {
	if !e.Type().IsRegular() {
		return false, nil
	}
	got, err := root.ReadFile(file)
	if err != nil {
		return false, err
	}
	return bytes.Equal(got, data), nil
}

// temporarySuffix is the suffix of incomplete files.
const temporarySuffix = ".cue.new"

// replace replaces a file atomically.
func replace(root *os.Root, file string, data []byte) error {
	temporary := path.Join(path.Dir(file), "."+strings.TrimSuffix(path.Base(file), ".cue")+temporarySuffix)
	if err := root.WriteFile(temporary, data, 0o644); err != nil {
		return err
	}
	if err := root.Rename(temporary, file); err != nil {
		return errors.Join(err, root.Remove(temporary))
	}
	return nil
}
