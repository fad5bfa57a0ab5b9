package cache

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"
)

// Files are written in a folder of their own, so that leftovers are found without walking the cache.
const (
	temporaryFolder = "tmp"
	temporaryPrefix = "put-"
)

// temporaryAge is when a temporary file can no longer be one that a process is about to rename, which takes milliseconds.
const temporaryAge = time.Hour

// writeTemporary writes a file under a name that no other process uses. On an error there is none.
func (s *Store) writeTemporary(content []byte) (path string, err error) {
	path = temporaryFolder + "/" + randomName()
	f, err := s.create(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.mkdir(temporaryFolder); err == nil {
			f, err = s.create(path)
		}
	}
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	if closeErr := f.Close(); err == nil {
		err = closeErr // which is where a network file system may say that it is full
	}
	if err != nil {
		_ = s.root.Remove(path) // or the next Open, an hour later
		return "", err
	}
	return path, nil
}

func (s *Store) create(path string) (*os.File, error) {
	return s.root.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|fileFlags, 0o600)
}

// sweepTemporary removes what processes that died in the middle of a Put left behind.
func (s *Store) sweepTemporary() {
	files, err := s.list(temporaryFolder, func(name string) bool { return strings.HasPrefix(name, temporaryPrefix) })
	if err != nil {
		s.fail("listing", temporaryFolder, err)
	}
	for _, file := range files {
		if s.now().Sub(file.used) <= temporaryAge {
			continue
		}
		if err := s.root.Remove(file.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.fail("removing the leftover", file.path, err)
		}
	}
}
