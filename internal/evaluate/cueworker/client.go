package cueworker

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/isthmus-mesh/isthmus/internal/source"
)

// Caller calls a handler of a child process; [sandbox.Pool] and [sandbox.Worker] implement it.
type Caller interface {
	Call(ctx context.Context, handler string, request []byte) ([]byte, error)
}

// Classify parses files, by path. Paths without an entry in the result are an error of the child.
func Classify(ctx context.Context, child Caller, files map[string][]byte) (map[string]FileInfo, error) {
	return call[map[string][]byte, map[string]FileInfo](ctx, child, classifyHandler, files)
}

// Shared evaluates the settings, the clusters and the externals, as JSON by field.
func Shared(ctx context.Context, child Caller, on MeshRequest) (map[string]json.RawMessage, error) {
	return call[MeshRequest, map[string]json.RawMessage](ctx, child, sharedHandler, on)
}

// Manifests evaluates services, each by itself.
func Manifests(ctx context.Context, child Caller, request ManifestsRequest) (map[string]Manifest, error) {
	return call[ManifestsRequest, map[string]Manifest](ctx, child, manifestsHandler, request)
}

// Shard checks and renders services.
func Shard(ctx context.Context, child Caller, request ShardRequest) (ShardResponse, error) {
	return call[ShardRequest, ShardResponse](ctx, child, shardHandler, request)
}

// Repository evaluates a repository in one piece; with a cluster it is also rendered.
func Repository(ctx context.Context, child Caller, snap *source.Snapshot, cluster string) (RepositoryResponse, error) {
	request := repositoryRequest{Cluster: cluster, Files: make(map[string][]byte, len(snap.Files))}
	for p, blob := range snap.Files {
		request.Files[p] = blob.Data
	}
	return call[repositoryRequest, RepositoryResponse](ctx, child, repositoryHandler, request)
}

// call sends a request. The response is untrusted: a repository may have taken over the child. Its
// JSON gives a repository no more power than its CUE does.
func call[Q, A any](ctx context.Context, child Caller, handler string, request Q) (A, error) {
	var none A
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(request); err != nil {
		return none, err
	}
	response, err := child.Call(ctx, handler, b.Bytes())
	if err != nil {
		return none, err
	}
	var e envelope[A]
	switch err := json.Unmarshal(response, &e); {
	case err != nil:
		return none, fmt.Errorf("the response of the evaluation cannot be read: %w", err)
	case e.Response != nil:
		return *e.Response, nil
	case len(e.Findings) > 0:
		return none, e.Findings
	}
	return none, errors.New("the evaluation returned no response")
}
