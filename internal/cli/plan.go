package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/clustercache"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/plans"
	"github.com/isthmus-mesh/isthmus/internal/syncrun"
)

// clusterTimeout bounds all that is asked of a cluster; listing 10,000 objects takes seconds.
const clusterTimeout = time.Minute

var planForms = []string{"text", "diff", "json"}

// planning is what to plan, for which cluster, and how to print it.
type planning struct {
	rendering

	kubeconfig, kubecontext, meshSync string
}

func newPlan() *cobra.Command {
	var p planning
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what a cluster's controller would do with the mesh repository as it is in the folder",
		Long: `Show what the controller of a cluster would do if the mesh repository as it is in the folder were the next commit: what it
would create, change and delete, in which order, which fields, what that does to callers, what it would leave alone, hold back or refuse and why.
It asks the cluster, with the rights of your kubeconfig: get, list and watch on Istio's kinds, services and namespaces, list on MeshSyncs. Nothing is written.

The plan is the controller's own, for the MeshSync that manages the cluster. If there is none yet, it is the plan of a first sync.
With -o diff each write is shown as a diff. What only the running controller knows begins anew: which objects somebody changed (it puts them right at
once), with whom it fights over them, and since when something waits for other clusters. Of a broken service the controller finds in Git how it was before and
keeps it so; here it is planned as left as it is in the cluster, nothing is deleted or narrowed beside it, and with spec.onError: Halt nothing is planned.

Exit status: 0 fine, 1 if a person has to act before all of it is done (findings, a brake, what would be refused), 2 could not run.`,
		Example: `  isthmus plan                                # the cluster of the current kubectl context
  isthmus plan --context east -o diff
  isthmus plan --context east --service cart
  isthmus plan --cluster west --context west  # before the controller is installed there
  isthmus plan -o json | jq '.actions[] | select(.effect | IN("changes", "replaces", "removes"))'  # what callers may notice`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.run(cmd) },
	}
	addRepoFlag(cmd, &p.repo)
	addLimitFlags(cmd, &p.repo)
	cmd.Flags().StringVar(&p.kubeconfig, "kubeconfig", "", "kubeconfig file (default: as kubectl finds it)")
	cmd.Flags().StringVar(&p.kubecontext, "context", "", "context of the kubeconfig (default: its current one)")
	cmd.Flags().StringVar(&p.meshSync, "meshsync", "", "plan for this MeshSync, NAMESPACE/NAME (default: the one that manages the cluster)")
	cmd.Flags().StringVar(&p.cluster, "cluster", "", "cluster of the inventory; needed only where no MeshSync says it")
	cmd.Flags().StringVar(&p.service, "service", "", "show only what is done for this service or external; the plan stays whole")
	addOutputFlag(cmd, &p.output, planForms...)
	completeClusterAndService(cmd, &p.repo)
	_ = cmd.RegisterFlagCompletionFunc("context", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return p.contexts(), cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

func (p *planning) run(cmd *cobra.Command) error {
	print, ok := map[string]func(*bufio.Writer, planned, style) error{"text": writePlanText, "diff": writePlanDiff, "json": writePlanJSON}[p.output]
	if !ok {
		return unknownOutput(p.output, planForms...)
	}
	// What its libraries log is told as an error, or of no concern.
	log.SetLogger(logr.Discard())
	shown := startProgress(cmd.ErrOrStderr())
	made, err := p.make(cmd.Context(), shown)
	shown.end()
	if err != nil {
		return p.refuse(cmd, nil, err, "nothing was planned")
	}
	if len(made.broken) > 0 {
		if err := p.refuse(cmd, nil, made.broken, made.withoutBroken()); !errors.Is(err, errFindings) {
			return err
		}
	}
	out := bufio.NewWriter(cmd.OutOrStdout())
	if err := errors.Join(print(out, made, styleFor(cmd.OutOrStdout())), out.Flush()); err != nil {
		return err
	}
	if made.needsSomebody() {
		return errFindings
	}
	return nil
}

// make asks the cluster who manages it, renders for that, and compares.
func (p *planning) make(ctx context.Context, shown *progress) (planned, error) {
	shown.step("asking the cluster")
	config, err := p.config()
	if err != nil {
		return planned{}, err
	}
	cluster, err := clusterClient(config)
	if err != nil {
		return planned{}, err
	}
	asked, cancel := context.WithTimeout(ctx, clusterTimeout)
	defer cancel()
	ms, err := p.manager(asked, cluster)
	if err != nil {
		return planned{}, err
	}
	p.cluster = ms.Spec.Cluster
	result, bundle, err := p.bundle(ctx, ms, shown)
	var unknown *usageError
	if errors.As(err, &unknown) && ms.UID != "" {
		return planned{}, fmt.Errorf("MeshSync %s/%s says that this is cluster %s: %w", ms.Namespace, ms.Name, ms.Spec.Cluster, err)
	}
	if err != nil {
		return planned{}, err
	}
	if err := p.knows(result); err != nil {
		return planned{}, err
	}

	shown.step("comparing with cluster %s", p.cluster)
	looking, cancel := context.WithTimeout(ctx, clusterTimeout)
	defer cancel()
	dynamicClient, err := dynamic.NewForConfig(config)
	if err != nil {
		return planned{}, err
	}
	live := clustercache.New(dynamicClient, istio.Kinds, nil)
	watching := make(chan error, 1)
	go func() { watching <- live.Start(looking) }()
	preview, err := syncrun.NewPreview(looking, cluster, live, ms, bundle)
	cancel()
	if err := errors.Join(err, <-watching); err != nil {
		return planned{}, fmt.Errorf("comparing with the cluster at %s: %w", config.Host, err)
	}
	return planned{Preview: preview, meshSync: ms, service: p.service, broken: bundle.Findings}, nil
}

func (p *planning) loader() clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = p.kubeconfig
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: p.kubecontext})
}

func (p *planning) config() (*rest.Config, error) {
	config, err := p.loader().ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("no cluster can be asked: %w; see --kubeconfig and --context", err)
	}
	// The API server sees to fairness.
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{}
	return config, nil
}

func (p *planning) contexts() []string {
	config, err := p.loader().RawConfig()
	if err != nil {
		return nil
	}
	var names []string
	for name := range config.Contexts {
		names = append(names, name)
	}
	return names
}

func clusterClient(config *rest.Config) (client.Client, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	return client.New(config, client.Options{Scheme: scheme})
}

// manager is the MeshSync that manages the cluster, or the one that was asked for. If there is none, it is one that nobody has made yet.
func (p *planning) manager(ctx context.Context, cluster client.Reader) (*v1alpha1.MeshSync, error) {
	all := &v1alpha1.MeshSyncList{}
	if err := cluster.List(ctx, all); err != nil && !meta.IsNoMatchError(err) {
		return nil, fmt.Errorf("listing the MeshSyncs of the cluster: %w", err)
	}
	ms := syncrun.Oldest(all.Items)
	if p.meshSync != "" {
		if ms = named(all.Items, p.meshSync); ms == nil {
			return nil, usagef("the cluster has no MeshSync %s%s", p.meshSync, suggestion(names(all.Items)))
		}
	}
	switch {
	case ms == nil && p.cluster == "":
		return nil, usagef("the cluster has no MeshSync yet, which would say which cluster of the inventory it is; name it with --cluster")
	case ms == nil:
		ms = &v1alpha1.MeshSync{Spec: v1alpha1.MeshSyncSpec{Cluster: p.cluster}}
		ms.Namespace, ms.Name = "isthmus-system", "mesh"
	case p.cluster != "" && p.cluster != ms.Spec.Cluster:
		return nil, usagef("this is cluster %s, as MeshSync %s/%s says, and not %s; see --context", ms.Spec.Cluster, ms.Namespace, ms.Name, p.cluster)
	}
	return ms, nil
}

func named(all []v1alpha1.MeshSync, name string) *v1alpha1.MeshSync {
	for i := range all {
		if all[i].Namespace+"/"+all[i].Name == name {
			return &all[i]
		}
	}
	return nil
}

func names(all []v1alpha1.MeshSync) []string {
	var names []string
	for i := range all {
		names = append(names, all[i].Namespace+"/"+all[i].Name)
	}
	return names
}

// planned is a plan and whose it is.
type planned struct {
	syncrun.Preview

	meshSync *v1alpha1.MeshSync
	// service is whose actions are shown, "" for all.
	service string
	// broken is what is wrong with the files, and does not keep the rest of them from being planned.
	broken manifest.Findings
}

// needsSomebody tells whether a person has to act before all of it is done.
func (p planned) needsSomebody() bool {
	return len(p.BlockedBy) > 0 || p.Refused > 0 || len(p.broken) > 0
}

// actions are those that are shown, in the order in which they are carried out.
func (p planned) actions() []plans.Action {
	if p.service == "" {
		return p.Plan.Actions
	}
	var some []plans.Action
	for _, action := range p.Plan.Actions {
		if action.Service == p.service {
			some = append(some, action)
		}
	}
	return some
}

// verb is what is done, as status.pending has it.
func verb(action plans.Action) string {
	if action.Adopts && action.Verb == plans.Update {
		return "adopt"
	}
	return string(action.Verb)
}

// heading says whose plan it is.
func (p planned) heading() string {
	ms := p.meshSync
	if ms.UID == "" {
		return fmt.Sprintf("Cluster %s has no MeshSync yet: this is what a first sync does.", ms.Spec.Cluster)
	}
	return fmt.Sprintf("Cluster %s, MeshSync %s/%s, has %s.", ms.Spec.Cluster, ms.Namespace, ms.Name, cmp.Or(ms.Status.LastAppliedRevision, "applied nothing yet"))
}

// summary counts what the whole plan does.
func (p planned) summary() string {
	var parts []string
	add := func(n int, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	counts := map[string]int{}
	for _, action := range p.Plan.Actions {
		counts[verb(action)]++
	}
	if n := len(p.Plan.Namespaces); n > 0 {
		parts = append(parts, count(n, "namespace")+" to make")
	}
	for _, v := range []struct{ verb, what string }{
		{"create", "to create"},
		{"update", "to update"},
		{"claim", "to claim"},
		{"adopt", "to adopt"},
		{"delete", "to delete"},
		{"wait", "that wait for other clusters"},
		{"withdraw", "being withdrawn"},
	} {
		add(counts[v.verb], v.what)
	}
	add(p.Skipped, "left alone")
	add(p.Refused, "refused")
	add(p.Plan.Unchanged, "unchanged")
	if len(parts) == 0 {
		return "nothing to do"
	}
	return strings.Join(parts, ", ")
}
