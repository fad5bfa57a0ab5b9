package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"time"
)

// Files are written in a folder of their own, so that leftovers are found without a scan.
const (
	temporaryFolder = "tmp"
	temporaryPrefix = "put-"
)

// temporaryAge is the age of a leftover: a Put renames its file within milliseconds.
const temporaryAge = time.Hour

// writeTemporary writes a file under a random name and returns its path. On an error it leaves no
// file.
func (s *Store) writeTemporary(content []byte) (path string, err error) {
	// Process ids are not unique across containers.
	path = fmt.Sprintf("%s/%s%016x", temporaryFolder, temporaryPrefix, rand.Uint64())
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
		err = closeErr // a network file system may report a full disk here
	}
	if err != nil {
		_ = s.root.Remove(path) // otherwise sweepTemporary removes it
		return "", err
	}
	return path, nil
}

func (s *Store) create(path string) (*os.File, error) {
	return s.root.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|fileFlags, 0o600)
}

// sweepTemporary removes the files of processes that died during a Put.
func (s *Store) sweepTemporary() {
	files, err := s.list(temporaryFolder, func(name string) bool { return strings.HasPrefix(name, temporaryPrefix) })
	if err != nil {
		s.recordError("listing", temporaryFolder, err)
	}
	for _, file := range files {
		if s.now().Sub(file.used) <= temporaryAge {
			continue
		}
		if err := s.root.Remove(file.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.recordError("removing the leftover", file.path, err)
		}
	}
}
