package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// DefaultLimit is the size of a cache, in bytes, if its user names none.
const DefaultLimit = 1 << 30

// touchInterval is how exact the order of use is: a use within this time of the one before leaves no trace, and costs no write.
const touchInterval = time.Hour

// fileFlags go with every opening of a file: a named pipe that somebody put there must not hold us. It also spares the
// calls by which the runtime would make the descriptor non-blocking.
const fileFlags = syscall.O_NONBLOCK

// Store is a cache on disk. Its methods may be called from several goroutines, and on a nil *Store, which holds nothing.
type Store struct {
	dir  string
	root *os.Root // through which every file is reached, so that no symbolic link leads outside
	now  func() time.Time

	partLimit    int64
	longestEntry int64 // in bytes on disk
	parts        []part
	visited      atomic.Int64 // parts that were looked at in turn, from firstVisited on
	firstVisited int64

	hits, misses, corrupt, evicted, failures atomic.Int64

	mu      sync.Mutex
	lastErr error
}

// Open opens the cache in a directory, which it creates, for this user alone, if there is none. Other processes may have it open.
// The limit is in bytes on disk; 0 stands for [DefaultLimit].
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
	s.divide(limit)
	if err := s.prepare(); err != nil {
		_ = s.Close() // the reason why it cannot be used is the one to tell
		return nil, fmt.Errorf("cache directory %s cannot be used: %w: name another one, or let this user (%d) write to it", dir, err, os.Getuid())
	}
	s.sweepTemporary()
	return s, nil
}

// prepare makes the directory and tries whether files can be made there, so that a misconfigured one is told of at once and not by a
// cache that never holds anything.
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
		s.fail("writing to", s.dir, err) // what is there can still be read, and disks do not stay full
		return nil
	}
	if err != nil {
		return err
	}
	return s.root.Remove(name)
}

// Close lets go of the directory. After it, every Get misses and every Put is dropped.
func (s *Store) Close() error {
	if s == nil || s.root == nil {
		return nil
	}
	return s.root.Close()
}

// Get returns the content that was stored under the key, by whatever process, if all of it is there. The content is the caller's.
func (s *Store) Get(key Key) ([]byte, bool) {
	if s == nil {
		return nil, false
	}
	path := key.path()
	content, info, err := s.read(path, key)
	if err == nil {
		s.hits.Add(1)
		if age := s.now().Sub(info.ModTime()); age.Abs() > touchInterval { // one from the future would never be removed
			s.touch(path)
		}
		return content, true
	}
	s.misses.Add(1)
	var bad *corruptError
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case errors.As(err, &bad):
		s.corrupt.Add(1)
		s.drop(path, key, bad)
	default:
		s.fail("reading", path, err)
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

// touch makes an entry the one that was used last.
func (s *Store) touch(path string) {
	now := s.now()
	if err := s.root.Chtimes(path, now, now); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.fail("noting the use of", path, err)
	}
}

// drop removes a corrupt entry. If another process has just put a good one in its place, that one goes instead, and is computed again.
func (s *Store) drop(path string, key Key, bad *corruptError) {
	err := s.root.Remove(path)
	if err == nil {
		s.partOf(key).forget(onDisk(bad.length))
	} else if !errors.Is(err, fs.ErrNotExist) {
		s.fail("removing", path, fmt.Errorf("%w (it %w)", err, bad))
	}
}

// Put stores the content under the key, for this process and others. What cannot be stored is dropped and counted as an
// error. Content that takes more than half of a part of the cache (2 MiB for limits from 8 MiB to 1 GiB) is such a case.
func (s *Store) Put(key Key, content []byte) {
	if s == nil {
		return
	}
	path := key.path()
	size := onDisk(int64(headerLength + len(content)))
	if size > s.longestEntry {
		s.fail("storing", path, fmt.Errorf("%d bytes are more than an entry of a cache of this limit may have, which is %d: raise the limit", size, s.longestEntry))
		return
	}
	if err := s.write(path, encode(key, content)); err != nil {
		s.fail("storing", path, err)
		return
	}
	s.account(key, size)
}

// write puts a file in its place, whole. There is no sync: after a power failure, the checksum tells what is whole.
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
		_ = s.root.Remove(temporary) // or the next Open, an hour later
	}
	return err
}

// mkdir makes a folder, unless another process was faster.
func (s *Store) mkdir(folder string) error {
	err := s.root.Mkdir(folder, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// fail counts an error and keeps it: no caller has use for it, but somebody will want to know why the cache is of no help.
func (s *Store) fail(doing, path string, err error) {
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

// randomName is unlike that of any other file that any process is writing; process ids are not, across containers.
func randomName() string {
	return fmt.Sprintf("%s%016x", temporaryPrefix, rand.Uint64())
}
