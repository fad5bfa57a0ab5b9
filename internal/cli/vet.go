package cli

import (
	"bufio"
	"context"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// vetReport is the result of vet.
type vetReport struct {
	Problems []problem `json:"findings"`
	// Notes are nil, and omitted, if there are findings.
	Notes   []problem `json:"notes,omitzero"`
	Summary vetted    `json:"summary"`
}

// vetted counts what was checked. A count that is unknown because of findings is nil, and omitted.
type vetted struct {
	Files     *int `json:"files,omitempty"`
	Services  *int `json:"services,omitempty"`
	Externals *int `json:"externals,omitempty"`
	Clusters  *int `json:"clusters,omitempty"`
	Resources *int `json:"resources,omitempty"`
}

// known returns a count, 0 if it is unknown.
func known(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

func newVet() *cobra.Command {
	var repo repository
	var output string
	cmd := &cobra.Command{
		Use:   "vet",
		Short: "Check the mesh repository and the resources of every cluster",
		Long: `Check the files of the mesh repository in the folder, committed or not. The command checks each manifest, then
all manifests together (unknown callees, clusters and versions, hosts claimed twice), and then, for every
cluster, the resources that its controller would apply, with the schemas and rules of Istio's CRDs. No cluster
or server is contacted, and nothing is changed.

Without findings the command prints notes about valid input that is probably a mistake: a call of a service
that no active cluster runs, and files that prevent the evaluation in parts. In a large repository such files
cost time and memory, and one broken service stops all others. Notes do not change the exit status.

Exit status: 0 without findings, 1 with findings, 2 could not run.`,
		Example: `  isthmus vet                              # check the mesh repository in this folder
  isthmus vet --repo examples/shop         # check another one
  isthmus vet -o github                    # annotate a pull request, in a GitHub workflow
  isthmus vet -o sarif > isthmus.sarif     # for code scanning
  isthmus vet -o json | jq -r '.findings[].service'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			write, err := vetWriter(output, repo.dir, cmd.OutOrStdout())
			if err != nil {
				return err
			}
			shown := startProgress(cmd.ErrOrStderr())
			report, err := vet(cmd.Context(), &repo, shown)
			shown.end()
			if err != nil {
				return err
			}
			out := bufio.NewWriter(cmd.OutOrStdout())
			if err := write(out, report); err != nil {
				return err
			}
			if err := out.Flush(); err != nil {
				return err
			}
			if len(report.Problems) == 0 {
				return nil
			}
			return errFindings
		},
	}
	addRepoFlag(cmd, &repo)
	addLimitFlags(cmd, &repo)
	addOutputFlag(cmd, &output, "text", "json", "github", "sarif")
	return cmd
}

// vet collects the problems of the repository. An error means that the command could not run.
func vet(ctx context.Context, repo *repository, shown *progress) (vetReport, error) {
	report := vetReport{Problems: []problem{}}
	refuse := func(err error) (vetReport, error) {
		findings, ok := asFindings(err)
		if !ok {
			return vetReport{}, err
		}
		report.Problems = merge(findings)
		return report, nil
	}
	shown.step("reading %s", repo.dir)
	if err := repo.read(ctx); err != nil {
		return refuse(err)
	}
	report.Summary.Files = new(len(repo.snapshot.Files))

	shown.step("checking %s", count(len(repo.snapshot.Files), "file"))
	result, err := repo.evaluate(ctx, "")
	if err != nil {
		return refuse(err)
	}
	report.Summary.Services = new(len(result.Mesh.Services))
	report.Summary.Externals = new(len(result.Mesh.Externals))
	report.Summary.Clusters = new(len(result.Mesh.Clusters))

	var findings manifest.Findings
	resources := 0
	for i, cluster := range slices.Sorted(maps.Keys(result.Mesh.Clusters)) {
		shown.step("checking what cluster %s would get (%d of %d)", cluster, i+1, len(result.Mesh.Clusters))
		_, bundle, err := repo.bundle(ctx, cluster)
		if err != nil {
			found, ok := asFindings(err)
			if !ok {
				return vetReport{}, err
			}
			for _, f := range found {
				f.Cluster = cluster
				findings = append(findings, f)
			}
			continue
		}
		resources += len(bundle.Resources)
	}
	report.Problems = merge(findings)
	if len(findings) == 0 {
		report.Notes = append(notesOn(result), notesOnShards(result)...)
		report.Summary.Resources = &resources
	}
	return report, nil
}

// vetWriter returns the writer of an output format.
func vetWriter(output, dir string, stdout io.Writer) (func(io.Writer, vetReport) error, error) {
	switch output {
	case "text":
		style := styleFor(stdout)
		return func(w io.Writer, r vetReport) error { return writeText(w, r, dir, style) }, nil
	case "json":
		return writeJSON, nil
	case "github":
		return func(w io.Writer, r vetReport) error { return writeGitHub(w, r, dir) }, nil
	case "sarif":
		return func(w io.Writer, r vetReport) error { return writeSARIF(w, r, dir) }, nil
	}
	return nil, unknownOutput(output, "text", "json", "github", "sarif")
}
