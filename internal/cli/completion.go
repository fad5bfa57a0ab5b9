package cli

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// completionTimeout is how long a person waits at the Tab key.
const completionTimeout = 5 * time.Second

// completeFromMesh offers names of the mesh repository; one that does not evaluate offers none.
func completeFromMesh(repo *repository, names func(*manifest.Mesh) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		quick := *repo
		quick.timeout = completionTimeout
		if err := quick.read(ctx); err != nil {
			return cobra.AppendActiveHelp(nil, "the mesh repository cannot be read; see isthmus vet"), cobra.ShellCompDirectiveNoFileComp
		}
		result, err := quick.evaluate(ctx, "")
		if err != nil {
			return cobra.AppendActiveHelp(nil, "the mesh repository has findings; see isthmus vet"), cobra.ShellCompDirectiveNoFileComp
		}
		return names(result.Mesh), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeClusterAndService offers what the mesh repository has for --cluster and --service.
func completeClusterAndService(cmd *cobra.Command, repo *repository) {
	_ = cmd.RegisterFlagCompletionFunc("cluster", completeFromMesh(repo, func(m *manifest.Mesh) []string {
		return slices.Sorted(maps.Keys(m.Clusters))
	}))
	_ = cmd.RegisterFlagCompletionFunc("service", completeFromMesh(repo, callable))
}

// completeForms offers forms of output; after "dir=" a path follows.
func completeForms(forms []string) ([]string, cobra.ShellCompDirective) {
	offered := make([]string, len(forms))
	directive := cobra.ShellCompDirectiveNoFileComp
	for i, form := range forms {
		offered[i] = strings.TrimSuffix(form, "PATH")
		if offered[i] != form {
			directive |= cobra.ShellCompDirectiveNoSpace
		}
	}
	return offered, directive
}

// completeCompletion gives cobra's own commands what ours have: examples.
func completeCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd("completion")
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "help":
			cmd.Example = "  isthmus help render"
		case "completion":
			cmd.Example = "  isthmus completion bash > isthmus.bash   # then: source isthmus.bash"
			for _, shell := range cmd.Commands() {
				shell.Example = "  isthmus completion " + shell.Name()
			}
		}
	}
}
