package source

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// errTooMuch ends a walk whose result is refused anyway, so that a tree made to be huge costs no more than
// the limit.
var errTooMuch = errors.New("over the limits")

// content gathers the files of one commit or directory. It is the only place that decides what a mesh
// repository may hold, so that a directory and a commit are judged alike.
type content struct {
	limits   Limits
	files    map[string]Blob
	folders  int
	total    int64
	findings manifest.Findings
}

func newContent(limits Limits) *content {
	return &content{limits: limits.withDefaults(), files: map[string]Blob{}}
}

// admit says whether the content of a regular file of this size may be read. It returns errTooMuch when the
// walk has to end.
func (c *content) admit(path string, size int64) (bool, error) {
	if len(c.files) >= c.limits.MaxFiles {
		c.refuse(path, fmt.Sprintf("more than %d files; keep only the mesh below the path, or raise the limit on the number of files", c.limits.MaxFiles))
		return false, errTooMuch
	}
	if size > c.limits.MaxFileBytes {
		c.refuse(path, fmt.Sprintf("file is %s, over the limit of %s for one file; remove it from below the path, or raise the limit",
			byteCount(size), byteCount(c.limits.MaxFileBytes)))
		return false, nil
	}
	if c.total+size > c.limits.MaxTotalBytes {
		c.refuse(path, fmt.Sprintf("all files together are over the limit of %s; keep only the mesh below the path, or raise the limit",
			byteCount(c.limits.MaxTotalBytes)))
		return false, errTooMuch
	}
	c.total += size
	return true, nil
}

// enter counts a folder: a tree of empty folders may be made to be endless, too.
func (c *content) enter(path string) error {
	c.folders++
	if c.folders > c.limits.MaxFiles {
		c.refuse(path, fmt.Sprintf("more than %d folders; keep only the mesh below the path, or raise the limit on the number of files", c.limits.MaxFiles))
		return errTooMuch
	}
	return nil
}

// add takes an admitted file.
func (c *content) add(path, hash string, data []byte) {
	c.files[path] = Blob{Hash: hash, Data: data}
	if !strings.HasSuffix(path, ".cue") || utf8.Valid(data) {
		return
	}
	offset := invalidUTF8(data)
	c.findings = append(c.findings, manifest.Finding{
		File:   path,
		Line:   1 + bytes.Count(data[:offset], []byte("\n")),
		Column: offset - bytes.LastIndexByte(data[:offset], '\n'),
		Message: fmt.Sprintf("not UTF-8: byte 0x%02x at offset %d; CUE files must be UTF-8, save it in that encoding",
			data[offset], offset),
	})
}

// invalidUTF8 is the offset of the first byte that is no UTF-8.
func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size <= 1 {
			return i
		}
		i += size
	}
	return len(data)
}

func (c *content) symlink(path, target string) {
	c.refuse(path, fmt.Sprintf("symbolic link to %q; Isthmus follows no links, commit a copy of the file, or remove the link", target))
}

func (c *content) submodule(path string) {
	c.refuse(path, "submodule; Isthmus reads one repository only, commit the files themselves, or remove the submodule")
}

func (c *content) refuse(path, message string) {
	c.findings = append(c.findings, manifest.Finding{File: path, Message: message})
}

// result is the files, or the findings if anything was refused; where says what was read, for the case that
// it holds no file.
func (c *content) result(where string) (map[string]Blob, error) {
	if len(c.findings) > 0 {
		return nil, c.findings
	}
	if len(c.files) == 0 {
		return nil, manifest.Findings{{Message: where + " holds no files; a mesh repository needs at least mesh.cue, `isthmus init` makes one"}}
	}
	return c.files, nil
}

// byteCount prints a size for people: 4 MiB, 50.3 MiB, 812 bytes.
func byteCount(n int64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 10<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}
