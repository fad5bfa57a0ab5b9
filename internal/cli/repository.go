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

// defaultTimeout bounds one evaluation. The resources of one cluster in a mesh of 1,000 services take
// about 5 s on two busy cores. The time is linear in the number of services.
const defaultTimeout = 5 * time.Minute

// repository is the mesh repository that a command works on.
type repository struct {
	dir string
	// timeout and limits bound each evaluation, because CUE has no limits.
	timeout time.Duration
	limits  evaluate.Limits
	reading source.Limits
	// cacheDir is the folder of cached results, "" for none.
	cacheDir string

	snapshot  *source.Snapshot
	cache     *cache.Store
	evaluator *evaluate.Evaluator
	renderer  *render.Renderer
}

// addRepoFlag adds --repo.
func addRepoFlag(cmd *cobra.Command, repo *repository) {
	cmd.Flags().StringVar(&repo.dir, "repo", ".", "folder of the mesh repository, which contains cue.mod")
	_ = cmd.MarkFlagDirname("repo")
}

// addLimitFlags adds --timeout, --cache-dir and the limits that the controller has, too.
func addLimitFlags(cmd *cobra.Command, repo *repository) {
	cmd.Flags().DurationVar(&repo.timeout, "timeout", defaultTimeout, "limit of the time of an evaluation of the repository")
	repo.limits = evaluate.DefaultLimits()
	cmd.Flags().Var(evaluate.SizeValue{Bytes: &repo.limits.Memory}, evaluate.MemoryFlag, "limit of the memory of an evaluation")
	cmd.Flags().IntVar(&repo.limits.Objects, evaluate.ObjectsFlag, repo.limits.Objects, "limit of the resources of one service in one cluster")
	cmd.Flags().DurationVar(&repo.limits.CPU, evaluate.CPUFlag, repo.limits.CPU, "limit of the processor time of an evaluation")
	repo.reading = source.DefaultLimits()
	cmd.Flags().IntVar(&repo.reading.MaxFiles, source.FilesFlag, repo.reading.MaxFiles, "limit of the number of files in the repository")
	cmd.Flags().Var(evaluate.SizeValue{Bytes: &repo.reading.MaxFileBytes}, source.FileSizeFlag, "limit of the size of a file")
	cmd.Flags().Var(evaluate.SizeValue{Bytes: &repo.reading.MaxTotalBytes}, source.TotalSizeFlag, "limit of the total size of all files")
	cmd.Flags().StringVar(&repo.cacheDir, "cache-dir", defaultCacheDir(), `folder of cached results for the next run; "" disables the cache`)
	_ = cmd.MarkFlagDirname("cache-dir")
}

// defaultCacheDir returns a folder in the cache folder of the user, "" if there is none.
func defaultCacheDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "isthmus", "evaluations")
}

// prepare creates the evaluator. A cache that cannot be opened only costs time, so it is not an error.
func (r *repository) prepare() {
	if r.evaluator != nil {
		return
	}
	if r.cacheDir != "" {
		r.cache, _ = cache.Open(r.cacheDir, 0)
	}
	r.evaluator = evaluate.New(r.limits, r.cache)
}

// prepareRendering also creates the renderer.
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

// read reads the files. A folder that is not a mesh repository is rejected before its files are read: it
// may be a whole disk.
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

// evaluate evaluates the mesh for a cluster; "" is for no cluster.
func (r *repository) evaluate(ctx context.Context, cluster string) (result *evaluate.Result, err error) {
	r.prepare()
	err = r.inTime(ctx, func(ctx context.Context) error {
		result, err = r.evaluator.Evaluate(ctx, r.snapshot, evaluate.Options{Cluster: cluster})
		return err
	})
	return result, err
}

// inTime stops an evaluation after the timeout.
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

// bundle renders for a cluster and validates the resources with Istio's rules.
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

// noRepository is the error for a folder that is not a mesh repository.
func (r *repository) noRepository() error {
	hint := "Check the path, or create a mesh repository with `isthmus init`"
	if up := r.furtherUp(); up != "" {
		hint = fmt.Sprintf("There is a mesh repository further up: try --repo %s", up)
	}
	return fmt.Errorf("%s is not a mesh repository: %s is missing. %s", r.dir, vendoring.ModuleFile, hint)
}

// furtherUp returns the path of the mesh repository that contains the folder, "" if there is none.
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
