// Package source answers: which files does this commit hold?
//
// In: a repository URL, a ref and credentials ([New], [Git.Fetch]), or a directory ([FromDir]). Out: a
// [Snapshot], the tree of regular files of one commit, in memory, with the commit's hash and, where asked for,
// its verified signer.
//
// No work tree is ever written. What is not a regular file (symbolic links, submodules) is an error that
// names the path, since leaving it out would silently give another mesh than plain CUE sees. A fetch that
// fails leaves the last good Snapshot usable: a Snapshot is immutable and shared freely.
//
// A [Git] keeps the objects of one commit, without history, so that the next fetch transfers only what is new,
// and a fetch of an unchanged ref transfers nothing. It holds at most one commit's repository however many it
// has seen. Every error is an [*Error] whose [Reason] says who can help.
//
// What a fetch goes through, in this order:
//
//	resolve.go    the ref → what the server has for it, from its list of refs
//	transfer.go   that → objects.go, a bounded repository in memory
//	ancestry.go   was the branch set back (RewrittenFrom)?
//	signature.go  is it signed by one of the keys?
//	tree.go       commit → files, by the rules of content.go, which directories share
package source
