// Package skeleton generates a new mesh repository.
//
// Input: the name of its CUE module and the versions for its CI. Output: its files.
//
// Invariant: `cue vet ./...` and `isthmus vet` accept the files unchanged. The sources are in the
// folder files. Names that end in .tmpl are templates with <% %> as delimiters, because workflows
// contain braces.
package skeleton
