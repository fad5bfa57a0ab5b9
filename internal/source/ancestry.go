package source

import (
	"context"
	"errors"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/client"
)

// ancestryBytes bounds the response to one request for an ancestry check.
const ancestryBytes = 64 << 20

// contains asks the server whether the history of commit contains earlier. ok is false if the
// server failed, or if more than ancestryBytes of changes lie between the two commits.
//
// We have no history. Deepening it would not end after a reset of the branch, because an ancestor
// never leads to its descendant. Instead we claim to have earlier, with its history, and request
// commit. The server then sends exactly the commits that are reachable from commit and not from
// earlier. Every commit between the two is among them, so earlier is an ancestor if and only if one
// of them has it as a parent. A server that does not acknowledge earlier does not have it. The
// response is discarded afterwards, because it lacks files that the server assumes we have.
func (r *remote) contains(ctx context.Context, commit *object.Commit, earlier plumbing.Hash) (contained, ok bool) {
	for _, p := range commit.ParentHashes {
		if p == earlier {
			return true, true
		}
	}
	between, acknowledged, err := r.fetchRange(ctx, commit.Hash, earlier)
	if err != nil {
		return false, false
	}
	if !acknowledged {
		return false, true
	}
	iter, err := between.IterEncodedObjects(plumbing.CommitObject)
	if err != nil {
		return false, false
	}
	err = iter.ForEach(func(o plumbing.EncodedObject) error {
		c, err := object.DecodeCommit(between, o)
		if err != nil {
			return err
		}
		for _, p := range c.ParentHashes {
			contained = contained || p == earlier
		}
		return nil
	})
	return contained, err == nil
}

// fetchRange fetches the objects that are reachable from want and not from have.
func (r *remote) fetchRange(ctx context.Context, want, have plumbing.Hash) (s *objects, acknowledged bool, err error) {
	endpoint, err := transport.NewEndpoint(r.url)
	if err != nil {
		return nil, false, err
	}
	endpoint.CaBundle, endpoint.ClientCert, endpoint.ClientKey, endpoint.Proxy = r.caFile, r.clientCert, r.clientKey, r.proxyWithDeadline(ctx)
	c, err := client.NewClient(endpoint)
	if err != nil {
		return nil, false, err
	}
	session, err := c.NewUploadPackSession(endpoint, r.auth)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = session.Close() }()
	advertised, err := session.AdvertisedReferencesContext(ctx)
	if err != nil {
		return nil, false, err
	}
	request := packp.NewUploadPackRequestFromCapabilities(advertised.Capabilities)
	if advertised.Capabilities.Supports(capability.NoProgress) {
		if err := request.Capabilities.Set(capability.NoProgress); err != nil {
			return nil, false, err
		}
	}
	request.Wants, request.Haves = []plumbing.Hash{want}, []plumbing.Hash{have}
	response, err := session.UploadPack(ctx, request)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = response.Close() }()
	if len(response.ACKs) == 0 {
		return nil, false, nil
	}
	s = newObjects(ctx, Limits{MaxTotalBytes: ancestryBytes / 2})
	err = packfile.UpdateObjectStorage(s, unwrapSideband(request.Capabilities, response))
	// The pack is empty if want is an ancestor of have.
	if errors.Is(err, packfile.ErrEmptyPackfile) {
		err = nil
	}
	return s, true, err
}

// unwrapSideband returns the pack from the channel that was requested.
func unwrapSideband(asked *capability.List, response io.Reader) io.Reader {
	switch {
	case asked.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, response)
	case asked.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, response)
	}
	return response
}
