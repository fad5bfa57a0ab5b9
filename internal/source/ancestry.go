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

// ancestryBytes bounds the answer to one question of ancestry.
const ancestryBytes = 64 << 20

// contains asks the server whether commit's history contains earlier. known is false where no answer could be
// had: the server failed, or more than ancestryBytes of changes lie between the two.
//
// We hold no history, and deepening ours would not end when a branch was set back: an ancestor never leads to
// its descendant. But a server that is told we want commit and have earlier, and not that our history is cut
// off, sends exactly the commits that are reachable from commit and not from earlier. Every commit on a way
// from commit down to earlier is of these, so earlier is an ancestor if and only if one of these has it as its
// parent. A server that does not acknowledge earlier has it nowhere, so not in the history either. The answer
// serves for this alone and is thrown away, since the server also leaves out files that we do not have.
func (r *remote) contains(ctx context.Context, commit *object.Commit, earlier plumbing.Hash) (contained, known bool) {
	for _, p := range commit.ParentHashes {
		if p == earlier {
			return true, true
		}
	}
	between, acknowledged, err := r.between(ctx, commit.Hash, earlier)
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

// between fetches what is reachable from want and not from have.
func (r *remote) between(ctx context.Context, want, have plumbing.Hash) (s *objects, acknowledged bool, err error) {
	endpoint, err := transport.NewEndpoint(r.url)
	if err != nil {
		return nil, false, err
	}
	endpoint.CaBundle, endpoint.ClientCert, endpoint.ClientKey, endpoint.Proxy = r.caFile, r.clientCert, r.clientKey, r.proxyUntil(ctx)
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
	// Nothing lies between if want is an ancestor of have.
	if errors.Is(err, packfile.ErrEmptyPackfile) {
		err = nil
	}
	return s, true, err
}

// unwrapSideband takes the pack out of the channel that the request asked for.
func unwrapSideband(asked *capability.List, response io.Reader) io.Reader {
	switch {
	case asked.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, response)
	case asked.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, response)
	}
	return response
}
