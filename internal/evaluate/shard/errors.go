package shard

import (
	"context"
	"errors"
	"fmt"

	"github.com/isthmus-mesh/isthmus/internal/evaluate/limits"
	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/sandbox"
)

// commonCauseError is a limit that most items exceed because of a value that they share.
type commonCauseError struct{ cause error }

func (e *commonCauseError) Error() string { return e.cause.Error() }
func (e *commonCauseError) Unwrap() error { return e.cause }

// isBlame reports whether the content of the repository caused an error.
func isBlame(err error) bool {
	var findings manifest.Findings
	return errors.As(err, &findings) || isLimit(err)
}

// isLimit reports whether a child was ended, or crashed, before it returned a response.
func isLimit(err error) bool {
	var limit *sandbox.LimitError
	var crash *sandbox.CrashError
	return errors.As(err, &limit) && limit.What != sandbox.Time || errors.As(err, &crash) && crash.Panicked
}

// Explain converts an error of a child to the error of the evaluation: to manifest.Findings if the
// content of the repository caused it.
func Explain(ctx context.Context, err error) error {
	var limit *sandbox.LimitError
	var crash *sandbox.CrashError
	var common *commonCauseError
	var findings manifest.Findings
	switch {
	case err == nil:
		return nil
	case errors.As(err, &common) && errors.As(err, &limit):
		return manifest.Findings{{Message: limits.ExceededMessage("evaluating most services, each separately,", limit) +
			"; the cause is in what they share, for example a template"}}
	case errors.As(err, &findings):
		return findings
	case errors.As(err, &limit) && limit.What != sandbox.Time:
		return manifest.Findings{{Message: limits.ExceededMessage("evaluating the repository", limit)}}
	case errors.As(err, &crash) && crash.Panicked:
		return manifest.Findings{{Message: fmt.Sprintf("the CUE evaluator crashed: %s; check the last change, for example for values "+
			"that nest endlessly", crash)}}
	case ctx.Err() != nil:
		return fmt.Errorf("evaluating the repository was ended: %w", err)
	default:
		return fmt.Errorf("evaluating the repository: %w", err)
	}
}

// ExplainInOnePiece is [Explain] for a repository that was evaluated in one piece. If it exceeded a
// limit, the finding has the first reason why it is not sharded, because shards need less.
func ExplainInOnePiece(ctx context.Context, err error, reasons manifest.Findings) error {
	explained := Explain(ctx, err)
	var limit *sandbox.LimitError
	var findings manifest.Findings
	if len(reasons) == 0 || !errors.As(err, &limit) || !errors.As(explained, &findings) {
		return explained
	}
	first := reasons[0]
	where := first.File
	if first.Line > 0 {
		where = fmt.Sprintf("%s:%d", where, first.Line)
	}
	findings[0].Message += fmt.Sprintf("; shards would need less memory and time, but %s prevents them: %s", where, first.Message)
	return findings
}

// limitMessage is the limit that the evaluation of a service exceeded.
func limitMessage(ctx context.Context, err error) string {
	var limit *sandbox.LimitError
	if errors.As(err, &limit) {
		return limits.ExceededMessage("evaluation", limit)
	}
	return Explain(ctx, err).Error()
}
