package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	meshmodule "github.com/isthmus-mesh/isthmus/cue"
	"github.com/isthmus-mesh/isthmus/internal/vendoring"
	"github.com/isthmus-mesh/isthmus/internal/version"
)

func newVendor() *cobra.Command {
	var repo repository
	var check bool
	cmd := &cobra.Command{
		Use:   "vendor",
		Short: "Update the vendored CUE module to the version of this command",
		Long: `Update ` + vendoring.Folder + ` of the mesh repository to the version of this command. The module renders the
resources, so this update can change them in all clusters; an upgrade of a controller does not. Compare the
output of ` + "`isthmus render`" + ` before you commit. Files that the module no longer has are removed.

Exit status: 0 fine, 1 with --check if it differs, 2 could not run.`,
		Example: `  isthmus vendor
  isthmus vendor --check                   # in CI: fail if the vendored module is not of this version
  isthmus vendor --repo examples/shop`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			act := vendoring.Vendor
			if check {
				act = vendoring.Compare
			}
			changes, err := act(repo.dir)
			for _, c := range changes {
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", said(c.Action, check), c.File)
			}
			if errors.Is(err, vendoring.ErrNoModule) {
				return repo.noRepository()
			}
			if err != nil {
				return err
			}
			what := fmt.Sprintf("%s of isthmus %s", meshmodule.Path, version.Get().Version)
			switch {
			case len(changes) == 0:
				fmt.Fprintf(cmd.OutOrStdout(), "ok: %s is %s\n", vendoring.Folder, what)
			case check:
				fmt.Fprintf(cmd.OutOrStdout(), "\n%s from %s; nothing was changed. Run `isthmus vendor` to update\n", differs(len(changes)), what)
				return errFindings
			default:
				fmt.Fprintf(cmd.OutOrStdout(), "\n%s now %s\n", is(len(changes)), what)
			}
			return nil
		},
	}
	addRepoFlag(cmd, &repo)
	cmd.Flags().BoolVar(&check, "check", false, "change nothing; exit 1 if something would change")
	return cmd
}

// said describes the change of a file, done or only checked.
func said(action vendoring.Action, check bool) string {
	if check {
		return fmt.Sprintf("would %-6s", action)
	}
	return fmt.Sprintf("%-7s", strings.TrimSuffix(string(action), "e")+"ed")
}

func differs(n int) string {
	if n == 1 {
		return "1 file differs"
	}
	return fmt.Sprintf("%d files differ", n)
}

func is(n int) string {
	if n == 1 {
		return "1 file is"
	}
	return fmt.Sprintf("%d files are", n)
}
