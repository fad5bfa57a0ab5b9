// Command isthmus checks and renders the mesh repository that many clusters share.
package main

import (
	"os"

	"github.com/isthmus-mesh/isthmus/internal/cli"
	"github.com/isthmus-mesh/isthmus/internal/demo"
	"github.com/isthmus-mesh/isthmus/internal/sandbox"
)

func main() {
	sandbox.Main()
	os.Exit(cli.Main(os.Args[1:], demo.Command()))
}
