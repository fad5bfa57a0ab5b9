package evaluate

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/sandbox"
	"github.com/isthmus-mesh/isthmus/internal/source"
)

// Options say what to evaluate for.
type Options struct {
	// Cluster is the cluster to render for; "" checks the repository and renders nothing.
	Cluster string
	// Limits bound what the evaluation may use; a zero field is its default.
	Limits Limits
}

// Result is what a commit says.
type Result struct {
	Mesh *manifest.Mesh
	// Rendered are the objects that the template made for Options.Cluster, by "Kind/namespace/name", in JSON with numbers
	// as CUE writes them. Nil if no cluster was asked for.
	Rendered map[string]json.RawMessage

	at locator
}

// Locate is where a path of the mesh ("services.checkout.routes") was written, or the nearest field around it.
func (r *Result) Locate(path string) (Position, bool) { return r.at.find(strings.Split(path, ".")) }

// running lets one evaluation run at a time, so that Limits.Memory is what all of them need together.
var running = make(chan struct{}, 1)

// Evaluate is plain CUE's answer for a snapshot. Problems of the repository are manifest.Findings, all of them, and so is
// a limit that it went over; any other error is of this process: the context ended, or no child could be started. When
// it returns, the evaluation has ended.
func Evaluate(ctx context.Context, snap *source.Snapshot, opts Options) (*Result, error) {
	select {
	case running <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for an earlier evaluation, which is still running: %w", context.Cause(ctx))
	}
	defer func() { <-running }()
	answer, err := ask(ctx, snap, opts)
	if err != nil {
		return nil, explain(ctx, err)
	}
	return understand(answer, opts)
}

// ask has a child evaluate, a fresh one: CUE keeps about 70 bytes of every label that it ever saw, and what one
// commit left behind is nothing for the next one to find.
func ask(ctx context.Context, snap *source.Snapshot, opts Options) ([]byte, error) {
	worker, err := sandbox.Start(ctx, opts.Limits.sandbox())
	if err != nil {
		return nil, err
	}
	defer worker.Close()
	question, err := writeQuestion(snap, opts.Cluster)
	if err != nil {
		return nil, err
	}
	return worker.Call(ctx, handlerName, question)
}

// Enforced starts a child to learn what keeps one in here.
func Enforced(ctx context.Context, limits Limits) (sandbox.Enforced, error) {
	worker, err := sandbox.Start(ctx, limits.sandbox())
	if err != nil {
		return sandbox.Enforced{}, err
	}
	defer worker.Close()
	return worker.Enforced(), nil
}

// understand turns the child's answer into the result. It is read as somebody else's: a child that a repository has
// taken over can say what it likes, and no more than a repository can.
func understand(data []byte, opts Options) (*Result, error) {
	var a answer
	if err := json.Unmarshal(data, &a); err != nil {
		return nil, fmt.Errorf("the evaluation's answer cannot be read: %w", err)
	}
	if len(a.Findings) > 0 {
		return nil, a.Findings
	}
	result := &Result{Mesh: &manifest.Mesh{}, at: a.At}
	into := map[string]any{
		"settings":  &result.Mesh.Settings,
		"clusters":  &result.Mesh.Clusters,
		"services":  &result.Mesh.Services,
		"externals": &result.Mesh.Externals,
	}
	if opts.Cluster != "" {
		into[resourcesField] = &result.Rendered
	}
	var findings manifest.Findings
	for _, field := range fields(opts.Cluster) {
		value, ok := a.Values[field]
		if !ok {
			continue
		}
		if err := json.Unmarshal(value, into[field]); err != nil {
			findings = append(findings, manifest.Finding{Path: field, Message: err.Error()})
		}
	}
	if len(findings) > 0 {
		return nil, findings
	}
	return result, nil
}
