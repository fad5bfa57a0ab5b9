//go:build linux

package torture_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// diskSize is enough for the caches and small enough to be filled quickly.
const diskSize = "48m"

// disk contains the caches and temporary files of the controllers. It is a separate file system.
// Where none can be mounted, a limit on the file size of the processes imitates a full disk.
type disk struct {
	path string
	real bool
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	d := &disk{path: t.TempDir()}
	if err := unix.Mount("isthmus-torture", d.path, "tmpfs", 0, "size="+diskSize); err != nil {
		t.Logf("no file system can be mounted (%v); a limit on the file size imitates a full disk", err)
		return d
	}
	d.real = true
	t.Cleanup(func() { must(t, unix.Unmount(d.path, unix.MNT_DETACH)) })
	return d
}

func (d *disk) filler() string { return filepath.Join(d.path, "filler") }

// fill leaves no free space.
func (d *disk) fill(t *testing.T, controllers []*controller) {
	t.Helper()
	if !d.real {
		for _, k := range controllers {
			k.limit(1)
		}
		return
	}
	filler, err := os.Create(d.filler())
	must(t, err)
	defer filler.Close()
	if _, err := io.Copy(filler, zeros{}); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
}

// clear frees the space.
func (d *disk) clear(t *testing.T, controllers []*controller) {
	t.Helper()
	if !d.real {
		for _, k := range controllers {
			k.limit(unix.RLIM_INFINITY)
		}
		return
	}
	must(t, os.Remove(d.filler()))
}

// zeros is an endless reader.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
