// Package meshmodule carries the CUE module isthmus.dev/mesh, so that the command line can put it into a mesh repository.
// The module is plain CUE: its documentation is in the .cue files beside this one.
package meshmodule

import "embed"

// Path is the import path of the module, and where it lies below cue.mod/pkg of a mesh repository.
const Path = "isthmus.dev/mesh"

// Files are the module's .cue files, without folders.
//
//go:embed *.cue
var Files embed.FS
