package source

import (
	"sort"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// Blob is one regular file.
type Blob struct {
	// Hash is the Git blob hash (hex), so equal content has an equal hash in every commit and in a
	// directory.
	Hash string
	// Data is the content; it must not be changed.
	Data []byte
}

// Snapshot is the tree of one commit, or of a directory at one moment. It is immutable.
type Snapshot struct {
	// Revision is the Flux form of what was read: "main@sha1:6d9c…", "v1.2.0@sha1:…", "sha1:…" for a
	// pinned commit, "HEAD@sha1:…" if the remote's HEAD is on no branch, or "" for a directory.
	Revision string
	// Commit is the commit's hash (hex), "" for a directory.
	Commit string
	// Signer is the identity of the key that signed the commit, "" where no verification was asked for.
	Signer string
	// RewrittenFrom is set when the branch no longer contains the commit that was fetched before from the
	// same branch (a force push); it holds that earlier commit's hash. It is set on proof only: where the
	// server gives no answer, or more than 64 MiB of changes lie between the two commits, it stays "".
	RewrittenFrom string
	// Files are the regular files by slash-separated path, relative to the path that was asked for.
	Files map[string]Blob
	// Rejected are what is there beside them, and must not be used, by path.
	Rejected map[string]Rejection
}

// Rejection is why something in a tree is not read: a link, a submodule, a file that is too large, one of CUE that is no UTF-8.
type Rejection struct {
	Finding manifest.Finding
	// Link: it may stand for a whole folder. Target is where a symbolic link leads, as it is written.
	Link   bool
	Target string
}

// Paths lists the files, sorted.
func (s *Snapshot) Paths() []string {
	paths := make([]string, 0, len(s.Files))
	for p := range s.Files {
		paths = append(paths, p)
	}
	sort.Strings(paths)
	return paths
}
