package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// DefaultLimit is the default size of a cache, in bytes on disk.
const DefaultLimit = 1 << 30

// touchInterval is the precision of the time of last use, which is the modification time of the
// file. A use within this interval is not recorded, so that reading costs no write.
const touchInterval = time.Hour

// fileFlags are added to every open: a named pipe in the directory must not block. They also save
// the runtime the calls that make the descriptor non-blocking.
const fileFlags = syscall.O_NONBLOCK

// Store is a cache on disk. It is safe for concurrent use; a nil *Store is an empty cache.
//
// The file of an entry is DIR/0a/0a1b…: a folder for each first byte of a key, a file named by the
// key in hex. It is written to DIR/tmp and renamed, so that a reader finds a complete entry or
// none. Nothing is synced, because the checksum detects entries that a power failure tore. Files of
// other names are not touched.
type Store struct {
	dir  string
	root *os.Root // confines symbolic links to the directory
	now  func() time.Time

	segments     []segment
	segmentLimit int64        // in bytes on disk
	maxEntry     int64        // in bytes on disk
	swept        atomic.Int64 // segments that account has checked in addition, from sweepStart on
	sweepStart   int64

	hits, misses, corrupt, evicted, failures atomic.Int64

	mu      sync.Mutex
	lastErr error
}

// Open opens the cache in a directory, which it creates with mode 0700 if it is missing. The limit
// is in bytes on disk; 0 means [DefaultLimit]. The error names the directory and says what to do.
func Open(dir string, limit int64) (*Store, error) {
	return open(dir, limit, time.Now)
}

func open(dir string, limit int64, now func() time.Time) (*Store, error) {
	if dir == "" {
		return nil, errors.New("no cache directory: name one")
	}
	if limit < 0 {
		return nil, fmt.Errorf("cache directory %s: a limit of %d bytes: give a number of bytes, or 0 for %d", dir, limit, int64(DefaultLimit))
	}
	if limit == 0 {
		limit = DefaultLimit
	}
	s := &Store{dir: dir, now: now}
	s.makeSegments(limit)
	if err := s.prepare(); err != nil {
		_ = s.Close() // the first error is the useful one
		return nil, fmt.Errorf("cache directory %s cannot be used: %w: name another one, or let this user (%d) write to it", dir, err, os.Getuid())
	}
	s.sweepTemporary()
	return s, nil
}

// prepare creates the directory and writes a test file, so that a wrong setting is reported at
// once. A full disk is not an error: existing entries can still be read.
func (s *Store) prepare() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return err
	}
	s.root = root
	name, err := s.writeTemporary(nil)
	if isFull(err) {
		s.recordError("writing to", s.dir, err)
		return nil
	}
	if err != nil {
		return err
	}
	return s.root.Remove(name)
}

// Close releases the directory. After it, every Get misses and every Put is dropped.
func (s *Store) Close() error {
	if s == nil || s.root == nil {
		return nil
	}
	return s.root.Close()
}

// Get returns the content stored under the key by any process. The content belongs to the caller.
func (s *Store) Get(key Key) ([]byte, bool) {
	if s == nil {
		return nil, false
	}
	path := key.path()
	content, info, err := s.read(path, key)
	if err == nil {
		s.hits.Add(1)
		// Abs: a modification time in the future would protect the entry from eviction.
		if age := s.now().Sub(info.ModTime()); age.Abs() > touchInterval {
			s.touch(path)
		}
		return content, true
	}
	s.misses.Add(1)
	var corrupt *corruptError
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case errors.As(err, &corrupt):
		s.corrupt.Add(1)
		s.removeCorrupt(path, key, corrupt)
	default:
		s.recordError("reading", path, err)
	}
	return nil, false
}

func (s *Store) read(path string, key Key) ([]byte, os.FileInfo, error) {
	f, err := s.root.OpenFile(path, os.O_RDONLY|fileFlags, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	return readEntry(f, key)
}

// touch records the use of an entry.
func (s *Store) touch(path string) {
	now := s.now()
	if err := s.root.Chtimes(path, now, now); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.recordError("recording the use of", path, err)
	}
}

// removeCorrupt removes a corrupt entry. If another process has just replaced it by a good one,
// that one is removed and computed again.
func (s *Store) removeCorrupt(path string, key Key, corrupt *corruptError) {
	err := s.root.Remove(path)
	if err == nil {
		s.segmentOf(key).forget(onDisk(corrupt.length))
	} else if !errors.Is(err, fs.ErrNotExist) {
		s.recordError("removing", path, fmt.Errorf("%w (it %w)", err, corrupt))
	}
}

// Put stores the content under the key. Content that cannot be stored, or that would occupy more
// than half of a segment (2 MiB for limits from 8 MiB to 1 GiB), is dropped and counted as an error.
func (s *Store) Put(key Key, content []byte) {
	if s == nil {
		return
	}
	path := key.path()
	size := onDisk(int64(headerLength + len(content)))
	if size > s.maxEntry {
		s.recordError("storing", path, fmt.Errorf("an entry of %d bytes is too large: the limit of the cache allows %d: raise the limit", size, s.maxEntry))
		return
	}
	if err := s.write(path, encode(key, content)); err != nil {
		s.recordError("storing", path, err)
		return
	}
	s.account(key, size)
}

// write replaces the file of an entry atomically.
func (s *Store) write(path string, file []byte) error {
	temporary, err := s.writeTemporary(file)
	if err != nil {
		return err
	}
	err = s.root.Rename(temporary, path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.mkdir(path[:2]); err == nil {
			err = s.root.Rename(temporary, path)
		}
	}
	if err != nil {
		_ = s.root.Remove(temporary) // otherwise sweepTemporary removes it
	}
	return err
}

// mkdir creates a folder if it is missing.
func (s *Store) mkdir(folder string) error {
	err := s.root.Mkdir(folder, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// recordError counts an error and keeps it for [Store.Err].
func (s *Store) recordError(doing, path string, err error) {
	s.failures.Add(1)
	err = fmt.Errorf("cache directory %s: %s %s: %w", s.dir, doing, path, err)
	if isFull(err) {
		err = fmt.Errorf("%w: free some space, or lower the limit of the cache; until then results are computed each time", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastErr = err
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
