package main

import "runtime/debug"

// release is set by the linker: -X main.release=v1.2.3.
var release string

// version is the release, or what the Go toolchain noted of the module and the commit.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
