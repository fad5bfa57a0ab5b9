package cache

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func init() { otherProcesses["short files"] = shortFilesProcess }

// shortFilesProcess limits files to 1,000 bytes, so that writing a larger entry fails half-way.
func shortFilesProcess(args []string) error {
	signal.Ignore(syscall.SIGXFSZ)
	s, err := Open(args[0], 0)
	if err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1000, Max: 1000}); err != nil {
		return err
	}
	short, long := numbered(1), numbered(2)
	s.Put(short, make([]byte, 500))
	s.Put(long, make([]byte, 5000))
	if !errors.Is(s.Err(), syscall.EFBIG) {
		return fmt.Errorf("the last error is %w, want EFBIG", s.Err())
	}
	if _, ok := s.Get(short); !ok {
		return errors.New("the short entry is missing")
	}
	if _, ok := s.Get(long); ok {
		return errors.New("the long entry exists")
	}
	want := Stats{Hits: 1, Misses: 1, Errors: 1, Entries: 1, Bytes: block}
	if got := s.Stats(); got != want {
		return fmt.Errorf("the statistics are %+v, want %+v", got, want)
	}
	return nil
}

func TestInterruptedWriteLeavesNoFile(t *testing.T) {
	dir := t.TempDir()
	must(t, startProcess(t, "short files", dir).Wait())
	if _, entries := measure(t, dir); entries != 1 {
		t.Errorf("%d files, want only the short entry", entries)
	}
}

func TestFullDiskIsAnErrorButNotAFailure(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a small disk")
	}
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=256k,nr_inodes=40,mode=0700"); err != nil {
		t.Skip("cannot mount a small disk:", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(disk, syscall.MNT_DETACH)) })

	s := openAt(t, filepath.Join(disk, "cache"), 0, longAgo)
	first, content := numbered(0), []byte("v")
	s.Put(first, content)
	filler := filepath.Join(disk, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}

	for i := range 10 {
		s.Put(numbered(1+i), random(5000))
		wantMiss(t, s, numbered(1+i))
	}
	if err := s.Err(); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "free some space") {
		t.Errorf("the last error does not mention the full disk: %v", err)
	}
	if n := s.failures.Load(); n != 10 {
		t.Errorf("%d errors were counted, want 10", n)
	}
	wantHit(t, s, first, content)
	wantNoTemporary(t, s)

	// Without free inodes, another process still finds existing entries.
	var fillers []string
	for full := false; !full; {
		name := fmt.Sprint(filler, len(fillers))
		err := os.WriteFile(name, nil, 0o600)
		if full = errors.Is(err, syscall.ENOSPC); !full {
			must(t, err)
			fillers = append(fillers, name)
		}
	}
	other := openAt(t, s.dir, 0, longAgo)
	wantHit(t, other, first, content)
	if err := other.Err(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the last error does not mention the full disk: %v", err)
	}

	for _, name := range append(fillers, filler) {
		must(t, os.Remove(name))
	}
	long := random(5000)
	s.Put(numbered(1), long)
	wantHit(t, s, numbered(1), long)

	// A read-only file system.
	must(t, os.Chtimes(s.file(first), longAgo.AddDate(-1, 0, 0), longAgo.AddDate(-1, 0, 0)))
	must(t, syscall.Mount("", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	before := s.failures.Load()
	s.Put(numbered(2), content)
	wantMiss(t, s, numbered(2))
	wantHit(t, s, first, content) // its use cannot be recorded
	if n := s.failures.Load() - before; n != 2 || !errors.Is(s.Err(), syscall.EROFS) {
		t.Errorf("%d errors were counted, want 2; the last is %v", n, s.Err())
	}
	if _, err := Open(s.dir, 0); !errors.Is(err, syscall.EROFS) {
		t.Errorf("opening a read-only cache returns %v", err)
	}
}

func TestNamedPipeDoesNotBlockGet(t *testing.T) {
	s := openNow(t, t.TempDir(), 0)
	key := numbered(0)
	must(t, os.Mkdir(filepath.Dir(s.file(key)), 0o700))
	must(t, syscall.Mkfifo(s.file(key), 0o600))
	writer, err := os.OpenFile(s.file(key), os.O_RDWR, 0) // never writes
	must(t, err)
	defer writer.Close()
	wantMiss(t, s, key)
	s.Put(key, []byte("v"))
	wantHit(t, s, key, []byte("v"))
}
