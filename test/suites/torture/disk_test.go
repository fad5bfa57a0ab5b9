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

// diskSize is room for the caches of a run and soon filled.
const diskSize = "48m"

// disk is where the controllers have their caches and temporary files. It is a file system of its own; where none can be mounted, a full one is
// imitated by forbidding the processes to make files longer.
type disk struct {
	path string
	real bool
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	d := &disk{path: t.TempDir()}
	if err := unix.Mount("isthmus-torture", d.path, "tmpfs", 0, "size="+diskSize); err != nil {
		t.Logf("no file system can be mounted here (%v), so a full disk is a limit on the size of files", err)
		return d
	}
	d.real = true
	t.Cleanup(func() { must(t, unix.Unmount(d.path, unix.MNT_DETACH)) })
	return d
}

func (d *disk) filler() string { return filepath.Join(d.path, "filler") }

// fill leaves not one byte.
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
		t.Fatalf("the disk should be full, but: %v", err)
	}
}

// clear makes room again.
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

// zeros never end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
