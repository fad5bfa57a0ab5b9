// Package parity makes mesh repositories at random, in all the ways in which CUE lets people write one, and holds what
// isthmus renders of them against what plain CUE exports.
//
// In: a [Spec], a seed above all. Out: a [Repository], files that plain CUE accepts nearly always, and the names of the
// features that occur in it. The mesh comes first: clusters, services and calls that the checks of the module allow.
// Then it is written down: as plain manifests, and then, one feature after the other, with defaults, patterns, references,
// templates and files that say the same, or a little more, in another way.
//
// Invariant: equal specs give equal files, and what one feature or service draws does not depend on the others. So a
// repository with a difference can be made smaller, one feature at a time, and stays the same in all else.
package parity
