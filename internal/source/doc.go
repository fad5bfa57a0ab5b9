// Package source answers: which files does this commit hold?
//
// In: a repository URL, a ref and credentials, or a directory. Out: a [Snapshot], the tree of regular
// files of one commit, in memory, with the commit's hash and, where asked for, its verified signer.
//
// No work tree is ever written. What is not a regular file (symbolic links, submodules) is an error that
// names the path, since leaving it out would silently give another mesh than plain CUE sees. A fetch that
// fails leaves the last good Snapshot usable: a Snapshot is immutable and shared freely.
package source
