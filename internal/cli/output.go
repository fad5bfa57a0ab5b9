package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// addOutputFlag gives a command its -o, of which the first form is the default.
func addOutputFlag(cmd *cobra.Command, output *string, forms ...string) {
	cmd.Flags().StringVarP(output, "output", "o", forms[0], "form of the output: "+strings.Join(forms, ", "))
	_ = cmd.RegisterFlagCompletionFunc("output", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return completeForms(forms)
	})
}

func unknownOutput(output string, forms ...string) error {
	return usagef("there is no output form %q; there are %s", output, strings.Join(forms, ", "))
}

const jsonIndent = "    "

// encodeJSON writes indented JSON with its characters as they are: it is read by people, too.
func encodeJSON(w io.Writer, value any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", jsonIndent)
	return e.Encode(value)
}

// tell writes a remark for the person, if there is one.
func tell(cmd *cobra.Command, remark string) {
	if remark != "" {
		fmt.Fprintln(cmd.ErrOrStderr(), remark)
	}
}
