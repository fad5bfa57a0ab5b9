// Package version returns the versions of this program and of its Istio and CUE libraries.
//
// Input: the build information of the binary. Output: [Info] and [BuildID].
package version

import (
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
)

// version is set by the Makefile to the output of `git describe`. By default the version is the one
// that the go command recorded.
var version string

// IstioAPI is the version of istio.io/api with the embedded CRDs. The build does not record it,
// because CRDs are data; a test compares it with go.mod.
const IstioAPI = "v1.31.1"

// development is the version that the go command records if it knows none.
const development = "(devel)"

// Info describes this binary.
type Info struct {
	Version string `json:"version"`
	// Commit is the commit of the checkout, "" for a build from the module proxy. Modified is set
	// if the checkout had uncommitted changes.
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	IstioAPI string `json:"istioAPI"`
	CUE      string `json:"cue"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Get returns the recorded build information.
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
	// described matches the output of `git describe` with the hash of a commit.
	described = regexp.MustCompile(`^(?:.*-[0-9]+-g)?([0-9a-f]{7,40})$`)
)

// Installable returns the version for `go install`, "latest" for a build that cannot be reproduced.
func (i Info) Installable() string {
	if commit := described.FindStringSubmatch(i.Version); commit != nil {
		return commit[1]
	}
	if !released.MatchString(i.Version) || strings.HasSuffix(i.Version, "-dirty") {
		return "latest"
	}
	return i.Version
}
