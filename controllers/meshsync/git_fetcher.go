package meshsync

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/isthmus-mesh/isthmus/api/v1alpha1"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// secretMaxAge bounds how long a key is trusted, for the commit that is already fetched, after it
// was removed from its Secret. A new commit is always verified with the current Secrets. Reading
// the Secrets in every interval would cost requests to the API server.
const secretMaxAge = 10 * time.Minute

// GitFetcher fetches from Git with credentials from Secrets.
type GitFetcher struct {
	// Limits bound the size of a commit; zero fields have the default values.
	Limits source.Limits
	// Secrets reads Secrets. It must not cache, because the controller may get but not list
	// Secrets.
	Secrets client.Reader

	mutex sync.Mutex
	of    map[types.NamespacedName]*gitClient
}

type gitClient struct {
	git     *source.Git
	options source.Options
	// readAt is the time when the Secrets were read; commit is the hash of the last commit that was
	// fetched with these options. Both are atomic, because a fetch that hangs may run at the same
	// time as the fetch for a newer spec.
	readAt atomic.Pointer[time.Time]
	commit atomic.Pointer[string]
}

func newGitClient(git *source.Git, options source.Options) *gitClient {
	c := &gitClient{git: git, options: options}
	c.markRead()
	c.commit.Store(new(string))
	return c
}

// markRead records that the Secrets were read now.
func (c *gitClient) markRead() {
	now := time.Now()
	c.readAt.Store(&now)
}

func (c *gitClient) fetch(ctx context.Context, known string) (*source.Snapshot, error) {
	snapshot, err := c.git.Fetch(ctx, known)
	if err == nil {
		c.commit.Store(&snapshot.Commit)
	}
	return snapshot, err
}

// Fetch fetches the commit that ms selects. known is the hash of the commit that the last run saw,
// or "". If fresh is set, the Secrets are read again first.
func (f *GitFetcher) Fetch(ctx context.Context, ms *v1alpha1.MeshSync, known string, fresh bool) (*source.Snapshot, error) {
	key := client.ObjectKeyFromObject(ms)
	existing := f.client(key)
	if existing == nil || fresh || time.Since(*existing.readAt.Load()) > secretMaxAge || !sameSource(ms, existing.options) {
		current, err := f.connect(ctx, ms, existing)
		if err != nil {
			return nil, err
		}
		f.keep(key, current)
		return current.fetch(ctx, known)
	}

	before := *existing.commit.Load()
	snapshot, err := existing.fetch(ctx, known)
	unchanged := err == nil && snapshot.Commit == before
	if unchanged || !needsSecrets(ms) {
		return snapshot, err
	}
	// New commits and failures are checked again with the current Secrets.
	current, connectErr := f.connect(ctx, ms, existing)
	if connectErr != nil {
		return nil, connectErr
	}
	if current == existing {
		return snapshot, err
	}
	f.keep(key, current)
	return current.fetch(ctx, known)
}

// FetchCommit fetches one commit by its hash, with the options of the last Fetch.
func (f *GitFetcher) FetchCommit(ctx context.Context, ms *v1alpha1.MeshSync, commit string) (*source.Snapshot, error) {
	existing := f.client(client.ObjectKeyFromObject(ms))
	if existing == nil {
		return nil, fmt.Errorf("cannot fetch commit %s: MeshSync %s/%s has fetched nothing yet", commit, ms.Namespace, ms.Name)
	}
	return existing.git.FetchCommit(ctx, commit)
}

// Forget drops the Git client of a MeshSync.
func (f *GitFetcher) Forget(key types.NamespacedName) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	delete(f.of, key)
}

func (f *GitFetcher) client(key types.NamespacedName) *gitClient {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.of[key]
}

func (f *GitFetcher) keep(key types.NamespacedName, c *gitClient) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.of == nil {
		f.of = map[types.NamespacedName]*gitClient{}
	}
	f.of[key] = c
}

// connect reads the Secrets. It returns the existing client if its options have not changed.
func (f *GitFetcher) connect(ctx context.Context, ms *v1alpha1.MeshSync, existing *gitClient) (*gitClient, error) {
	options, err := f.options(ctx, ms)
	if err != nil {
		return nil, err
	}
	if existing != nil && existing.options.Equal(options) {
		existing.markRead()
		return existing, nil
	}
	git, err := source.New(options)
	if err != nil {
		return nil, err
	}
	return newGitClient(git, options), nil
}

func (f *GitFetcher) options(ctx context.Context, ms *v1alpha1.MeshSync) (source.Options, error) {
	options := plainOptions(ms)
	options.Limits = f.Limits
	var err error
	if options.Auth, err = f.secret(ctx, ms, ms.Spec.Source.SecretRef, "spec.source.secretRef"); err != nil {
		return source.Options{}, err
	}
	if options.Proxy, err = f.secret(ctx, ms, ms.Spec.Source.ProxySecretRef, "spec.source.proxySecretRef"); err != nil {
		return source.Options{}, err
	}
	if options.Verify != nil {
		if options.Verify.Keys, err = f.secret(ctx, ms, &ms.Spec.Source.Verify.SecretRef, "spec.source.verify.secretRef"); err != nil {
			return source.Options{}, err
		}
	}
	return options, nil
}

func (f *GitFetcher) secret(ctx context.Context, ms *v1alpha1.MeshSync, ref *meta.LocalObjectReference, field string) (map[string][]byte, error) {
	if ref == nil {
		return nil, nil
	}
	secret := &corev1.Secret{}
	err := f.Secrets.Get(ctx, client.ObjectKey{Namespace: ms.Namespace, Name: ref.Name}, secret)
	switch {
	case err == nil:
		return secret.Data, nil
	case apierrors.IsNotFound(err):
		return nil, &secretError{fmt.Errorf("secret %s/%s, named by %s, does not exist; create it or remove the reference", ms.Namespace, ref.Name, field)}
	case apierrors.IsForbidden(err):
		return nil, &secretError{fmt.Errorf("the controller may not read secret %s/%s, named by %s: it reads Secrets of its own namespace only; "+
			"move the MeshSync there, or bind a Role that may get this Secret: %w", ms.Namespace, ref.Name, field, err)}
	default:
		return nil, fmt.Errorf("cannot read secret %s/%s, named by %s: %w", ms.Namespace, ref.Name, field, err)
	}
}

// secretError is the error of a missing or forbidden Secret. A user must act.
type secretError struct{ error }

func (e *secretError) Unwrap() error { return errors.Unwrap(e.error) }

// plainOptions are the options without the contents of Secrets.
func plainOptions(ms *v1alpha1.MeshSync) source.Options {
	spec := ms.Spec.Source
	options := source.Options{URL: spec.URL, Path: ms.Spec.Path}
	if spec.Ref != nil {
		options.Ref = source.Ref{Branch: spec.Ref.Branch, Tag: spec.Ref.Tag, SemVer: spec.Ref.SemVer, Commit: spec.Ref.Commit}
	}
	if spec.Verify != nil {
		options.Verify = &source.Verify{Mode: source.VerifyMode(spec.Verify.Mode)}
	}
	return options
}

// sameSource reports whether the options still match ms, apart from Secrets.
func sameSource(ms *v1alpha1.MeshSync, options source.Options) bool {
	options.Auth, options.Proxy, options.Limits = nil, nil, source.Limits{}
	if options.Verify != nil {
		options.Verify = &source.Verify{Mode: options.Verify.Mode}
	}
	return plainOptions(ms).Equal(options)
}

func needsSecrets(ms *v1alpha1.MeshSync) bool {
	s := ms.Spec.Source
	return s.SecretRef != nil || s.ProxySecretRef != nil || s.Verify != nil
}
