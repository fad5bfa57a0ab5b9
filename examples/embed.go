// Package examples carries the example mesh repositories inside the isthmus command.
package examples

import (
	"embed"
	"io/fs"
)

//go:embed all:shop
var files embed.FS

// Shop is the mesh repository of examples/shop as it was when the command was built.
func Shop() (fs.FS, error) { return fs.Sub(files, "shop") }
