package cli

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/internal/version"
)

func newVersion() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of this command, Istio's API and CUE",
		Example: `  isthmus version
  isthmus version -o json | jq -r .version`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info := version.Get()
			switch output {
			case "json":
				return encodeJSON(cmd.OutOrStdout(), info)
			case "text":
				return writeVersion(cmd, info)
			}
			return unknownOutput(output, "text", "json")
		},
	}
	addOutputFlag(cmd, &output, "text", "json")
	return cmd
}

func writeVersion(cmd *cobra.Command, info version.Info) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "isthmus\t%s\n", info.Version)
	if info.Commit != "" {
		note := ""
		if info.Modified {
			note = " (with uncommitted changes)"
		}
		fmt.Fprintf(w, "commit\t%s%s\n", info.Commit, note)
	}
	fmt.Fprintf(w, "Istio API\t%s\nCUE\t%s\nGo\t%s, %s\n", info.IstioAPI, info.CUE, info.Go, info.Platform)
	return w.Flush()
}
