package cache

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	folders = 256

	// smallestPart holds a thousand entries of the usual size, enough for the order of use to mean something, and few enough to
	// look at within a Put.
	smallestPart = 4 << 20

	// block is what file systems allot.
	block = 4096

	// spare is the share of a part, 1/spare, that removal leaves free, so that it is not the business of every Put.
	spare = 10

	// unseen is the share of a part, 1/unseen, that this process adds before it looks what others have added.
	unseen = 16
)

// part is a range of folders that has its own share of the limit. What it knows of its files is what it last saw, and what
// this process has done since.
type part struct {
	first, folders int

	mu      sync.Mutex
	seen    bool // looked at before; the numbers mean nothing until then
	bytes   int64
	entries int
	added   int64 // bytes that this process has added since
	room    int64 // bytes that it may add before it looks again
}

// file is one that was found in a folder.
type file struct {
	path string
	size int64 // on disk
	used time.Time
}

// divide sets up the parts: as many as there are folders, or fewer and larger ones for a small limit.
func (s *Store) divide(limit int64) {
	n := folders
	for n > 1 && limit/int64(n) < smallestPart {
		n /= 2
	}
	s.parts = make([]part, n)
	for i := range s.parts {
		s.parts[i].folders = folders / n
		s.parts[i].first = i * folders / n
	}
	s.partLimit = limit / int64(n)
	s.longestEntry = min(s.partLimit/2, longestContent)
	s.firstVisited = rand.Int64N(int64(n))
}

func (s *Store) partOf(key Key) *part {
	return &s.parts[int(key[0])*len(s.parts)/folders]
}

// onDisk is what a file of this length occupies.
func onDisk(length int64) int64 {
	return max((length+block-1)/block, 1) * block
}

// account notes that an entry was stored and sees to it that the cache stays below its limit.
func (s *Store) account(key Key, size int64) {
	p := s.partOf(key)
	p.mu.Lock()
	p.bytes += size
	p.entries++
	p.added += size
	s.bound(p)
	p.mu.Unlock()

	// One other part, until all were looked at: so a limit that was lowered, or that processes of a few Puts each have
	// overstepped together, holds again soon, everywhere.
	if i := s.visited.Load(); i < int64(len(s.parts)) {
		other := &s.parts[(s.firstVisited+s.visited.Add(1))%int64(len(s.parts))]
		other.mu.Lock()
		if !other.seen {
			s.bound(other)
		}
		other.mu.Unlock()
	}
}

// bound removes what is too much in a part, which is locked, if it may have become too much.
func (s *Store) bound(p *part) {
	if p.seen && p.added <= p.room {
		return
	}
	if files := s.look(p); p.bytes > s.partLimit {
		s.evict(p, files)
	}
}

// look finds out what is in a part, which is locked.
func (s *Store) look(p *part) []file {
	var files []file
	for i := range p.folders {
		folder := fmt.Sprintf("%02x", p.first+i)
		found, err := s.list(folder, func(name string) bool { return isKey(folder, name) })
		if err != nil {
			s.fail("listing", folder, err)
		}
		files = append(files, found...)
	}
	p.seen = true
	p.bytes = 0
	p.entries = len(files)
	for _, f := range files {
		p.bytes += f.size
	}
	s.setRoom(p)
	return files
}

// evict removes the files of a part, which is locked, that went unused for the longest time.
func (s *Store) evict(p *part, files []file) {
	slices.SortFunc(files, func(a, b file) int {
		return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.path, b.path))
	})
	for _, f := range files {
		if p.bytes <= s.partLimit-s.partLimit/spare {
			break
		}
		err := s.root.Remove(f.path)
		if err == nil {
			s.evicted.Add(1)
		} else if !errors.Is(err, fs.ErrNotExist) { // another process does the same
			s.fail("removing", f.path, err)
			continue
		}
		p.bytes -= f.size
		p.entries--
	}
	s.setRoom(p)
	if p.room < 0 {
		p.room = s.partLimit / unseen // what cannot be removed now is not tried with every Put
	}
}

func (s *Store) setRoom(p *part) {
	p.added = 0
	p.room = min(s.partLimit-p.bytes, s.partLimit/unseen)
}

// forget notes that an entry is gone. What it was counted for may have been another size, if it was damaged since: that
// makes the numbers of Stats inexact until the next look, but leaves what may be added before it.
func (p *part) forget(size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen {
		p.bytes = max(p.bytes-size, 0)
		p.entries = max(p.entries-1, 0)
	}
}

// list returns the regular files of a folder whose name is of interest. A folder that is not there has none.
func (s *Store) list(folder string, interesting func(name string) bool) ([]file, error) {
	f, err := s.root.OpenFile(folder, os.O_RDONLY|fileFlags, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1) // what was read before an error is returned as well
	files := make([]file, 0, len(entries))
	for _, entry := range entries {
		if !entry.Type().IsRegular() || !interesting(entry.Name()) {
			continue
		}
		info, infoErr := entry.Info()
		if infoErr != nil {
			if !errors.Is(infoErr, fs.ErrNotExist) { // removed meanwhile
				err = infoErr
			}
			continue
		}
		files = append(files, file{path: folder + "/" + entry.Name(), size: onDisk(info.Size()), used: info.ModTime()})
	}
	return files, err
}
