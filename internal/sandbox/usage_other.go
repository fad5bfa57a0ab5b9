//go:build !linux

package sandbox

import "time"

// usage is not available; the child measures its own memory.
type usage struct{}

func openUsage(int) (*usage, error) { return &usage{}, nil }

func (u *usage) close() {}

func (u *usage) memory() (int64, bool) { return 0, false }

func (u *usage) cpu() (time.Duration, bool) { return 0, false }
