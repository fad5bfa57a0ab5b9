package limits

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/isthmus-mesh/isthmus/internal/sandbox"
)

// Names of the flags that set the limits.
const (
	MemoryFlag  = "evaluation-memory"
	CPUFlag     = "evaluation-cpu"
	ObjectsFlag = "service-objects"
)

// Limits bound one evaluation. The context limits its wall-clock time.
type Limits struct {
	// Memory is the resident memory of an evaluation, in bytes. Default: 2 GiB. 1,000 services,
	// each with two ports, two versions, a route and five calls, need between 1 and 2 GiB to be
	// rendered for a cluster. The need is linear in the number of services.
	Memory int64
	// CPU is the processor time of an evaluation. Default: 45 s, more than three times the need of
	// those 1,000 services and less than the default of spec.timeout: an endless evaluation should
	// exceed this limit, which is a finding, and not the timeout, after which it is retried.
	CPU time.Duration
	// Objects is the number of objects that a service may render for one cluster. Default: 1,000. A
	// service that 200 clusters call in two versions, with a name in each, needs about 400. It is
	// not checked if the repository is evaluated in one piece.
	Objects int
}

// Workers is the number of child processes that evaluate at the same time.
const Workers = 2

const (
	mib = 1 << 20
	// leastMemory is the need of a child for a small mesh, with a reserve.
	leastMemory = 128 * mib
	// largestRequest is the limit of package source, with the names of the files.
	largestRequest = 320 * mib
	// responseShare: a response is at most this part of Limits.Memory. It is about a hundredth of
	// the memory that its evaluation needs.
	responseShare = 8
	// longest is for contexts without a deadline.
	longest = time.Hour
)

// Default returns the default limits.
func Default() Limits { return Limits{Memory: 2048 * mib, CPU: 45 * time.Second, Objects: 1000} }

// Validate returns an error for limits that are too low for any repository.
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

// WithDefaults replaces zero fields with their defaults.
func (l Limits) WithDefaults() Limits {
	if l.Memory == 0 {
		l.Memory = Default().Memory
	}
	if l.CPU == 0 {
		l.CPU = Default().CPU
	}
	if l.Objects == 0 {
		l.Objects = Default().Objects
	}
	return l
}

// Sandbox returns the limits of a child that evaluates a repository in one piece.
func (l Limits) Sandbox() sandbox.Limits {
	l = l.WithDefaults()
	return sandbox.Limits{Memory: l.Memory, CPU: l.CPU, Time: longest, Input: largestRequest, Output: l.Memory / responseShare}
}

// Shard returns the limits of a child that evaluates a part of a repository. [Workers] children run
// at the same time. They leave half of the memory to a child that evaluates the shared files.
func (l Limits) Shard() sandbox.Limits {
	l = l.WithDefaults()
	l.Memory = max(l.Memory/(2*Workers), leastMemory)
	l.CPU = max(l.CPU/3, time.Second)
	return l.Sandbox()
}

// ExceededMessage is the text of a finding for an exceeded limit. It names the flag that raises it.
func ExceededMessage(what string, limit *sandbox.LimitError) string {
	flag := MemoryFlag
	if limit.What == sandbox.CPU {
		flag = CPUFlag
	}
	return fmt.Sprintf("%s %s and was ended. Either a value is endless (check the last change), or the repository needs a "+
		"higher limit: see --%s", what, limit, flag)
}

// SizeValue is a flag for a number of bytes, as a quantity of Kubernetes: "1Gi".
type SizeValue struct{ Bytes *int64 }

// Set implements pflag.Value.
func (v SizeValue) Set(text string) error {
	q, err := resource.ParseQuantity(text)
	if err != nil {
		return fmt.Errorf("%q is not a quantity; write for example 1500Mi or 2Gi", text)
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
