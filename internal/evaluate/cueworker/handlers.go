package cueworker

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/sandbox"
)

// Names of the handlers of the child.
const (
	classifyHandler   = "classify"
	manifestsHandler  = "manifests"
	sharedHandler     = "shared"
	shardHandler      = "shard"
	repositoryHandler = "evaluate"
)

func init() {
	handle(classifyHandler, func(files map[string][]byte) (map[string]FileInfo, error) {
		infos := make(map[string]FileInfo, len(files))
		for p, data := range files {
			infos[p] = classify(p, data)
		}
		return infos, nil
	})
	handle(manifestsHandler, manifests)
	handle(sharedHandler, sharedValues)
	handle(shardHandler, shard)
	handle(repositoryHandler, repository)
}

// envelope is a response, or the findings that prevented one.
type envelope[A any] struct {
	Findings manifest.Findings `json:"findings,omitempty"`
	Response *A                `json:"response,omitempty"`
}

// handle registers the handler of one kind of request. Requests are gob: they are trusted, and gob
// is fast with bytes. Responses are JSON, because its decoder is safe for untrusted input.
func handle[Q, A any](name string, respond func(Q) (A, error)) {
	sandbox.Handle(name, func(_ context.Context, request []byte) (response []byte, err error) {
		defer func() {
			// The content of the repository causes a panic of CUE.
			if p := recover(); p != nil {
				text := fmt.Sprintf("the CUE evaluator gave up: %v\n%s", p, debug.Stack())
				response, err = encode(envelope[A]{Findings: manifest.Findings{{Message: text}}})
			}
		}()
		var q Q
		if err := gob.NewDecoder(bytes.NewReader(request)).Decode(&q); err != nil {
			return nil, fmt.Errorf("reading the request: %w", err)
		}
		a, err := respond(q)
		var findings manifest.Findings
		switch {
		case err == nil:
			return encode(envelope[A]{Response: &a})
		case errors.As(err, &findings):
			return encode(envelope[A]{Findings: findings})
		}
		return nil, err
	})
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false) // the text of CUE values stays as it is
	err := out.Encode(v)
	return b.Bytes(), err
}
