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

	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

// renderForms are the output formats, in the order of help and completion.
var renderForms = []string{"yaml", "json", "dir=PATH"}

// rendering holds the options of the render command.
type rendering struct {
	repo    repository
	cluster string
	all     bool
	service string
	output  string
}

// rendered are the resources of one cluster.
type rendered struct {
	cluster   string
	resources []render.Resource
}

func newRender() *cobra.Command {
	var r rendering
	cmd := &cobra.Command{
		Use:   "render",
		Short: "Print the resources that a cluster's controller applies",
		Long: `Print the resources that the controller of a cluster would apply from the files in the folder, without
ownership marks. No cluster is contacted.

With -o json the output is what ` + "`cue export -t cluster=NAME -e resources ./services`" + ` prints, by key
"Kind/namespace/name", sorted. With -o dir=PATH there is one file for each resource,
PATH/Kind/namespace/name.yaml. Files of an earlier run whose resource no longer exists are removed. No other
file is changed.

With --all the command renders every cluster of the inventory, into PATH/CLUSTER/Kind/namespace/name.yaml, or
with -o json as one object for each cluster. To see the effect of a change, render before and after the change.

Exit status: 0 without findings, 1 findings (on stderr, nothing is rendered), 2 could not run.`,
		Example: `  isthmus render --cluster east
  isthmus render --cluster east --service cart
  isthmus render --cluster east -o json | jq 'keys'
  isthmus render --cluster east -o dir=rendered/east

  isthmus render --all -o dir=/tmp/before  # the effect of a change in all clusters
  vi services/cart.cue
  isthmus render --all -o dir=/tmp/after && diff -r /tmp/before /tmp/after`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return r.run(cmd) },
	}
	addRepoFlag(cmd, &r.repo)
	addLimitFlags(cmd, &r.repo)
	cmd.Flags().StringVar(&r.cluster, "cluster", "", "cluster of the inventory to render for (required, unless --all)")
	cmd.Flags().BoolVar(&r.all, "all", false, "render for every cluster, with -o dir=PATH or -o json")
	cmd.Flags().StringVar(&r.service, "service", "", "only the resources of this service or external")
	addOutputFlag(cmd, &r.output, renderForms...)
	completeClusterAndService(cmd, &r.repo)
	return cmd
}

func (r *rendering) run(cmd *cobra.Command) error {
	folder, toFolder := strings.CutPrefix(r.output, "dir=")
	switch {
	case toFolder && folder == "":
		return usagef("-o dir= needs the path of a folder")
	case !toFolder && r.output != "yaml" && r.output != "json":
		return unknownOutput(r.output, renderForms...)
	case r.all && r.cluster != "":
		return usagef("--all is every cluster, and --cluster %s is one; give one of the two", r.cluster)
	case r.all && r.output == "yaml":
		return usagef("--all needs -o dir=PATH or -o json: in YAML nothing would tell which cluster a resource is for")
	}
	shown := startProgress(cmd.ErrOrStderr())
	render := r.one
	if r.all {
		render = r.every
	}
	m, clusters, err := render(cmd.Context(), shown)
	shown.end()
	if err != nil {
		return r.refuse(cmd, m, err, "nothing was rendered")
	}
	if err := r.choose(cmd, m, clusters); err != nil {
		return err
	}
	if toFolder {
		wrote, err := r.writeInto(folder, clusters)
		if err != nil {
			return err
		}
		tell(cmd, wrote.String())
		return nil
	}
	out := bufio.NewWriter(cmd.OutOrStdout())
	if err := r.print(out, clusters); err != nil {
		return err
	}
	return out.Flush()
}

func (r *rendering) writeInto(folder string, clusters []rendered) (folderChanges, error) {
	if r.all {
		return writeFolders(folder, r.service, clusters)
	}
	return writeFolder(folder, r.service, clusters[0])
}

func (r *rendering) print(w io.Writer, clusters []rendered) error {
	switch {
	case r.all:
		return writeClustersJSON(w, clusters)
	case r.output == "json":
		if err := writeResourcesJSON(w, "", clusters[0].resources); err != nil {
			return err
		}
		_, err := io.WriteString(w, "\n")
		return err
	}
	return writeResourcesYAML(w, clusters[0].resources)
}

// one renders the cluster of --cluster.
func (r *rendering) one(ctx context.Context, shown *progress) (*manifest.Mesh, []rendered, error) {
	result, bundle, err := r.render(ctx, shown)
	if err != nil {
		return nil, nil, err
	}
	return result.Mesh, []rendered{{r.cluster, bundle.Resources}}, nil
}

// every renders all clusters, sorted by name. With findings it returns those of all clusters, and the
// mesh.
func (r *rendering) every(ctx context.Context, shown *progress) (*manifest.Mesh, []rendered, error) {
	shown.step("reading %s", r.repo.dir)
	if err := r.repo.read(ctx); err != nil {
		return nil, nil, err
	}
	shown.step("looking for the clusters")
	result, err := r.repo.evaluate(ctx, "")
	if err != nil {
		return nil, nil, err
	}
	var clusters []rendered
	var findings manifest.Findings
	for i, cluster := range slices.Sorted(maps.Keys(result.Mesh.Clusters)) {
		shown.step("rendering for cluster %s (%d of %d)", cluster, i+1, len(result.Mesh.Clusters))
		_, bundle, err := r.repo.bundle(ctx, cluster)
		if err == nil {
			clusters = append(clusters, rendered{cluster, bundle.Resources})
			continue
		}
		found, ok := asFindings(err)
		if !ok {
			return nil, nil, err
		}
		for _, f := range found {
			f.Cluster = cluster
			findings = append(findings, f)
		}
	}
	if len(findings) > 0 {
		return result.Mesh, nil, findings
	}
	return result.Mesh, clusters, nil
}

// render returns the bundle of the cluster. An unknown cluster is a usage error, not a finding.
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

// blames reports whether a finding has this path.
func blames(err error, path string) bool {
	findings, _ := asFindings(err)
	return slices.ContainsFunc(findings, func(f manifest.Finding) bool { return f.Path == path })
}

// refuse prints findings and the outcome of the command on stderr, so that stdout stays empty. Other
// errors are returned. The mesh is nil if it is unknown.
func (r *rendering) refuse(cmd *cobra.Command, m *manifest.Mesh, err error, outcome string) error {
	findings, ok := asFindings(err)
	if !ok {
		return err
	}
	allClusters := 0
	if m != nil {
		allClusters = len(m.Clusters)
	}
	if !r.all {
		// All findings are of this cluster, so it is not repeated.
		for i := range findings {
			findings[i].Cluster = ""
		}
	}
	stderr := cmd.ErrOrStderr()
	if err := writeProblems(stderr, merge(findings), allClusters, r.repo.dir, styleFor(stderr), outcome); err != nil {
		return err
	}
	return errFindings
}

// choose keeps only the resources of --service; without it, all.
func (r *rendering) choose(cmd *cobra.Command, m *manifest.Mesh, clusters []rendered) error {
	if r.service == "" {
		return nil
	}
	if err := hasCallable(m, r.service); err != nil {
		return err
	}
	left := 0
	for i, c := range clusters {
		clusters[i].resources = slices.DeleteFunc(slices.Clone(c.resources), func(res render.Resource) bool { return res.Service != r.service })
		left += len(clusters[i].resources)
	}
	switch {
	case left > 0:
	case r.all:
		tell(cmd, r.service+" has no resources in any cluster: no service that runs calls it")
	default:
		tell(cmd, fmt.Sprintf("%s has no resources in cluster %s: no service there calls it, and it takes no calls from other clusters there", r.service, r.cluster))
	}
	return nil
}

// hasCallable returns a usage error if the mesh has no such service or external.
func hasCallable(m *manifest.Mesh, name string) error {
	known := callable(m)
	if !slices.Contains(known, name) {
		return usagef("there is no service or external %q%s", name, suggestion(similar(name, known)))
	}
	return nil
}

// callable returns the names of all services and externals, sorted.
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
