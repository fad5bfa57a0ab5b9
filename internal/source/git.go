package source

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
)

// Git fetches one ref of one repository repeatedly and transfers only new objects. It keeps the
// objects of one commit in memory, without history. It is safe for concurrent use; fetches are
// serialized.
type Git struct {
	options Options
	remote  *remote

	// fetchSlot holds a token while no fetch runs. The owner of the token owns current and last.
	fetchSlot chan struct{}
	current   *fetched
	last      *Snapshot
	// abandoned counts running fetches whose callers have returned.
	abandoned atomic.Int32
}

// fetched is a repository in memory with one commit.
type fetched struct {
	objects       *objects
	target        target
	commit        *object.Commit
	tag           *object.Tag
	rewrittenFrom string
	// tooLarge is set if the repository exceeds its limit. It is not transferred again until the
	// ref moves.
	tooLarge error
	// snapshot is nil until the commit has passed all checks. The checks are repeated by each
	// fetch, without a transfer.
	snapshot *Snapshot
}

// maxAbandoned bounds the abandoned fetches. Over ssh, go-git ignores the context while it
// connects; such a fetch ends with the deadline of its connection.
const maxAbandoned = 4

// New checks the options without using the network. The error is an [*Error].
func New(o Options) (*Git, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	r, err := newRemote(o)
	if err != nil {
		return nil, err
	}
	g := &Git{options: o, remote: r, fetchSlot: make(chan struct{}, 1)}
	g.fetchSlot <- struct{}{}
	return g, nil
}

// Fetch returns the files of the current commit of the ref. It first lists the refs of the server,
// and returns the previous Snapshot if nothing changed. A pinned commit is fetched once and then
// served without the network.
//
// previous is the last commit of the same branch that the caller knows, "" if none. After a restart
// it allows Fetch to set RewrittenFrom. By default it is the last commit that this Git fetched.
//
// Fetch returns at the latest when ctx ends. The error is an [*Error]; earlier Snapshots stay
// usable. A failed transfer is discarded, and the next call starts from scratch.
func (g *Git) Fetch(ctx context.Context, previous string) (*Snapshot, error) {
	select {
	case <-g.fetchSlot:
		defer func() { g.fetchSlot <- struct{}{} }()
	case <-ctx.Done():
		return nil, g.remote.classify("fetch", fmt.Errorf("another fetch is running: %w", ctx.Err()))
	}
	if previous == "" && g.last != nil {
		previous = g.last.Commit
	}
	// The fetch owns the repository while it runs. If ctx ends first, the repository is lost with
	// it.
	before := g.current
	g.current = nil
	after, err := inBackground(ctx, g, func() (*fetched, error) { return g.update(ctx, before, previous) })
	g.current = after
	if err != nil {
		return nil, err
	}
	g.last = after.snapshot
	return after.snapshot, nil
}

// FetchCommit returns the files of one commit by its hash. It neither uses nor changes the state of
// Fetch. It fails if a tag must be verified, because a bare commit has none. The error is an
// [*Error].
func (g *Git) FetchCommit(ctx context.Context, hash string) (*Snapshot, error) {
	if err := (Ref{Commit: hash}).validate(); err != nil {
		return nil, err
	}
	f, err := inBackground(ctx, g, func() (*fetched, error) { return g.fetchPinned(ctx, plumbing.NewHash(hash), "") })
	if err != nil {
		return nil, err
	}
	return f.snapshot, nil
}

// inBackground returns when the fetch or ctx ends, whichever is first.
func inBackground(ctx context.Context, g *Git, fetch func() (*fetched, error)) (*fetched, error) {
	if n := g.abandoned.Load(); n >= maxAbandoned {
		return nil, fetchFailed("cannot fetch %s: %d earlier fetches have not returned yet, the server accepts connections but does not answer", g.remote.display, n)
	}
	// ended is set by the side that ends first: the fetch, or the caller.
	var ended atomic.Bool
	type outcome struct {
		fetched *fetched
		err     error
	}
	done := make(chan outcome, 1)
	go func() {
		f, err := fetch()
		done <- outcome{f, err}
		if !ended.CompareAndSwap(false, true) {
			g.abandoned.Add(-1)
		}
	}()
	select {
	case o := <-done:
		return o.fetched, o.err
	case <-ctx.Done():
		// Added before the swap, so that the count never falls below zero.
		g.abandoned.Add(1)
		if !ended.CompareAndSwap(false, true) {
			g.abandoned.Add(-1)
		}
		return nil, g.remote.classify("fetch", ctx.Err())
	}
}

// update brings the repository to the state of the remote. On an error it returns the repository to
// keep, which is nil only if a transfer into it failed.
func (g *Git) update(ctx context.Context, before *fetched, previous string) (*fetched, error) {
	if g.options.Ref.Commit != "" {
		return g.updatePinned(ctx, before)
	}
	advertised, err := g.remote.list(ctx)
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		return nil, contentRefused("repository "+g.remote.display, manifest.Findings{{Message: "it is empty: push a first commit"}})
	}
	if err != nil {
		return before, g.remote.classify("list the refs of", err)
	}
	want, err := g.options.Ref.resolve(advertised, g.remote.display)
	if err != nil {
		return before, err
	}
	if before != nil && before.target == want {
		return g.check(ctx, before)
	}

	s := newObjects(ctx, g.options.Limits)
	if before != nil {
		s = before.objects
	}
	got, err := g.remote.transfer(ctx, s, want)
	if err != nil && ReasonFor(err) == ContentRefused {
		// For a tag the commit is not known: an annotated tag is an object of its own.
		if !want.name.IsTag() {
			err = withRevision(err, want.revision(want.hash), "")
		}
		return &fetched{objects: newObjects(ctx, g.options.Limits), target: want, tooLarge: err}, err
	}
	if err != nil {
		return nil, g.remote.classify("fetch "+want.name.Short()+" from", err)
	}
	after, err := g.pruned(s, got)
	if err != nil {
		return nil, err
	}
	if before == nil || before.target.name == got.name {
		after.rewrittenFrom = g.rewrittenFrom(ctx, after, previous)
	}
	return g.check(ctx, after)
}

func (g *Git) updatePinned(ctx context.Context, before *fetched) (*fetched, error) {
	if before != nil {
		return g.check(ctx, before)
	}
	return g.fetchPinned(ctx, plumbing.NewHash(g.options.Ref.Commit), g.options.Ref.Branch)
}

// fetchPinned fetches one commit by its hash.
func (g *Git) fetchPinned(ctx context.Context, commit plumbing.Hash, branch string) (*fetched, error) {
	s, err := g.remote.transferCommit(ctx, commit, branch, g.options.Limits)
	if err != nil {
		return nil, g.remote.classify("fetch commit "+commit.String()+" from", err)
	}
	f, err := g.pruned(s, target{hash: commit})
	if err != nil {
		return nil, err
	}
	return g.check(ctx, f)
}

// pruned removes all objects that the commit of the target does not need.
func (g *Git) pruned(s *objects, t target) (*fetched, error) {
	commit, tag, err := s.pruneTo(t.hash)
	if err != nil {
		return nil, g.remote.classify("read the objects from", err)
	}
	return &fetched{objects: s, target: t, commit: commit, tag: tag}, nil
}

// rewrittenFrom returns previous if the branch provably no longer contains it, otherwise "".
func (g *Git) rewrittenFrom(ctx context.Context, f *fetched, previous string) string {
	if !f.target.name.IsBranch() || !fullHash.MatchString(previous) || previous == f.commit.Hash.String() {
		return ""
	}
	contained, ok := g.remote.contains(ctx, f.commit, plumbing.NewHash(previous))
	if !ok || contained {
		return ""
	}
	return previous
}

// check verifies the signature of the commit and reads its files, unless this was done before.
func (g *Git) check(ctx context.Context, f *fetched) (*fetched, error) {
	if f.snapshot != nil {
		return f, nil
	}
	if f.tooLarge != nil {
		return f, f.tooLarge
	}
	revision := f.target.revision(f.commit.Hash)
	signer, err := g.options.Verify.signer(f.target.name, f.commit, f.tag)
	if err != nil {
		return f, withRevision(err, revision, f.rewrittenFrom)
	}
	files, rejected, err := f.objects.readCommit(ctx, f.commit, g.options.Path, g.options.Limits)
	if err != nil {
		return f, withRevision(g.remote.classify("read the files of", err), revision, f.rewrittenFrom)
	}
	f.snapshot = &Snapshot{
		Revision:      revision,
		Commit:        f.commit.Hash.String(),
		Signer:        signer,
		RewrittenFrom: f.rewrittenFrom,
		Files:         files,
		Rejected:      rejected,
	}
	return f, nil
}
