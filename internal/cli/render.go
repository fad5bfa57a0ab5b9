package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// renderForms are as completion offers and help lists them.
var renderForms = []string{"yaml", "json", "dir=PATH"}

// rendering is what to render, and how.
type rendering struct {
	repo    repository
	cluster string
	service string
	output  string
}

func newRender() *cobra.Command {
	var r rendering
	cmd := &cobra.Command{
		Use:   "render",
		Short: "Print the resources that a cluster's controller applies",
		Long: `Print the resources that the controller of a cluster applies from the mesh repository as it is in the folder
now, ownership marks aside. No cluster is contacted.

With -o json the output is what ` + "`cue export -t cluster=NAME -e resources ./services`" + ` prints, by key
"Kind/namespace/name". With -o dir=PATH there is one file for each resource, PATH/Kind/namespace/name.yaml; files
of an earlier run whose resource is gone are removed, and no other file is touched.

Exit status: 0 fine, 1 findings (on stderr, nothing is rendered), 2 could not run.`,
		Example: `  isthmus render --cluster east
  isthmus render --cluster east --service cart
  isthmus render --cluster east -o json | jq 'keys'
  isthmus render --cluster east -o dir=rendered/east`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return r.run(cmd) },
	}
	addRepoFlag(cmd, &r.repo)
	addTimeoutFlag(cmd, &r.repo)
	cmd.Flags().StringVar(&r.cluster, "cluster", "", "cluster of the inventory to render for (required)")
	cmd.Flags().StringVar(&r.service, "service", "", "only the resources of this service or external")
	addOutputFlag(cmd, &r.output, renderForms...)
	_ = cmd.RegisterFlagCompletionFunc("cluster", completeFromMesh(&r.repo, func(m *manifest.Mesh) []string {
		return slices.Sorted(maps.Keys(m.Clusters))
	}))
	_ = cmd.RegisterFlagCompletionFunc("service", completeFromMesh(&r.repo, callable))
	return cmd
}

func (r *rendering) run(cmd *cobra.Command) error {
	folder, toFolder := strings.CutPrefix(r.output, "dir=")
	switch {
	case toFolder && folder == "":
		return usagef("-o dir= needs the path of a folder")
	case !toFolder && r.output != "yaml" && r.output != "json":
		return unknownOutput(r.output, renderForms...)
	}
	shown := startProgress(cmd.ErrOrStderr())
	result, bundle, err := r.render(cmd.Context(), shown)
	shown.end()
	if err != nil {
		return r.refuse(cmd, err)
	}
	resources, err := r.chosen(cmd, result, bundle)
	if err != nil {
		return err
	}
	if toFolder {
		wrote, err := writeFolder(folder, r.cluster, r.service, resources)
		if err != nil {
			return err
		}
		tell(cmd, wrote.String())
		return nil
	}
	out := bufio.NewWriter(cmd.OutOrStdout())
	write := writeResourcesYAML
	if r.output == "json" {
		write = writeResourcesJSON
	}
	if err := write(out, resources); err != nil {
		return err
	}
	return out.Flush()
}

// render gives the bundle of the cluster. A cluster that the inventory lacks is the caller's mistake, not the
// repository's.
func (r *rendering) render(ctx context.Context, shown *progress) (*evaluate.Result, *render.Bundle, error) {
	shown.step("reading %s", r.repo.dir)
	if err := r.repo.read(ctx); err != nil {
		return nil, nil, err
	}
	if r.cluster != "" {
		shown.step("rendering for cluster %s", r.cluster)
		result, bundle, err := r.repo.bundle(ctx, r.cluster)
		if !blames(err, "clusters."+r.cluster) {
			return result, bundle, err
		}
	}
	shown.step("looking for the clusters")
	result, err := r.repo.evaluate(ctx, "")
	if err != nil {
		return nil, nil, err
	}
	clusters := slices.Sorted(maps.Keys(result.Mesh.Clusters))
	listed := "the inventory has " + strings.Join(clusters, ", ")
	if len(clusters) == 0 {
		listed = "the inventory has no clusters yet"
	}
	if r.cluster == "" {
		return nil, nil, usagef("--cluster is needed; %s", listed)
	}
	if _, ok := result.Mesh.Clusters[r.cluster]; !ok {
		return nil, nil, usagef("there is no cluster %q; %s", r.cluster, listed)
	}
	return r.repo.bundle(ctx, r.cluster)
}

// blames tells whether one of the findings stands at the path.
func blames(err error, path string) bool {
	findings, _ := asFindings(err)
	return slices.ContainsFunc(findings, func(f manifest.Finding) bool { return f.Path == path })
}

// refuse reports findings on stderr, so that stdout stays empty; other errors are passed on.
func (r *rendering) refuse(cmd *cobra.Command, err error) error {
	findings, ok := asFindings(err)
	if !ok {
		return err
	}
	// All are of this cluster, so it needs no mention.
	for i := range findings {
		findings[i].Cluster = ""
	}
	stderr := cmd.ErrOrStderr()
	if err := writeProblems(stderr, merge(findings), 0, r.repo.dir, styleFor(stderr), "nothing was rendered"); err != nil {
		return err
	}
	return errFindings
}

// chosen are the resources of the service asked for, or all.
func (r *rendering) chosen(cmd *cobra.Command, result *evaluate.Result, bundle *render.Bundle) ([]render.Resource, error) {
	if r.service == "" {
		return bundle.Resources, nil
	}
	known := callable(result.Mesh)
	if !slices.Contains(known, r.service) {
		return nil, usagef("there is no service or external %q%s", r.service, suggestion(similar(r.service, known)))
	}
	resources := slices.DeleteFunc(slices.Clone(bundle.Resources), func(res render.Resource) bool { return res.Service != r.service })
	if len(resources) == 0 {
		tell(cmd, fmt.Sprintf("%s has no resources in cluster %s: no service there calls it, and it takes no calls from other clusters there", r.service, r.cluster))
	}
	return resources, nil
}

// callable are the names of all services and externals, sorted.
func callable(m *manifest.Mesh) []string {
	return slices.Sorted(func(yield func(string) bool) {
		for name := range m.Services {
			if !yield(name) {
				return
			}
		}
		for name := range m.Externals {
			if !yield(name) {
				return
			}
		}
	})
}

func writeResourcesJSON(w io.Writer, resources []render.Resource) error {
	byKey := make(map[string]any, len(resources))
	for _, r := range resources {
		byKey[r.Key.String()] = r.Rendered
	}
	return encodeJSON(w, byKey)
}

func writeResourcesYAML(w io.Writer, resources []render.Resource) error {
	for i, r := range resources {
		if i > 0 {
			if _, err := io.WriteString(w, "---\n"); err != nil {
				return err
			}
		}
		data, err := yaml.Marshal(r.Rendered)
		if err != nil {
			return fmt.Errorf("writing %s as YAML: %w", r.Key, err)
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	return nil
}
