package evaluate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/isthmus-mesh/isthmus/internal/manifest"
	"github.com/isthmus-mesh/isthmus/internal/sandbox"
)

// The flags by which both programs set the limits, as messages name them.
const (
	MemoryFlag  = "evaluation-memory"
	CPUFlag     = "evaluation-cpu"
	ObjectsFlag = "service-objects"
)

// Limits bound one evaluation. There is none of wall clock time: that is the context's.
type Limits struct {
	// Memory is what an evaluation may have resident, in bytes. Default: 2 GiB. 1,000 services, each with two ports, two versions, a
	// route and five calls, need between 1 and 2 GiB to be rendered for a cluster, and the need is linear in the services.
	Memory int64
	// CPU is its processor time. Default: 45 s, more than three times what those 1,000 services take, and less than the default of spec.timeout: what
	// never ends should meet this limit, which is told as the commit's fault, and not the timeout, after which it is tried again.
	CPU time.Duration
	// Objects are how many a service may render for one cluster, where it is evaluated apart. Default: 1,000. One that is called in two versions by
	// 200 clusters, and by a name in each, needs some 400.
	Objects int
}

const (
	mib = 1 << 20
	// leastMemory is what a child needs that evaluates next to nothing, and some more.
	leastMemory = 128 * mib
	// largestQuestion is what package source lets through, with the files' names.
	largestQuestion = 320 * mib
	// answerShare: an answer is no larger than this part of Limits.Memory. It is about a hundredth of what it took to make it.
	answerShare = 8
	// longest is for callers whose context has no deadline.
	longest = time.Hour
)

// DefaultLimits are the limits where nobody says otherwise.
func DefaultLimits() Limits { return Limits{Memory: 2048 * mib, CPU: 45 * time.Second, Objects: 1000} }

// Validate refuses limits under which nothing could be evaluated.
func (l Limits) Validate() error {
	switch {
	case l.Memory < leastMemory:
		return fmt.Errorf("--%s must be at least %s, but is %s", MemoryFlag, formatBytes(leastMemory), formatBytes(l.Memory))
	case l.CPU < time.Second:
		return fmt.Errorf("--%s must be at least 1s, but is %s", CPUFlag, l.CPU)
	case l.Objects < 0:
		return fmt.Errorf("--%s must not be negative, but is %d", ObjectsFlag, l.Objects)
	}
	return nil
}

func (l Limits) withDefaults() Limits {
	if l.Memory == 0 {
		l.Memory = DefaultLimits().Memory
	}
	if l.CPU == 0 {
		l.CPU = DefaultLimits().CPU
	}
	if l.Objects == 0 {
		l.Objects = DefaultLimits().Objects
	}
	return l
}

func (l Limits) sandbox() sandbox.Limits {
	l = l.withDefaults()
	return sandbox.Limits{Memory: l.Memory, CPU: l.CPU, Time: longest, Input: largestQuestion, Output: l.Memory / answerShare}
}

// shard is what a child may use that evaluates a part of a repository. Several do at the same time, and leave half of the memory to
// whoever has to evaluate the whole.
func (l Limits) shard() sandbox.Limits {
	l = l.withDefaults()
	l.Memory = max(l.Memory/(2*workers), leastMemory)
	l.CPU = max(l.CPU/3, time.Second)
	return l.sandbox()
}

// tooMuch says which limit was in the way, and how to move it.
func tooMuch(what string, limit *sandbox.LimitError) string {
	flag := MemoryFlag
	if limit.What == sandbox.CPU {
		flag = CPUFlag
	}
	return fmt.Sprintf("%s %s and was ended: either something in it makes values without end (look at what changed last), or it is large "+
		"and needs more: see --%s", what, limit, flag)
}

// explain says for a person why there is no answer. What the repository is to blame for, as far as one can know, is a finding.
func explain(ctx context.Context, err error) error {
	var limit *sandbox.LimitError
	var crash *sandbox.CrashError
	var shared *sharedError
	var findings manifest.Findings
	switch {
	case err == nil:
		return nil
	case errors.As(err, &shared) && errors.As(err, &limit):
		return manifest.Findings{{Message: tooMuch("evaluating most services, each by itself,", limit) +
			"; what they share is to blame, a template for instance"}}
	case errors.As(err, &findings):
		return findings
	case errors.As(err, &limit) && limit.What != sandbox.Time:
		return manifest.Findings{{Message: tooMuch("evaluating the repository", limit)}}
	case errors.As(err, &crash) && crash.Reason == goGaveUp:
		return manifest.Findings{{Message: fmt.Sprintf("the CUE evaluator cannot cope with the repository: %s; look at what changed last, "+
			"for instance for values that nest without end", crash)}}
	case ctx.Err() != nil:
		return fmt.Errorf("evaluating the repository was ended: %w", err)
	default:
		return fmt.Errorf("evaluating the repository: %w", err)
	}
}

// inOnePiece adds to a limit that a repository went over why it is not evaluated in parts, each of which would need less.
func inOnePiece(explained, err error, reasons manifest.Findings) error {
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
	findings[0].Message += fmt.Sprintf("; in parts it would need less, but %s keeps it in one piece: %s", where, first.Message)
	return findings
}

// goGaveUp is how a Go program ends by a panic or a fatal error, a stack overflow for instance.
const goGaveUp = "exit status 2"

// SizeValue is a flag for an amount of bytes, in the form of Kubernetes: "1Gi".
type SizeValue struct{ Bytes *int64 }

// Set implements pflag.Value.
func (v SizeValue) Set(text string) error {
	q, err := resource.ParseQuantity(text)
	if err != nil {
		return fmt.Errorf("%q is no size; write for instance 1500Mi or 2Gi", text)
	}
	*v.Bytes = q.Value()
	return nil
}

// String implements pflag.Value.
func (v SizeValue) String() string {
	if v.Bytes == nil {
		return ""
	}
	return formatBytes(*v.Bytes)
}

// Type implements pflag.Value.
func (v SizeValue) Type() string { return "quantity" }

func formatBytes(n int64) string { return resource.NewQuantity(n, resource.BinarySI).String() }
