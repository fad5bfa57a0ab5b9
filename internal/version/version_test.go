package version

import (
	"os/exec"
	"strings"
	"testing"
)

func TestIstioAPIIsTheRequiredVersion(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "istio.io/api").Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.TrimSpace(string(out)); IstioAPI != want {
		t.Errorf("IstioAPI is %s, go.mod requires %s", IstioAPI, want)
	}
}

func TestInstallable(t *testing.T) {
	for _, tc := range []struct{ version, want, reason string }{
		{"v1.2.3", "v1.2.3", "a release"},
		{"v0.0.0-20261120175746-717e2a0854f0", "v0.0.0-20261120175746-717e2a0854f0", "a commit"},
		{"v0.0.0-20261120175746-717e2a0854f0+dirty", "latest", "uncommitted changes"},
		{"v1.2.3-rc.1", "v1.2.3-rc.1", "a release candidate"},
		{"v1.2.3-14-g717e2a0", "717e2a0", "git describe, after a tag"},
		{"717e2a0", "717e2a0", "git describe, before any tag"},
		{"717e2a0-dirty", "latest", "git describe, uncommitted changes"},
		{"v1.2.3-dirty", "latest", "a tag and uncommitted changes"},
		{"dev", "latest", "without Git"},
		{development, "latest", "unknown version"},
	} {
		if got := (Info{Version: tc.version}).Installable(); got != tc.want {
			t.Errorf("%s (%s): got %s, want %s", tc.version, tc.reason, got, tc.want)
		}
	}
}
