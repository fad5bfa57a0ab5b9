// Package version answers: which Isthmus is this, and which Istio and CUE does it speak?
package version

import (
	"runtime"
	"runtime/debug"
	"strings"
)

// number is set by releases: -ldflags "-X github.com/isthmus-mesh/isthmus/internal/version.number=v1.2.3". Without it
// the version is what the go command recorded.
var number string

// IstioAPI is the version of istio.io/api whose CRDs are embedded. Those are data, so the build does not record it; a
// test holds it against go.mod.
const IstioAPI = "v1.31.1"

// development is what the go command records of a build whose version it does not know.
const development = "(devel)"

// Info is what there is to say of this binary.
type Info struct {
	Version string `json:"version"`
	// Commit is that of the checkout it was built from, "" if it was built from the module proxy; Modified
	// says that the checkout held changes that are in no commit.
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	IstioAPI string `json:"istioAPI"`
	CUE      string `json:"cue"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Get reads what the build recorded.
func Get() Info {
	info := Info{
		Version:  number,
		IstioAPI: IstioAPI,
		CUE:      "unknown",
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		build = &debug.BuildInfo{}
	}
	if info.Version == "" {
		info.Version = build.Main.Version
	}
	if info.Version == "" {
		info.Version = development
	}
	for _, dep := range build.Deps {
		if dep.Path == "cuelang.org/go" {
			info.CUE = dep.Version
		}
	}
	for _, s := range build.Settings {
		switch s.Key {
		case "vcs.revision":
			info.Commit = s.Value
		case "vcs.modified":
			info.Modified = s.Value == "true"
		}
	}
	return info
}

// Installable is the version as `go install` takes it: "latest" for a build that no one else can make.
func (i Info) Installable() string {
	if i.Version == development || strings.Contains(i.Version, "+") {
		return "latest"
	}
	return i.Version
}
