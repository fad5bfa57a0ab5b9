// Package cueworker evaluates CUE in a child process of package sandbox.
//
// In: requests with the content of files, such as [ShardRequest]. Out: plain data in JSON, and
// findings with service, file and line ([manifest.Findings]).
//
// The functions of client.go run in the parent and call a child; all other code runs in the child,
// apart from [Choose], [ReadByCUE] and [NewLocator], which only parse. A program that imports this
// package begins with [sandbox.Main].
//
// Invariant: the files are those of `cue vet`. They are read from memory, registries are off, and
// no property of the host is visible, so that a repository means the same on every machine.
package cueworker
