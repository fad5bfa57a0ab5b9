// Package version answers: which Isthmus is this, and which Istio and CUE does it speak?
package version

import (
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
)

// version is set by the Makefile to what `git describe` says. Without it the version is what the go command recorded.
var version string

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
		Version:  version,
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

var (
	released = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)
	// described is what `git describe` says of a commit after a tag, with the commit's hash.
	described = regexp.MustCompile(`^(?:.*-[0-9]+-g)?([0-9a-f]{7,40})$`)
)

// Installable is the version as `go install` takes it: "latest" for a build that no one else can make.
func (i Info) Installable() string {
	if commit := described.FindStringSubmatch(i.Version); commit != nil {
		return commit[1]
	}
	if !released.MatchString(i.Version) || strings.HasSuffix(i.Version, "-dirty") {
		return "latest"
	}
	return i.Version
}
