package evaluate

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/sandbox"
)

// workers is how many children evaluate at the same time.
const workers = 2

// divide has items evaluated in batches, several at a time. A batch of which nothing can be made is halved, and its halves again, until
// the one item is found that is to blame; alone is told of it, with mu locked. Any other error ends all.
func divide[T any](ctx context.Context, mu *sync.Mutex, items []T, size int, do func(context.Context, []T) error, alone func(T, error)) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	var try func(batch []T) error
	try = func(batch []T) error {
		err := do(ctx, batch)
		if err == nil || ctx.Err() != nil || !isBlame(err) {
			return err
		}
		if len(batch) == 1 {
			mu.Lock()
			defer mu.Unlock()
			alone(batch[0], err)
			return nil
		}
		half := len(batch) / 2
		if err := try(batch[:half]); err != nil {
			return err
		}
		return try(batch[half:])
	}
	for len(items) > 0 {
		batch := items[:min(size, len(items))]
		items = items[len(batch):]
		group.Go(func() error { return try(batch) })
	}
	return group.Wait()
}

// isBlame tells whether an evaluation failed for what it evaluated.
func isBlame(err error) bool {
	var findings manifest.Findings
	var limit *sandbox.LimitError
	var crash *sandbox.CrashError
	switch {
	case errors.As(err, &findings):
		return true
	case errors.As(err, &limit):
		return limit.What != sandbox.Time
	case errors.As(err, &crash):
		return crash.Reason == goGaveUp
	}
	return false
}
