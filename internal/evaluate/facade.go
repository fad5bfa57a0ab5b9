package evaluate

import (
	"github.com/isthmus-mesh/isthmus/internal/evaluate/cueworker"
	"github.com/isthmus-mesh/isthmus/internal/evaluate/freeze"
	"github.com/isthmus-mesh/isthmus/internal/evaluate/limits"
	"github.com/isthmus-mesh/isthmus/internal/evaluate/shard"
)

// Types of the packages below.
type (
	// Limits bound one evaluation.
	Limits = limits.Limits
	// SizeValue is a flag for a number of bytes.
	SizeValue = limits.SizeValue
	// LastKnownGood has the manifest of each service from the last commit in which it was good.
	LastKnownGood = freeze.LastKnownGood
	// Frozen is a service that keeps its last known good manifest.
	Frozen = freeze.Frozen
	// Position is a position in a file of the repository.
	Position = cueworker.Position
	// Work counts what an evaluation computed.
	Work = shard.Work
)

// Names of the flags that set the limits.
const (
	MemoryFlag  = limits.MemoryFlag
	CPUFlag     = limits.CPUFlag
	ObjectsFlag = limits.ObjectsFlag
)

// DefaultLimits returns the default limits.
func DefaultLimits() Limits { return limits.Default() }
