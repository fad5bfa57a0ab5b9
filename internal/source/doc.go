// Package source reads the files of one commit of a Git repository.
//
// Input: a repository URL, a ref and credentials ([New], [Git.Fetch]), or a directory ([FromDir]).
// Output: a [Snapshot]: the regular files of one commit in memory, its hash and its verified
// signer.
//
// Invariants: a Snapshot is immutable, and a failed fetch leaves earlier ones usable. Nothing is
// written to disk. Links, submodules and unreadable files are in [Snapshot.Rejected]: leaving them
// out silently would give another mesh than plain CUE sees. Every error is an [*Error] with a
// [Reason].
//
// A fetch passes resolve.go (ref to hash), transfer.go (into objects.go, a bounded repository in
// memory of one commit), ancestry.go (rewritten history), signature.go, and tree.go (commit to
// files, by the rules of content.go, which directories share).
package source
