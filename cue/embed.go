// Package meshmodule embeds the CUE module isthmus.dev/mesh, so that `isthmus init` and `isthmus
// vendor` can write it to a mesh repository. The documentation of the module is in its .cue files.
package meshmodule

import "embed"

// Path is the import path of the module, and its folder below cue.mod/pkg of a mesh repository.
const Path = "isthmus.dev/mesh"

// Files are the module's .cue files, without folders.
//
//go:embed *.cue
var Files embed.FS
