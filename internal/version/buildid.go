package version

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

// BuildID tells this program from every other that may judge the same thing otherwise, for what is kept between two runs: by its version,
// CUE's and Istio's, and by its file, since a build of a work tree has the version of another one.
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
