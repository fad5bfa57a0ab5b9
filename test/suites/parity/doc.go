// Package parity generates random mesh repositories in many notations of CUE, and compares the
// output of isthmus render with that of plain cue export.
//
// In: a [Spec] with a seed. Out: a [Repository]: files that plain CUE nearly always accepts, and
// the names of the features in them. First the mesh is generated: clusters, services and calls that
// the checks of the module accept. Then it is written as plain manifests. Then each feature
// rewrites a part of it: with defaults, patterns, references, templates or other files.
//
// Invariant: equal specs give equal files. The random values of a feature or a service do not
// depend on other ones. So a failing repository can be minimized: without a feature it is otherwise
// the same.
package parity
