// Package vendoring copies the embedded CUE module into a mesh repository.
//
// Input: the folder of a mesh repository. Output: the [Change] list that makes the folder
// cue.mod/pkg/isthmus.dev/mesh equal to the module of this binary.
//
// Invariant: files outside of that folder are neither read nor written, and each file is replaced
// atomically.
package vendoring
