package testcluster_test

import (
	"bytes"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/internal/testcluster"
)

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=Ada", "-c", "user.email=ada@example.com"}, args...)...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestGitServerTakesPushesAndShallowClones(t *testing.T) {
	dir := t.TempDir()
	root, clone := filepath.Join(dir, "root"), filepath.Join(dir, "clone")
	git(t, dir, "init", "-q", "--bare", "-b", "main", filepath.Join(root, "mesh.git"))
	server, err := testcluster.StartGit(t.Context(), root, filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	url := server.URL + "/mesh.git"
	git(t, dir, "init", "-q", "-b", "main", clone)
	// More than http.postBuffer (1 MiB), so that git sends the request in chunks.
	large := make([]byte, 2<<20)
	_, _ = rand.Read(large)
	for _, content := range [][]byte{[]byte("small"), large} {
		if err := os.WriteFile(filepath.Join(clone, "file"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		git(t, clone, "add", "-A")
		git(t, clone, "commit", "-q", "-m", "Change")
		git(t, clone, "push", "-q", url, "main")
	}
	copied := filepath.Join(dir, "copy")
	git(t, dir, "clone", "-q", "--depth", "1", url, copied)
	if got, want := git(t, copied, "rev-parse", "HEAD"), git(t, clone, "rev-parse", "HEAD"); got != want {
		t.Errorf("the clone is at %s, want %s", got, want)
	}
	got, err := os.ReadFile(filepath.Join(copied, "file"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, large) {
		t.Error("the clone has other content than was pushed")
	}
}
