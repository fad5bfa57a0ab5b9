package version

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

// BuildID returns an identifier of this program for cache keys: its version, the versions of CUE
// and Istio, and the size and time of its file, because two builds of a work tree have the same
// version.
var BuildID = sync.OnceValue(func() string {
	info := Get()
	id := strings.Join([]string{info.Version, info.Commit, info.CUE, info.IstioAPI}, " ")
	if path, err := os.Executable(); err == nil {
		if stat, err := os.Stat(path); err == nil {
			id += fmt.Sprintf(" %d %d", stat.Size(), stat.ModTime().UnixNano())
		}
	}
	return id
})
