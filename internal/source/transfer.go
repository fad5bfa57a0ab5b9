package source

import (
	"context"
	"errors"
	"fmt"

	gogit "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
)

// fetchedRef is the ref of the last transfer in the repository in memory. go-git tells the server
// that we have its objects.
const fetchedRef plumbing.ReferenceName = "refs/isthmus/fetched"

// transfer fetches t without history into s. It returns the target that the ref has by now, because
// a branch may have moved since it was resolved.
func (r *remote) transfer(ctx context.Context, s *objects, t target) (target, error) {
	s.ctxErr = ctx.Err
	spec := config.RefSpec(fmt.Sprintf("+%s:%s", t.name, fetchedRef))
	if err := r.fetch(ctx, s, 1, spec); err != nil && !errors.Is(err, gogit.NoErrAlreadyUpToDate) {
		return target{}, err
	}
	ref, err := s.Reference(fetchedRef)
	if err != nil {
		return target{}, err
	}
	return target{name: t.name, hash: ref.Hash()}, nil
}

// transferCommit fetches one commit into a new repository, in the cheapest way that the server
// allows: as the tip of a ref, by its hash, or with the whole history of the branch or of all
// branches and tags.
func (r *remote) transferCommit(ctx context.Context, commit plumbing.Hash, branch string, limits Limits) (*objects, error) {
	advertised, err := r.list(ctx)
	if err != nil {
		return nil, err
	}
	for _, ref := range advertised {
		if ref.Type() != plumbing.HashReference || ref.Hash() != commit {
			continue
		}
		s := newObjects(ctx, limits)
		got, err := r.transfer(ctx, s, target{name: ref.Name()})
		if err == nil && got.hash == commit {
			return s, nil
		}
		break // The ref has moved since; try the other ways.
	}

	s := newObjects(ctx, limits)
	err = r.fetch(ctx, s, 1, config.RefSpec(fmt.Sprintf("+%s:%s", commit, fetchedRef)))
	if err == nil && s.HasEncodedObject(commit) == nil {
		return s, nil
	}
	if ctx.Err() != nil || ReasonFor(err) == ContentRefused {
		return nil, err
	}
	return r.transferHistory(ctx, commit, branch, limits)
}

// transferHistory is for servers that do not serve commits by hash.
func (r *remote) transferHistory(ctx context.Context, commit plumbing.Hash, branch string, limits Limits) (*objects, error) {
	specs := []config.RefSpec{"+refs/heads/*:refs/isthmus/heads/*", "+refs/tags/*:refs/isthmus/tags/*"}
	where := "any branch or tag"
	if branch != "" {
		specs = []config.RefSpec{config.RefSpec(fmt.Sprintf("+refs/heads/%s:%s", branch, fetchedRef))}
		where = "branch " + branch
	}
	s := newObjects(ctx, limits)
	if err := r.fetch(ctx, s, 0, specs...); err != nil && !errors.Is(err, gogit.NoErrAlreadyUpToDate) {
		return nil, err
	}
	if s.HasEncodedObject(commit) != nil {
		return nil, fetchFailed("commit %s was not found in %s of %s; correct the hash or the branch, or push the commit", commit, where, r.display)
	}
	return s, nil
}
