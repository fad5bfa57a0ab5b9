package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/internal/cache"
	"github.com/isthmus-mesh/isthmus/internal/evaluate"
	"github.com/isthmus-mesh/isthmus/internal/istio"
	"github.com/isthmus-mesh/isthmus/internal/mesh"
	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/internal/source"
	"github.com/isthmus-mesh/isthmus/internal/vendoring"
)

// defaultTimeout bounds one evaluation. The resources of one cluster in a mesh of 1,000 services take about 5 s on two
// busy cores, and the time is linear in the services.
const defaultTimeout = 5 * time.Minute

// repository is the mesh repository that a command works on.
type repository struct {
	dir string
	// timeout and limits bound each evaluation, since CUE itself bounds nothing.
	timeout time.Duration
	limits  evaluate.Limits
	reading source.Limits
	// cacheDir is where results are kept for the next run, "" for nowhere.
	cacheDir string

	snapshot  *source.Snapshot
	cache     *cache.Store
	evaluator *evaluate.Evaluator
	renderer  *render.Renderer
}

// addRepoFlag gives a command its --repo.
func addRepoFlag(cmd *cobra.Command, repo *repository) {
	cmd.Flags().StringVar(&repo.dir, "repo", ".", "folder of the mesh repository, the one that holds cue.mod")
	_ = cmd.MarkFlagDirname("repo")
}

// addLimitFlags gives a command that evaluates its --timeout and the limits that the controller has, too.
func addLimitFlags(cmd *cobra.Command, repo *repository) {
	cmd.Flags().DurationVar(&repo.timeout, "timeout", defaultTimeout, "give up on an evaluation of the repository that takes longer")
	repo.limits = evaluate.DefaultLimits()
	cmd.Flags().Var(evaluate.SizeValue{Bytes: &repo.limits.Memory}, evaluate.MemoryFlag, "what an evaluation may use of memory")
	cmd.Flags().IntVar(&repo.limits.Objects, evaluate.ObjectsFlag, repo.limits.Objects, "how many resources a service may make for one cluster")
	cmd.Flags().DurationVar(&repo.limits.CPU, evaluate.CPUFlag, repo.limits.CPU, "what an evaluation may use of processor time")
	repo.reading = source.DefaultLimits()
	cmd.Flags().IntVar(&repo.reading.MaxFiles, source.FilesFlag, repo.reading.MaxFiles, "how many files the repository may have")
	cmd.Flags().Var(evaluate.SizeValue{Bytes: &repo.reading.MaxFileBytes}, source.FileSizeFlag, "how large a file may be")
	cmd.Flags().Var(evaluate.SizeValue{Bytes: &repo.reading.MaxTotalBytes}, source.TotalSizeFlag, "how large all files may be together")
	cmd.Flags().StringVar(&repo.cacheDir, "cache-dir", defaultCacheDir(), `folder where results are kept for the next run; "" for none`)
	_ = cmd.MarkFlagDirname("cache-dir")
}

// defaultCacheDir is the user's, "" if there is none.
func defaultCacheDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "isthmus", "evaluations")
}

// prepare makes what evaluates and renders. A cache that cannot be used costs time, and is no reason to do nothing.
func (r *repository) prepare() {
	if r.evaluator != nil {
		return
	}
	if r.cacheDir != "" {
		r.cache, _ = cache.Open(r.cacheDir, 0)
	}
	r.evaluator = evaluate.New(r.limits, r.cache)
}

// prepareRendering is prepare for who renders as well.
func (r *repository) prepareRendering() error {
	r.prepare()
	if r.renderer != nil {
		return nil
	}
	validator, err := istio.NewValidator()
	if err != nil {
		return fmt.Errorf("reading the embedded CRDs of Istio: %w", err)
	}
	r.renderer = render.New(validator, r.cache)
	return nil
}

// read takes the files as they are now. A folder that is no mesh repository is refused before anything below it is read:
// it may be a whole disk.
func (r *repository) read(ctx context.Context) error {
	if r.timeout <= 0 {
		return usagef("--timeout must be more than zero, but is %s", r.timeout)
	}
	if err := r.limits.Validate(); err != nil {
		return usagef("%v", err)
	}
	if info, err := os.Stat(r.dir); err == nil && info.IsDir() && !isRepository(r.dir) {
		return r.noRepository()
	}
	snapshot, err := source.FromDir(ctx, r.dir, r.reading)
	if err != nil {
		return err
	}
	r.snapshot = snapshot
	return nil
}

// evaluate evaluates for a cluster, or for none ("").
func (r *repository) evaluate(ctx context.Context, cluster string) (result *evaluate.Result, err error) {
	r.prepare()
	err = r.inTime(ctx, func(ctx context.Context) error {
		result, err = r.evaluator.Evaluate(ctx, r.snapshot, evaluate.Options{Cluster: cluster})
		return err
	})
	return result, err
}

// inTime ends an evaluation that takes too long, and says so.
func (r *repository) inTime(ctx context.Context, do func(context.Context) error) error {
	late := fmt.Errorf("evaluating the mesh repository took more than %s; either a comprehension in it does not end, or it needs longer: see --timeout", r.timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, r.timeout, late)
	defer cancel()
	err := do(ctx)
	if err != nil && errors.Is(context.Cause(ctx), late) {
		return late
	}
	return err
}

// bundle renders for a cluster and holds the resources against Istio's rules.
func (r *repository) bundle(ctx context.Context, cluster string) (*evaluate.Result, *render.Bundle, error) {
	if err := r.prepareRendering(); err != nil {
		return nil, nil, err
	}
	result, err := r.evaluate(ctx, cluster)
	if err != nil {
		return nil, nil, err
	}
	view, err := mesh.NewView(result.Mesh, cluster)
	if err != nil {
		return nil, nil, err
	}
	bundle, err := r.renderer.Render(view, result, "")
	return result, bundle, err
}

// noRepository says that the folder is no mesh repository, and what to try.
func (r *repository) noRepository() error {
	hint := "Is the path right? `isthmus init` makes a mesh repository"
	if up := r.furtherUp(); up != "" {
		hint = fmt.Sprintf("There is a mesh repository further up: try --repo %s", up)
	}
	return fmt.Errorf("%s is no mesh repository: %s is missing. %s", r.dir, vendoring.ModuleFile, hint)
}

// furtherUp is the path to the mesh repository that the folder lies in, "" if it lies in none.
func (r *repository) furtherUp() string {
	dir, err := filepath.Abs(r.dir)
	if err != nil {
		return ""
	}
	up := r.dir
	for parent := filepath.Dir(dir); parent != dir; dir, parent = parent, filepath.Dir(parent) {
		up = filepath.Join(up, "..")
		if isRepository(parent) {
			return up
		}
	}
	return ""
}

func isRepository(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(vendoring.ModuleFile)))
	return err == nil && info.Mode().IsRegular()
}
