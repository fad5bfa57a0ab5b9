package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/go-git/go-git/v5/plumbing"
)

// gitFolder is the folder with the data of Git at the top of a working tree. In a submodule and in
// a linked working tree it is a file.
const gitFolder = ".git"

// FromDir reads the working tree below dir, including uncommitted files, with the same rules,
// limits and hashes as a commit. Files that Git ignores are left out. Revision and Commit are
// empty. The error is an [*Error]; problems of the files are a [manifest.Findings] in it, with
// paths relative to dir.
func FromDir(ctx context.Context, dir string, limits Limits) (*Snapshot, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &Error{Reason: ConfigurationInvalid, message: fmt.Sprintf("cannot read the mesh repository: %v", err), cause: err}
	}
	defer func() { _ = root.Close() }()

	c := newContent(limits)
	err = readDirectory(ctx, root, ".", newIgnored(dir), c)
	if err != nil && !errors.Is(err, errAborted) {
		return nil, &Error{Reason: FetchFailed, message: fmt.Sprintf("cannot read the mesh repository %s: %v", dir, err), cause: err}
	}
	files, rejected, err := c.result("folder " + dir)
	if err != nil {
		return nil, contentRefused("folder "+dir, err)
	}
	return &Snapshot{Files: files, Rejected: rejected}, nil
}

// readDirectory adds the files below the folder name. os.Root prevents that a link which replaces a
// file during the read leads outside.
func readDirectory(ctx context.Context, root *os.Root, name string, skip *ignored, c *content) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := fs.ReadDir(root.FS(), name)
	if err != nil {
		return err
	}
	if name != "." && nestedRepository(entries) {
		c.submodule(name)
		return nil
	}
	skip.enter(root, name)
	for _, e := range entries {
		at := path.Join(name, e.Name())
		if e.Name() == gitFolder || skip.skips(at, e.IsDir()) {
			continue
		}
		if err := readEntry(ctx, root, at, e, skip, c); err != nil {
			return err
		}
	}
	return nil
}

// nestedRepository reports whether Git would commit the folder as a submodule.
func nestedRepository(entries []fs.DirEntry) bool {
	for _, e := range entries {
		if e.Name() == gitFolder {
			return true
		}
	}
	return false
}

func readEntry(ctx context.Context, root *os.Root, name string, e fs.DirEntry, skip *ignored, c *content) error {
	switch kind := e.Type(); {
	case kind.IsDir():
		if err := c.enter(name); err != nil {
			return err
		}
		return readDirectory(ctx, root, name, skip, c)
	case kind&fs.ModeSymlink != 0:
		target, err := root.Readlink(name)
		if err != nil {
			return err
		}
		c.symlink(name, target)
		return nil
	case !kind.IsRegular():
		c.reject(name, fmt.Sprintf("not a regular file (%s), which Git cannot store; remove it", kind))
		return nil
	}

	info, err := e.Info()
	if err != nil {
		return err
	}
	admitted, err := c.admit(name, info.Size())
	if err != nil || !admitted {
		return err
	}
	data, err := root.ReadFile(name)
	if err != nil {
		return err
	}
	c.add(name, plumbing.ComputeHash(plumbing.BlobObject, data).String(), data)
	return nil
}
