// Package evaluate answers: what does this commit's CUE say?
//
// In: a [source.Snapshot] and, to render, the name of a cluster. Out: a [Result], the typed manifests and what the
// CUE template made of them for that cluster, or every problem found, each with service, file and line, as
// [manifest.Findings]. Nothing of CUE leaves the package.
//
// The answer is plain CUE's: the files are those that `cue vet` sees, unified as one package. They are read from
// memory, registries are off and no fact of the host leaks in, so a repository can neither reach out nor depend on
// where it is evaluated. CUE can be neither interrupted nor bounded from inside: one evaluation runs at a time, and a
// call whose context ends returns while the evaluation that it started goes on.
package evaluate
