// Package evaluate answers: what does this commit's CUE say?
//
// In: a [source.Snapshot] and, to render, the name of a cluster. Out: a [Result], the typed manifests and what the
// CUE template made of them for that cluster, with every problem found, each with service, file and line, as
// [manifest.Findings]. Nothing of CUE leaves the package.
//
// The answer is plain CUE's: the files are those that `cue vet` sees, unified as one package. They are read from
// memory, registries are off and no fact of the host leaks in, so a repository can neither reach out nor depend on
// where it is evaluated.
//
// Invariant: this process runs no CUE. CUE can be neither interrupted nor bounded from inside, so children of package
// sandbox evaluate, fresh ones for each commit, one commit at a time, and hand back plain data. When Evaluate returns, they have ended.
// Programs that call this package, tests included, begin with [sandbox.Main]. (Files that a child came through may be parsed once more
// here, to name a line.)
//
// The way of an evaluation, each step cached by the content that it depends on:
//
//	classify    what is each file: a service file, or shared; is anything in the way?     classify*.go, split.go
//	shared      the inventory, the settings and the externals                             manifests.go
//	manifests   each service, by itself                                                   manifests.go
//	facts       who has to know what of whom                                              facts.go, keys.go
//	shards      checks and resources of the services that concern the cluster             rendering.go, question.go
//	freeze      the last good manifest in the place of a broken one, and once more        freeze.go
//
// stages.go is what the children do in these steps; evaluator.go puts them in a row, keep.go remembers what came of them.
// A repository of which a file is in the way is evaluated in one piece (child.go): the same answer, dearer, and as a whole good or bad.
package evaluate
