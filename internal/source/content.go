package source

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// errAborted ends a walk at the first exceeded limit, so that a huge tree costs no more than the
// limit.
var errAborted = errors.New("over the limits")

// content collects the files of one commit or directory. It alone decides which files are valid, so
// that the same rules apply to directories and commits.
type content struct {
	limits   Limits
	files    map[string]Blob
	folders  int
	total    int64
	rejected map[string]Rejection
	// fatal has the findings for which there is no result.
	fatal manifest.Findings
}

func newContent(limits Limits) *content {
	return &content{limits: limits.withDefaults(), files: map[string]Blob{}, rejected: map[string]Rejection{}}
}

// admit reports whether a regular file of this size may be read. It returns errAborted to end the
// walk.
func (c *content) admit(path string, size int64) (bool, error) {
	if len(c.files) >= c.limits.MaxFiles {
		c.fail(path, fmt.Sprintf("more than %d files; keep only the mesh below the path, or raise --%s", c.limits.MaxFiles, FilesFlag))
		return false, errAborted
	}
	if size > c.limits.MaxFileBytes {
		c.reject(path, fmt.Sprintf("file is %s, over the limit of %s for one file; remove it from below the path, or raise --%s",
			byteCount(size), byteCount(c.limits.MaxFileBytes), FileSizeFlag))
		return false, nil
	}
	if c.total+size > c.limits.MaxTotalBytes {
		c.fail(path, fmt.Sprintf("all files together are over the limit of %s; keep only the mesh below the path, or raise --%s",
			byteCount(c.limits.MaxTotalBytes), TotalSizeFlag))
		return false, errAborted
	}
	c.total += size
	return true, nil
}

// enter counts a folder, because a tree of empty folders may be huge too.
func (c *content) enter(path string) error {
	c.folders++
	if c.folders > c.limits.MaxFiles {
		c.fail(path, fmt.Sprintf("more than %d folders; keep only the mesh below the path, or raise --%s", c.limits.MaxFiles, FilesFlag))
		return errAborted
	}
	return nil
}

// add adds an admitted file.
func (c *content) add(path, hash string, data []byte) {
	if !strings.HasSuffix(path, ".cue") || utf8.Valid(data) {
		c.files[path] = Blob{Hash: hash, Data: data}
		return
	}
	offset := invalidUTF8(data)
	c.rejected[path] = Rejection{Finding: manifest.Finding{
		File:   path,
		Line:   1 + bytes.Count(data[:offset], []byte("\n")),
		Column: offset - bytes.LastIndexByte(data[:offset], '\n'),
		Message: fmt.Sprintf("not UTF-8: byte 0x%02x at offset %d; CUE files must be UTF-8, save it in that encoding",
			data[offset], offset),
	}}
}

// invalidUTF8 returns the offset of the first byte that is not UTF-8.
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
	c.rejected[path] = Rejection{Link: true, Target: target, Finding: manifest.Finding{
		File: path, Message: fmt.Sprintf("symbolic link to %q; Isthmus does not follow links: commit a copy of the file, or remove the link", target),
	}}
}

func (c *content) submodule(path string) {
	c.rejected[path] = Rejection{Link: true, Finding: manifest.Finding{
		File: path, Message: "submodule; Isthmus does not read submodules: commit the files themselves, or remove the submodule",
	}}
}

func (c *content) reject(path, message string) {
	c.rejected[path] = Rejection{Finding: manifest.Finding{File: path, Message: message}}
}

// fail adds a finding for which there is no result.
func (c *content) fail(path, message string) {
	c.fatal = append(c.fatal, manifest.Finding{File: path, Message: message})
}

// result returns the files and rejections, or findings if a limit was exceeded or there are no
// files. where names what was read.
func (c *content) result(where string) (map[string]Blob, map[string]Rejection, error) {
	if len(c.fatal) > 0 {
		return nil, nil, c.fatal
	}
	if len(c.files) == 0 {
		none := manifest.Findings{{Message: where + " has no files; create a mesh repository with `isthmus init`"}}
		for _, path := range slices.Sorted(maps.Keys(c.rejected)) {
			none = append(none, c.rejected[path].Finding)
		}
		return nil, nil, none
	}
	return c.files, c.rejected, nil
}

// byteCount formats a size: 4 MiB, 50.3 MiB, 812 bytes.
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
