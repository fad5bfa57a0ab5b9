package source

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// readCommit returns the regular files of a commit below folder, "" for all, and the rejected
// entries.
func (s *objects) readCommit(
	ctx context.Context, commit *object.Commit, folder string, limits Limits,
) (files map[string]Blob, rejected map[string]Rejection, err error) {
	where := "commit " + commit.Hash.String()
	root, err := s.folder(commit.TreeHash, folder)
	var findings manifest.Findings
	if errors.As(err, &findings) {
		return nil, nil, contentRefused(where, err)
	}
	if err != nil {
		return nil, nil, err
	}
	if folder != "" {
		where += ", folder " + folder
	}
	c := newContent(limits)
	if err := s.readTree(ctx, root, "", c); err != nil && !errors.Is(err, errAborted) {
		return nil, nil, err
	}
	if files, rejected, err = c.result("it"); err != nil {
		return nil, nil, contentRefused(where, err)
	}
	return files, rejected, nil
}

// folder returns the tree of a folder.
func (s *objects) folder(root plumbing.Hash, folder string) (plumbing.Hash, error) {
	if folder == "" {
		return root, nil
	}
	at, walked := root, ""
	for _, name := range strings.Split(folder, "/") {
		tree, err := object.GetTree(s, at)
		if err != nil {
			return at, err
		}
		i := slices.IndexFunc(tree.Entries, func(e object.TreeEntry) bool { return e.Name == name })
		walked = path.Join(walked, name)
		if i < 0 {
			return at, manifest.Findings{{File: walked, Message: fmt.Sprintf("path %q does not exist in this commit; correct the path, or commit the folder", folder)}}
		}
		if tree.Entries[i].Mode != filemode.Dir {
			return at, manifest.Findings{{File: walked, Message: fmt.Sprintf("path %q leads through a %s, not a folder; correct the path", folder, kindOf(tree.Entries[i].Mode))}}
		}
		at = tree.Entries[i].Hash
	}
	return at, nil
}

func kindOf(m filemode.FileMode) string {
	switch m {
	case filemode.Symlink:
		return "symbolic link"
	case filemode.Submodule:
		return "submodule"
	}
	return "file"
}

// readTree adds the files of a tree, whose path is at.
func (s *objects) readTree(ctx context.Context, h plumbing.Hash, at string, c *content) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	tree, err := object.GetTree(s, h)
	if err != nil {
		return err
	}
	for _, e := range tree.Entries {
		name := path.Join(at, e.Name)
		if badName(e.Name) {
			c.fail(name, fmt.Sprintf("the file name %q is not allowed; remove the file", e.Name))
			continue
		}
		if err := s.readTreeEntry(ctx, e, name, c); err != nil {
			return err
		}
	}
	return nil
}

// badName reports names that Git never writes into a tree, because they could mean another path.
func badName(name string) bool {
	return name == "" || name == "." || name == ".." || strings.EqualFold(name, gitFolder) || strings.ContainsAny(name, "/\x00")
}

func (s *objects) readTreeEntry(ctx context.Context, e object.TreeEntry, name string, c *content) error {
	switch e.Mode {
	case filemode.Dir:
		if err := c.enter(name); err != nil {
			return err
		}
		return s.readTree(ctx, e.Hash, name, c)
	case filemode.Submodule:
		c.submodule(name)
		return nil
	case filemode.Regular, filemode.Executable, filemode.Deprecated, filemode.Symlink:
	default:
		c.reject(name, fmt.Sprintf("not a regular file (mode %s); remove it", e.Mode))
		return nil
	}
	blob, err := s.blob(e.Hash)
	if err != nil {
		return fmt.Errorf("file %s: %w", name, err)
	}
	if e.Mode == filemode.Symlink {
		c.symlink(name, string(blob.data))
		return nil
	}
	admitted, err := c.admit(name, blob.size)
	if err != nil || !admitted {
		return err
	}
	if blob.omitted {
		return fmt.Errorf("file %s: its content was omitted", name)
	}
	c.add(name, e.Hash.String(), blob.data)
	return nil
}

func (s *objects) blob(h plumbing.Hash) (*stored, error) {
	o, err := s.EncodedObject(plumbing.BlobObject, h)
	if err != nil {
		return nil, err
	}
	b, ok := o.(*stored)
	if !ok {
		return nil, fmt.Errorf("object %s has type %T", h, o)
	}
	return b, nil
}
