package source

import (
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/go-git/go-git/v5/plumbing"
)

// target is a resolved Ref. If it has not changed, no transfer is needed.
type target struct {
	// name is the ref of the remote, "" for a pinned commit.
	name plumbing.ReferenceName
	// hash is the object of the ref: a commit, or the object of an annotated tag.
	hash plumbing.Hash
}

// revision returns the revision of a commit of this target in the form of Flux.
func (t target) revision(commit plumbing.Hash) string {
	digest := "sha1:" + commit.String()
	if t.name == "" {
		return digest
	}
	return t.name.Short() + "@" + digest
}

// resolve finds the target of r in the advertised refs. display is the name of the repository.
func (r Ref) resolve(advertised []*plumbing.Reference, display string) (target, error) {
	byName := make(map[plumbing.ReferenceName]*plumbing.Reference, len(advertised))
	for _, ref := range advertised {
		byName[ref.Name()] = ref
	}
	find := func(name plumbing.ReferenceName, what string) (target, error) {
		ref, ok := byName[name]
		if !ok {
			return target{}, fetchFailed("%s does not exist in %s; correct spec.source.ref, or push it", what, display)
		}
		return target{name: name, hash: ref.Hash()}, nil
	}
	switch {
	case r.Commit != "":
		return target{hash: plumbing.NewHash(r.Commit)}, nil
	case r.SemVer != "":
		return r.highestTag(advertised, display)
	case r.Tag != "":
		return find(plumbing.NewTagReferenceName(r.Tag), "tag "+r.Tag)
	case r.Branch != "":
		return find(plumbing.NewBranchReferenceName(r.Branch), "branch "+r.Branch)
	}
	head, ok := byName[plumbing.HEAD]
	if !ok {
		return target{}, fetchFailed("%s has no default branch (its HEAD points nowhere); name a branch in spec.source.ref", display)
	}
	if head.Type() == plumbing.SymbolicReference {
		return find(head.Target(), "default branch "+head.Target().Short())
	}
	return target{name: plumbing.HEAD, hash: head.Hash()}, nil
}

func (r Ref) highestTag(advertised []*plumbing.Reference, display string) (target, error) {
	constraint, err := semver.NewConstraint(r.SemVer)
	if err != nil {
		return target{}, invalid("semver %q is not a range of versions: %w", r.SemVer, err)
	}
	var best target
	var bestVersion *semver.Version
	for _, ref := range advertised {
		if !ref.Name().IsTag() || strings.HasSuffix(ref.Name().String(), "^{}") {
			continue
		}
		v, err := semver.NewVersion(ref.Name().Short())
		if err != nil || !constraint.Check(v) {
			continue
		}
		if bestVersion == nil || v.GreaterThan(bestVersion) || (v.Equal(bestVersion) && ref.Name() > best.name) {
			best, bestVersion = target{name: ref.Name(), hash: ref.Hash()}, v
		}
	}
	if bestVersion == nil {
		return target{}, fetchFailed("no tag of %s is a version in the range %q; correct spec.source.ref, or push a tag", display, r.SemVer)
	}
	return best, nil
}
