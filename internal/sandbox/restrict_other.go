//go:build !linux

package sandbox

import (
	"fmt"
	"os"
	"runtime"
	"time"
)

// restrictSelf limits only the memory, which the child measures itself.
func restrictSelf(s setup) Enforced {
	go func() {
		for range time.Tick(measureInterval) {
			if inUse() > s.Memory {
				os.Exit(exitMemory) //nolint:forbidigo // the child is a program of its own
			}
		}
	}()
	return Enforced{Missing: []string{fmt.Sprintf("files, network and processor time are not limited on %s", runtime.GOOS)}}
}

func limitCPU(time.Duration) error { return nil }
