// Command isthmus-controller keeps the Istio resources of its cluster equal to a shared Git repository.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/isthmus-mesh/isthmus/internal/sandbox"
	"github.com/isthmus-mesh/isthmus/internal/version"
)

func main() {
	sandbox.Main()
	options, err := parse(os.Args[1:])
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	case options.printVersion:
		fmt.Println(version.Get().Version)
		return
	}
	if err := run(ctrl.SetupSignalHandler(), options); err != nil {
		ctrl.Log.Error(err, "isthmus-controller stops")
		// Exit at once: the lease was released, and the next leader must be the only writer.
		os.Exit(1)
	}
}
