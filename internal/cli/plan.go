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

// clusterTimeout bounds all requests to a cluster. Listing 10,000 objects takes seconds.
const clusterTimeout = time.Minute

var planForms = []string{"text", "diff", "json"}

// planning holds the options of the plan command.
type planning struct {
	rendering

	kubeconfig, kubecontext, meshSync string
}

func newPlan() *cobra.Command {
	var p planning
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what the controller of a cluster would do with the files in the folder",
		Long: `Show what the controller of a cluster would do if the files in the folder were the next commit. The plan
lists each object in the order of the writes, with its verb, its changed fields, its effect on callers and
the reason. With -o diff each write is shown as a diff. Nothing is written.

The verbs are:
  create, update, claim, adopt, delete   the object is written
  skip      the object differs, but it is not changed now
  refuse    a conflict blocks the object, for example an object of another owner
  withdraw  the object left the repository, and stays for a while for callers in other clusters
  defer     the object waits until other clusters can publish the endpoints
  report    the object has only one of the two marks of Isthmus, and is not changed

The plan is for the MeshSync that manages the cluster. If there is none yet, it is the plan of a first sync.
The command reads the cluster with your kubeconfig. It needs get, list and watch on Istio's kinds, Services
and Namespaces, and list on MeshSyncs.

The plan does not have the memory of the running controller: which objects drifted, which objects are in a
fight, and since when routing is deferred. If a service is broken, its objects are skipped and nothing else is
removed. The controller removes more, because it finds the last known good manifest in Git. With
spec.onError: Halt there is no plan.

Exit status: 0 nothing needs you, 1 a user must act first (findings, a guard, a refused object), 2 could not run.`,
		Example: `  isthmus plan                                # the cluster of the current kubectl context
  isthmus plan --context east -o diff
  isthmus plan --context east --service cart
  isthmus plan --cluster west --context west  # before the controller is installed
  isthmus plan -o json | jq '.actions[] | select(.effect | IN("changes", "replaces", "removes"))'  # what may break calls`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.run(cmd) },
	}
	addRepoFlag(cmd, &p.repo)
	addLimitFlags(cmd, &p.repo)
	cmd.Flags().StringVar(&p.kubeconfig, "kubeconfig", "", "kubeconfig file (default: as kubectl finds it)")
	cmd.Flags().StringVar(&p.kubecontext, "context", "", "context of the kubeconfig (default: its current one)")
	cmd.Flags().StringVar(&p.meshSync, "meshsync", "", "plan for this MeshSync, NAMESPACE/NAME (default: the one that manages the cluster)")
	cmd.Flags().StringVar(&p.cluster, "cluster", "", "cluster of the inventory; required if the cluster has no MeshSync")
	cmd.Flags().StringVar(&p.service, "service", "", "show only the actions for this service or external; the plan is still made for all")
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
	// Errors are returned. Other logs of the libraries do not matter to the user.
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
	if made.needsUser() {
		return errFindings
	}
	return nil
}

// make reads the MeshSync of the cluster, renders its bundle, and compares it with the cluster.
func (p *planning) make(ctx context.Context, shown *progress) (planned, error) {
	shown.step("reading the MeshSyncs of the cluster")
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
		return planned{}, fmt.Errorf("spec.cluster of MeshSync %s/%s is %s: %w", ms.Namespace, ms.Name, ms.Spec.Cluster, err)
	}
	if err != nil {
		return planned{}, err
	}
	if err := p.checkService(result); err != nil {
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
		return nil, fmt.Errorf("reading the kubeconfig: %w; see --kubeconfig and --context", err)
	}
	// No client-side limit: API Priority and Fairness of the server limits requests.
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

// manager returns the MeshSync that manages the cluster, or the one of --meshsync. If the cluster has
// none, it returns a new one without UID.
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
		return nil, usagef("the cluster has no MeshSync yet; name the cluster of the inventory with --cluster")
	case ms == nil:
		ms = &v1alpha1.MeshSync{Spec: v1alpha1.MeshSyncSpec{Cluster: p.cluster}}
		ms.Namespace, ms.Name = "isthmus-system", "mesh"
	case p.cluster != "" && p.cluster != ms.Spec.Cluster:
		return nil, usagef("spec.cluster of MeshSync %s/%s is %s, but --cluster is %s; see --context", ms.Namespace, ms.Name, ms.Spec.Cluster, p.cluster)
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

// planned is a plan and the MeshSync that it is for.
type planned struct {
	syncrun.Preview

	meshSync *v1alpha1.MeshSync
	// service limits the printed actions to one service; "" prints all.
	service string
	// broken are the findings of broken services. The rest of the repository is planned.
	broken manifest.Findings
}

// needsUser reports whether a user must act before the whole plan can be carried out.
func (p planned) needsUser() bool {
	return len(p.BlockedBy) > 0 || p.Refused > 0 || len(p.broken) > 0
}

// actions returns the actions to print, in the order of the writes.
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

// verb is the verb of an action, as in status.pending.
func verb(action plans.Action) string {
	if action.Adopts && action.Verb == plans.Update {
		return "adopt"
	}
	return string(action.Verb)
}

// heading names the cluster, its MeshSync and the applied revision.
func (p planned) heading() string {
	ms := p.meshSync
	if ms.UID == "" {
		return fmt.Sprintf("Cluster %s has no MeshSync yet. This is the plan of a first sync.", ms.Spec.Cluster)
	}
	return fmt.Sprintf("Cluster %s, MeshSync %s/%s, applied revision: %s", ms.Spec.Cluster, ms.Namespace, ms.Name, cmp.Or(ms.Status.LastAppliedRevision, "none"))
}

// summary counts the actions of the whole plan.
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
		parts = append(parts, count(n, "namespace")+" to create")
	}
	for _, v := range []struct{ verb, what string }{
		{"create", "to create"},
		{"update", "to update"},
		{"claim", "to claim"},
		{"adopt", "to adopt"},
		{"delete", "to delete"},
		{"defer", "deferred"},
		{"withdraw", "withdrawing"},
	} {
		add(counts[v.verb], v.what)
	}
	add(p.Skipped, "skipped")
	add(p.Refused, "refused")
	add(p.Plan.Unchanged, "unchanged")
	if len(parts) == 0 {
		return "nothing to do"
	}
	return strings.Join(parts, ", ")
}
