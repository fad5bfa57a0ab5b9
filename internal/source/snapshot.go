package source

import (
	"sort"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// Blob is the content of a regular file.
type Blob struct {
	// Hash is the Git blob hash in hex. Equal content has the same hash in every commit and
	// directory.
	Hash string
	// Data is the content. It must not be modified.
	Data []byte
}

// Snapshot has the files of one commit, or of a directory at one moment. It is immutable.
type Snapshot struct {
	// Revision has the form of Flux: "main@sha1:6d9c…" or "v1.2.0@sha1:…", "sha1:…" for a pinned
	// commit, "HEAD@sha1:…" if the HEAD of the remote is detached, "" for a directory.
	Revision string
	// Commit is the hash of the commit in hex, "" for a directory.
	Commit string
	// Signer identifies the key that signed the commit or tag, "" without verification.
	Signer string
	// RewrittenFrom is the previous commit of the branch if the branch no longer contains it (force
	// push). It is set only if proven: it stays "" if the server does not respond, or if more than
	// 64 MiB of changes lie between the two commits.
	RewrittenFrom string
	// Files has the regular files by slash-separated path, relative to [Options].Path.
	Files map[string]Blob
	// Rejected has the entries that must not be used, by path.
	Rejected map[string]Rejection
}

// Rejection explains why an entry of a tree was not read: it is a link, a submodule, too large, or
// a CUE file that is not UTF-8.
type Rejection struct {
	Finding manifest.Finding
	// Link is set for symbolic links and submodules, which may stand for whole folders. Target is
	// the target of a symbolic link as written.
	Link   bool
	Target string
}

// Paths returns the paths of the files, sorted.
func (s *Snapshot) Paths() []string {
	paths := make([]string, 0, len(s.Files))
	for p := range s.Files {
		paths = append(paths, p)
	}
	sort.Strings(paths)
	return paths
}
