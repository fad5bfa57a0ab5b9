// Command isthmus checks, renders and plans mesh repositories.
package main

import (
	"os"

	"github.com/isthmus-mesh/isthmus/internal/cli"
	"github.com/isthmus-mesh/isthmus/internal/demo"
	"github.com/isthmus-mesh/isthmus/internal/sandbox"
)

func main() {
	sandbox.Main() // does not return in a child process that evaluates CUE
	os.Exit(cli.Main(os.Args[1:], demo.Command()))
}
