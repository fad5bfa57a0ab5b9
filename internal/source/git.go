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

// Git fetches one ref of one repository again and again, transferring only what is new. It keeps the objects
// of one commit in memory, without history. It is safe for concurrent use; fetches follow one another.
type Git struct {
	options Options
	remote  *remote

	// turn holds a token while nobody fetches; what follows is the owner's.
	turn chan struct{}
	held *held
	last *Snapshot
	// abandoned counts fetches under way that nobody waits for any more.
	abandoned atomic.Int32
}

// held is a repository in memory and the one commit in it.
type held struct {
	objects       *objects
	target        target
	commit        *object.Commit
	tag           *object.Tag
	rewrittenFrom string
	// refused is set if the repository was too large to transfer; it is not tried again until the ref moves.
	refused error
	// snapshot is nil while the commit is refused or not verified; it then is judged again, without transfer.
	snapshot *Snapshot
}

// maxAbandoned bounds the fetches that are left hanging. Over ssh, go-git looks at no context while it
// connects; such a fetch ends with the deadline of its connection.
const maxAbandoned = 4

// New checks the options; it does not touch the network. The error is an [*Error].
func New(o Options) (*Git, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	r, err := newRemote(o)
	if err != nil {
		return nil, err
	}
	g := &Git{options: o, remote: r, turn: make(chan struct{}, 1)}
	g.turn <- struct{}{}
	return g, nil
}

// Fetch gives the files that the ref means now. It first asks the server for its refs only, and if nothing
// changed returns the very Snapshot of the last call. A pinned commit is fetched once and then served without
// the network.
//
// known is the commit that the caller had before, of the same branch, "" if none: after a restart it lets
// RewrittenFrom be told. Without it the last commit fetched here counts.
//
// Fetch returns when ctx ends, at the latest. An error leaves the Snapshots that were returned before usable;
// it is an [*Error]. What failed to be transferred is thrown away, and the next call begins anew.
func (g *Git) Fetch(ctx context.Context, known string) (*Snapshot, error) {
	select {
	case <-g.turn:
		defer func() { g.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, g.remote.classify("fetch", fmt.Errorf("another fetch is under way: %w", ctx.Err()))
	}
	if known == "" && g.last != nil {
		known = g.last.Commit
	}
	// The fetch owns the repository while it runs. If we leave before it does, the repository goes with it.
	before := g.held
	g.held = nil
	after, err := inBackground(ctx, g, func() (*held, error) { return g.advance(ctx, before, known) })
	g.held = after
	if err != nil {
		return nil, err
	}
	g.last = after.snapshot
	return after.snapshot, nil
}

// FetchCommit gives the files of one commit by its hash, beside what Fetch holds. With verification of tags
// it is refused: a bare commit has none. The error is an [*Error].
func (g *Git) FetchCommit(ctx context.Context, hash string) (*Snapshot, error) {
	if err := (Ref{Commit: hash}).validate(); err != nil {
		return nil, err
	}
	h, err := inBackground(ctx, g, func() (*held, error) { return g.pin(ctx, plumbing.NewHash(hash), "") })
	if err != nil {
		return nil, err
	}
	return h.snapshot, nil
}

// inBackground waits for a fetch or the end of ctx, whichever is first.
func inBackground(ctx context.Context, g *Git, fetch func() (*held, error)) (*held, error) {
	if n := g.abandoned.Load(); n >= maxAbandoned {
		return nil, fetchFailed("cannot fetch %s: %d earlier fetches have not returned yet, the server accepts connections but does not answer", g.remote.shown, n)
	}
	// settled is taken by whoever is first: the fetch by returning, or the caller by leaving.
	var settled atomic.Bool
	type outcome struct {
		held *held
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		h, err := fetch()
		done <- outcome{h, err}
		if !settled.CompareAndSwap(false, true) {
			g.abandoned.Add(-1)
		}
	}()
	select {
	case o := <-done:
		return o.held, o.err
	case <-ctx.Done():
		// Counted before it is settled, so that the count never falls below zero.
		g.abandoned.Add(1)
		if !settled.CompareAndSwap(false, true) {
			g.abandoned.Add(-1)
		}
		return nil, g.remote.classify("fetch", ctx.Err())
	}
}

// advance brings what is held to what the remote has. It returns what is to be held afterwards also with an
// error: a repository is thrown away only if a transfer into it failed.
func (g *Git) advance(ctx context.Context, before *held, known string) (*held, error) {
	if g.options.Ref.Commit != "" {
		return g.advancePinned(ctx, before)
	}
	advertised, err := g.remote.list(ctx)
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		return nil, contentRefused("repository "+g.remote.shown, manifest.Findings{{Message: "it is empty: push a first commit"}})
	}
	if err != nil {
		return before, g.remote.classify("list the refs of", err)
	}
	want, err := g.options.Ref.resolve(advertised, g.remote.shown)
	if err != nil {
		return before, err
	}
	if before != nil && before.target == want {
		return g.judge(ctx, before)
	}

	s := newObjects(ctx, g.options.Limits)
	if before != nil {
		s = before.objects
	}
	got, err := g.remote.transfer(ctx, s, want)
	if err != nil && ReasonFor(err) == ContentRefused {
		if !want.name.IsTag() { // A tag may be an object of its own, and the commit it points at is not here.
			err = about(err, want.revision(want.hash), "")
		}
		return &held{objects: newObjects(ctx, g.options.Limits), target: want, refused: err}, err
	}
	if err != nil {
		return nil, g.remote.classify("fetch "+want.name.Short()+" from", err)
	}
	after, err := g.hold(s, got)
	if err != nil {
		return nil, err
	}
	if before == nil || before.target.name == got.name {
		after.rewrittenFrom = g.rewrittenFrom(ctx, after, known)
	}
	return g.judge(ctx, after)
}

func (g *Git) advancePinned(ctx context.Context, before *held) (*held, error) {
	if before != nil {
		return g.judge(ctx, before)
	}
	return g.pin(ctx, plumbing.NewHash(g.options.Ref.Commit), g.options.Ref.Branch)
}

// pin fetches one commit.
func (g *Git) pin(ctx context.Context, commit plumbing.Hash, branch string) (*held, error) {
	s, err := g.remote.transferCommit(ctx, commit, branch, g.options.Limits)
	if err != nil {
		return nil, g.remote.classify("fetch commit "+commit.String()+" from", err)
	}
	h, err := g.hold(s, target{hash: commit})
	if err != nil {
		return nil, err
	}
	return g.judge(ctx, h)
}

// hold forgets all but the target's commit.
func (g *Git) hold(s *objects, t target) (*held, error) {
	commit, tag, err := s.keepOnly(t.hash)
	if err != nil {
		return nil, g.remote.classify("read what was fetched from", err)
	}
	return &held{objects: s, target: t, commit: commit, tag: tag}, nil
}

// rewrittenFrom is earlier if it was proven that the branch no longer contains it.
func (g *Git) rewrittenFrom(ctx context.Context, h *held, earlier string) string {
	if !h.target.name.IsBranch() || !fullHash.MatchString(earlier) || earlier == h.commit.Hash.String() {
		return ""
	}
	contained, known := g.remote.contains(ctx, h.commit, plumbing.NewHash(earlier))
	if !known || contained {
		return ""
	}
	return earlier
}

// judge verifies and reads the held commit, once.
func (g *Git) judge(ctx context.Context, h *held) (*held, error) {
	if h.snapshot != nil {
		return h, nil
	}
	if h.refused != nil {
		return h, h.refused
	}
	signer, err := g.options.Verify.signer(h.target.name, h.commit, h.tag)
	if err != nil {
		return h, about(err, h.target.revision(h.commit.Hash), h.rewrittenFrom)
	}
	files, rejected, err := h.objects.readCommit(ctx, h.commit, g.options.Path, g.options.Limits)
	if err != nil {
		return h, about(g.remote.classify("read what was fetched from", err), h.target.revision(h.commit.Hash), h.rewrittenFrom)
	}
	h.snapshot = &Snapshot{
		Revision:      h.target.revision(h.commit.Hash),
		Commit:        h.commit.Hash.String(),
		Signer:        signer,
		RewrittenFrom: h.rewrittenFrom,
		Files:         files,
		Rejected:      rejected,
	}
	return h, nil
}
