// Package evaluate answers: what does this commit's CUE say?
//
// In: a [source.Snapshot] and, to render, the name of a cluster. Out: a [Result], the typed manifests and what the
// CUE template made of them for that cluster, or every problem found, each with service, file and line, as
// [manifest.Findings]. Nothing of CUE leaves the package.
//
// The answer is plain CUE's: the files are those that `cue vet` sees, unified as one package. They are read from
// memory, registries are off and no fact of the host leaks in, so a repository can neither reach out nor depend on
// where it is evaluated.
//
// Invariant: this process runs no CUE. CUE can be neither interrupted nor bounded from inside, so a child of package
// sandbox evaluates, a fresh one each time and one at a time, and hands back plain data. When Evaluate returns, it has ended. Programs
// that call this package, tests included, begin with [sandbox.Main].
package evaluate
