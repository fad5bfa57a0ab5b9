//go:build !linux

package sandbox

import (
	"fmt"
	"os"
	"runtime"
	"time"
)

// lockIn lets the child watch its own memory, which is all that can be done here.
func lockIn(s setup) Enforced {
	go func() {
		for range time.Tick(measureEvery) {
			if inUse() > s.Memory {
				os.Exit(exitMemory) //nolint:forbidigo // the child is a program of its own
			}
		}
	}()
	return Enforced{Missing: []string{fmt.Sprintf("files, network and the processor's time are not limited on %s", runtime.GOOS)}}
}

func limitCPU(time.Duration) error { return nil }
