// Package limits defines the limits of an evaluation, and the flags that set them.
//
// In: flags. Out: the [sandbox.Limits] of child processes.
//
// Invariant: the shards that run at the same time need at most half of Limits.Memory together.
package limits
