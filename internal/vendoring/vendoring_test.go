package vendoring

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// vendored returns the folder of a CUE module with the vendored mesh module.
func vendored(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	put(t, dir, ModuleFile, "module: \"example.com/mesh\"\n")
	changes, err := Vendor(dir)
	if err != nil {
		t.Fatal(err)
	}
	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		if c.Action != Add || files[c.File] == nil {
			t.Errorf("unexpected change of an empty folder: %v", c)
		}
	}
	if len(changes) != len(files) {
		t.Errorf("%d changes for %d files", len(changes), len(files))
	}
	return dir
}

func put(t *testing.T, dir, file, content string) {
	t.Helper()
	name := filepath.Join(dir, file)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func TestVendorUpdatesDifferingFiles(t *testing.T) {
	for _, tc := range []struct {
		reason string
		change func(t *testing.T, dir string)
		want   []Change
	}{
		{"nothing", func(*testing.T, string) {}, nil},
		{
			"a file changed by hand",
			func(t *testing.T, dir string) { put(t, dir, Folder+"/cluster_view.cue", "package mesh\n") },
			[]Change{{Update, Folder + "/cluster_view.cue"}},
		},
		{
			"a missing file",
			func(t *testing.T, dir string) {
				if err := os.Remove(filepath.Join(dir, Folder, "cluster_view.cue")); err != nil {
					t.Fatal(err)
				}
			},
			[]Change{{Add, Folder + "/cluster_view.cue"}},
		},
		{
			"files of an earlier version or of an interrupted run, but not files that CUE ignores",
			func(t *testing.T, dir string) {
				put(t, dir, Folder+"/earlier.cue", "package mesh\n")
				put(t, dir, Folder+"/.cluster_view.cue.new", "pack")
				put(t, dir, Folder+"/NOTES.md", "mine\n")
			},
			[]Change{{Remove, Folder + "/.cluster_view.cue.new"}, {Remove, Folder + "/earlier.cue"}},
		},
		{
			"a link to a file with the same content",
			func(t *testing.T, dir string) {
				view := filepath.Join(dir, Folder, "cluster_view.cue")
				if err := errors.Join(os.Rename(view, filepath.Join(dir, "cluster_view.cue")), os.Symlink("../../../../cluster_view.cue", view)); err != nil {
					t.Fatal(err)
				}
			},
			[]Change{{Update, Folder + "/cluster_view.cue"}},
		},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			dir := vendored(t)
			tc.change(t, dir)
			compared, err := Compare(dir)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, compared); diff != "" {
				t.Errorf("Compare (-want +got):\n%s", diff)
			}
			made, err := Vendor(dir)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, made); diff != "" {
				t.Errorf("Vendor (-want +got):\n%s", diff)
			}
			files, err := Files()
			if err != nil {
				t.Fatal(err)
			}
			for file, want := range files {
				name := filepath.Join(dir, file)
				info, err := os.Lstat(name)
				if err != nil {
					t.Fatal(err)
				}
				got, err := os.ReadFile(name)
				if err != nil || !info.Mode().IsRegular() || string(got) != string(want) {
					t.Errorf("%s differs from the module (%s, %v)", file, info.Mode(), err)
				}
			}
			if left, err := Compare(dir); err != nil || len(left) > 0 {
				t.Errorf("a second run would change %v (%v)", left, err)
			}
		})
	}
}

func TestVendorStaysInTheRepository(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	put(t, dir, ModuleFile, "module: \"example.com/mesh\"\n")
	if err := os.Symlink(elsewhere, filepath.Join(dir, "cue.mod", "pkg")); err != nil {
		t.Fatal(err)
	}
	if _, err := Vendor(dir); err == nil || !strings.Contains(err.Error(), "escapes") {
		t.Errorf("got %v", err)
	}
	if entries, err := os.ReadDir(elsewhere); err != nil || len(entries) > 0 {
		t.Errorf("Vendor wrote outside of the repository: %v (%v)", entries, err)
	}
}

func TestVendorNeedsAModule(t *testing.T) {
	if _, err := Vendor(t.TempDir()); !errors.Is(err, ErrNoModule) {
		t.Errorf("got %v, want %v", err, ErrNoModule)
	}
}
