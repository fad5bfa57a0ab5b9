package shard

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/isthmus-mesh/isthmus/internal/evaluate/cueworker"
	"github.com/isthmus-mesh/isthmus/internal/evaluate/limits"
	"github.com/isthmus-mesh/isthmus/internal/sandbox"
)

// The search for an endless evaluation must end long before spec.timeout. So the parts of a search
// are many and have little time. A single item has more time, so that a slow service is not blamed:
// an ordinary service takes a few milliseconds.
const (
	partsOfSearch         = 16
	partCPUFraction       = 8
	singleItemCPUFraction = 3
	// minOverLimit parts must exceed a limit before a common cause is assumed.
	minOverLimit = 4
)

// bisect evaluates items in batches, several at the same time. A failing batch is bisected until
// the single failing item is found; alone is called with the item and its error while s.mu is
// locked. If most parts of a batch exceed a limit, the error is a [commonCauseError]. Any other
// error ends all batches.
func bisect[T any](
	ctx context.Context, s *Session, items []T, size int, do func(context.Context, cueworker.Caller, []T) error, alone func(T, error),
) error {
	b := &bisection[T]{pool: s.pool, cpu: s.Limits.Shard().CPU, mu: &s.mu, do: do, alone: alone}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(limits.Workers)
	for batch := range slices.Chunk(items, size) {
		group.Go(func() error { return b.try(ctx, batch) })
	}
	return group.Wait()
}

// bisection is one use of bisect.
type bisection[T any] struct {
	pool  *sandbox.Pool
	cpu   time.Duration
	mu    *sync.Mutex
	do    func(context.Context, cueworker.Caller, []T) error
	alone func(T, error)
}

func (b *bisection[T]) try(ctx context.Context, batch []T) error {
	of := 1
	if len(batch) == 1 {
		of = singleItemCPUFraction
	}
	err := b.do(ctx, b.within(of), batch)
	switch {
	case err == nil || ctx.Err() != nil || !isBlame(err):
		return err
	case len(batch) == 1:
		return b.blame(batch[0], err)
	case isLimit(err):
		return b.search(ctx, batch)
	}
	return b.halve(ctx, batch)
}

// within limits a child to a fraction of the processor time, but at least a second.
func (b *bisection[T]) within(of int) cueworker.Caller {
	return b.pool.Within(max((b.cpu / time.Duration(of)).Truncate(100*time.Millisecond), time.Second))
}

func (b *bisection[T]) halve(ctx context.Context, batch []T) error {
	half := len(batch) / 2
	if err := b.try(ctx, batch[:half]); err != nil {
		return err
	}
	return b.try(ctx, batch[half:])
}

// search finds the items for which a batch exceeded a limit.
func (b *bisection[T]) search(ctx context.Context, batch []T) error {
	if len(batch) == 1 {
		return b.try(ctx, batch)
	}
	parts := slices.Collect(slices.Chunk(batch, (len(batch)+partsOfSearch-1)/partsOfSearch))
	var mu sync.Mutex
	var over [][]T
	most := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(over) >= minOverLimit && 2*len(over) > len(parts)
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(limits.Workers)
	for _, part := range parts {
		group.Go(func() error {
			if most() {
				return nil
			}
			err := b.do(groupCtx, b.within(partCPUFraction), part)
			switch {
			case err == nil || groupCtx.Err() != nil || !isBlame(err):
				return err
			case !isLimit(err):
				return b.try(groupCtx, part)
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
		if err := b.probe(ctx, over); err != nil {
			return err
		}
		// The parts had too little time.
		return b.halve(ctx, batch)
	}
	for _, part := range over {
		if err := b.search(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// probe evaluates single items of two parts, with more time. It returns a commonCauseError if both
// exceed a limit.
func (b *bisection[T]) probe(ctx context.Context, over [][]T) error {
	var good atomic.Bool
	var why error
	group, ctx := errgroup.WithContext(ctx)
	for i, part := range over[:2] {
		group.Go(func() error {
			err := b.do(ctx, b.within(singleItemCPUFraction), part[:1])
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
	return &commonCauseError{cause: why}
}

func (b *bisection[T]) blame(item T, err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.alone(item, err)
	return nil
}
