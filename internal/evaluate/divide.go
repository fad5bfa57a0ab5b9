package evaluate

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/sandbox"
)

// workers is how many children evaluate at the same time.
const workers = 2

// A search for what never ends has to be over long before spec.timeout is. So its parts are many, and have little time; one item by itself has
// more again, since nobody shall be blamed who is only slow: an ordinary service takes a few milliseconds.
const (
	partsOfSearch = 16
	partOfCPU     = 8
	aloneOfCPU    = 3
	// mostAtLeast parts have to be over a limit before what they share is suspected.
	mostAtLeast = 4
)

// caller makes calls to children.
type caller interface {
	Call(ctx context.Context, handler string, request []byte) ([]byte, error)
}

// divide has items evaluated in batches, several at a time. A batch of which nothing can be made is cut into parts, and these again, until
// the one item is found that is to blame; alone is told of it, with mu locked. Where most parts of a batch go over a limit it is none of the
// items, but what they share, and the error is a [sharedError]. Any other error ends all.
func divide[T any](
	ctx context.Context, r *run, mu *sync.Mutex, items []T, size int, do func(context.Context, caller, []T) error, alone func(T, error),
) error {
	d := &division[T]{pool: r.pool, cpu: r.limits.shard().CPU, mu: mu, do: do, alone: alone}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for batch := range slices.Chunk(items, size) {
		group.Go(func() error { return d.try(ctx, batch) })
	}
	return group.Wait()
}

// division is one use of divide.
type division[T any] struct {
	pool  *sandbox.Pool
	cpu   time.Duration
	mu    *sync.Mutex
	do    func(context.Context, caller, []T) error
	alone func(T, error)
}

func (d *division[T]) try(ctx context.Context, batch []T) error {
	of := 1
	if len(batch) == 1 {
		of = aloneOfCPU
	}
	err := d.do(ctx, d.within(of), batch)
	switch {
	case err == nil || ctx.Err() != nil || !isBlame(err):
		return err
	case len(batch) == 1:
		return d.blame(batch[0], err)
	case isLimit(err):
		return d.search(ctx, batch)
	}
	return d.halve(ctx, batch)
}

// within has children that have a part of the time, but enough to begin with.
func (d *division[T]) within(of int) caller {
	return d.pool.Within(max((d.cpu / time.Duration(of)).Truncate(100*time.Millisecond), time.Second))
}

func (d *division[T]) halve(ctx context.Context, batch []T) error {
	half := len(batch) / 2
	if err := d.try(ctx, batch[:half]); err != nil {
		return err
	}
	return d.try(ctx, batch[half:])
}

// search finds what took a batch over a limit.
func (d *division[T]) search(ctx context.Context, batch []T) error {
	if len(batch) == 1 {
		return d.try(ctx, batch)
	}
	parts := slices.Collect(slices.Chunk(batch, (len(batch)+partsOfSearch-1)/partsOfSearch))
	var mu sync.Mutex
	var over [][]T
	most := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(over) >= mostAtLeast && 2*len(over) > len(parts)
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for _, part := range parts {
		group.Go(func() error {
			if most() {
				return nil
			}
			err := d.do(groupCtx, d.within(partOfCPU), part)
			switch {
			case err == nil || groupCtx.Err() != nil || !isBlame(err):
				return err
			case !isLimit(err):
				return d.try(groupCtx, part)
			}
			mu.Lock()
			defer mu.Unlock()
			over = append(over, part)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if most() {
		if err := d.sample(ctx, over); err != nil {
			return err
		}
		// The parts had too little time.
		return d.halve(ctx, batch)
	}
	for _, part := range over {
		if err := d.search(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// sample tells, by items of two parts, whether most are over a limit however much time they have.
func (d *division[T]) sample(ctx context.Context, over [][]T) error {
	var good atomic.Bool
	var why error
	group, ctx := errgroup.WithContext(ctx)
	for i, part := range over[:2] {
		group.Go(func() error {
			err := d.do(ctx, d.within(aloneOfCPU), part[:1])
			switch {
			case err == nil:
				good.Store(true)
			case ctx.Err() != nil || !isBlame(err):
				return err
			case !isLimit(err):
				good.Store(true)
			case i == 0:
				why = err
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil || good.Load() {
		return err
	}
	return &sharedError{cause: why}
}

func (d *division[T]) blame(item T, err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.alone(item, err)
	return nil
}

// sharedError is what many items go over a limit for, and none of them can help.
type sharedError struct{ cause error }

func (e *sharedError) Error() string { return e.cause.Error() }
func (e *sharedError) Unwrap() error { return e.cause }

// isBlame tells whether an evaluation failed for what it evaluated.
func isBlame(err error) bool {
	var findings manifest.Findings
	return errors.As(err, &findings) || isLimit(err)
}

// isLimit tells whether an evaluation was ended, or gave up, before there was an answer.
func isLimit(err error) bool {
	var limit *sandbox.LimitError
	var crash *sandbox.CrashError
	return errors.As(err, &limit) && limit.What != sandbox.Time || errors.As(err, &crash) && crash.Reason == goGaveUp
}
