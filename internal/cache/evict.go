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
	// folders is the number of folders: one for each first byte of a key.
	folders = 256

	// minSegment holds a thousand entries of the usual size: enough for the order of use to matter,
	// few enough to scan within a Put.
	minSegment = 4 << 20

	// block is the allocation unit of common file systems.
	block = 4096

	// evictShare is the share of a segment, 1/evictShare, that an eviction frees, so that not every
	// Put evicts.
	evictShare = 10

	// scanShare is the share of a segment, 1/scanShare, that this process adds between two scans.
	scanShare = 16
)

// segment is a range of folders with its own share of the limit. Keys are hashes, so segments fill
// evenly, and no Put scans the whole cache. Limits below 8 MiB have one segment.
//
// Processes share no state but the files. So a process scans a segment at its first Put there, and
// again whenever it has added a sixteenth of the share. While n processes write at once, the cache
// may therefore exceed its limit by n-1 sixteenths. Entries count as the blocks that they occupy,
// as in the quota of a volume. The folders are not counted; they add about 2 % to a full cache of
// small entries.
type segment struct {
	first, folders int

	mu      sync.Mutex
	scanned bool // until then the numbers below mean nothing
	bytes   int64
	entries int
	added   int64 // bytes that this process has added since the scan
	budget  int64 // bytes that it may add before the next scan
}

// file is a regular file in one of the folders.
type file struct {
	path string
	size int64 // on disk
	used time.Time
}

// makeSegments divides the folders into segments of at least minSegment bytes.
func (s *Store) makeSegments(limit int64) {
	n := folders
	for n > 1 && limit/int64(n) < minSegment {
		n /= 2
	}
	s.segments = make([]segment, n)
	for i := range s.segments {
		s.segments[i].folders = folders / n
		s.segments[i].first = i * folders / n
	}
	s.segmentLimit = limit / int64(n)
	s.maxEntry = min(s.segmentLimit/2, maxContent)
	s.sweepStart = rand.Int64N(int64(n))
}

func (s *Store) segmentOf(key Key) *segment {
	return &s.segments[int(key[0])*len(s.segments)/folders]
}

// onDisk returns the bytes that a file of this length occupies.
func onDisk(length int64) int64 {
	return max((length+block-1)/block, 1) * block
}

// account records a stored entry and evicts others if the limit is exceeded.
func (s *Store) account(key Key, size int64) {
	g := s.segmentOf(key)
	g.mu.Lock()
	g.bytes += size
	g.entries++
	g.added += size
	s.enforceLimit(g)
	g.mu.Unlock()

	// Each Put also checks one other segment until all were scanned. So a lowered limit, or one
	// that many short processes have exceeded together, is enforced everywhere after 256 Puts.
	if i := s.swept.Load(); i < int64(len(s.segments)) {
		other := &s.segments[(s.sweepStart+s.swept.Add(1))%int64(len(s.segments))]
		other.mu.Lock()
		if !other.scanned {
			s.enforceLimit(other)
		}
		other.mu.Unlock()
	}
}

// enforceLimit scans a locked segment if it may exceed its limit, and evicts entries if it does.
func (s *Store) enforceLimit(g *segment) {
	if g.scanned && g.added <= g.budget {
		return
	}
	if files := s.scan(g); g.bytes > s.segmentLimit {
		s.evict(g, files)
	}
}

// scan lists the entries of a locked segment and updates its numbers.
func (s *Store) scan(g *segment) []file {
	var files []file
	for i := range g.folders {
		folder := fmt.Sprintf("%02x", g.first+i)
		found, err := s.list(folder, func(name string) bool { return isKey(folder, name) })
		if err != nil {
			s.recordError("listing", folder, err)
		}
		files = append(files, found...)
	}
	g.scanned = true
	g.bytes = 0
	g.entries = len(files)
	for _, f := range files {
		g.bytes += f.size
	}
	s.setBudget(g)
	return files
}

// evict removes the least recently used files of a locked segment until 90 % of its share is in
// use.
func (s *Store) evict(g *segment, files []file) {
	slices.SortFunc(files, func(a, b file) int {
		return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.path, b.path))
	})
	for _, f := range files {
		if g.bytes <= s.segmentLimit-s.segmentLimit/evictShare {
			break
		}
		err := s.root.Remove(f.path)
		if err == nil {
			s.evicted.Add(1)
		} else if !errors.Is(err, fs.ErrNotExist) { // another process may evict at the same time
			s.recordError("removing", f.path, err)
			continue
		}
		g.bytes -= f.size
		g.entries--
	}
	s.setBudget(g)
	if g.budget < 0 {
		g.budget = s.segmentLimit / scanShare // do not retry failed removals with every Put
	}
}

func (s *Store) setBudget(g *segment) {
	g.added = 0
	g.budget = min(s.segmentLimit-g.bytes, s.segmentLimit/scanShare)
}

// forget records a removed entry. The size of a damaged entry may differ from the recorded one; the
// next scan corrects the numbers, and the budget does not depend on them.
func (g *segment) forget(size int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.scanned {
		g.bytes = max(g.bytes-size, 0)
		g.entries = max(g.entries-1, 0)
	}
}

// list returns the regular files of a folder whose names are accepted, none if the folder is
// missing. On an error it also returns the files found so far.
func (s *Store) list(folder string, accept func(name string) bool) ([]file, error) {
	f, err := s.root.OpenFile(folder, os.O_RDONLY|fileFlags, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	files := make([]file, 0, len(entries))
	for _, entry := range entries {
		if !entry.Type().IsRegular() || !accept(entry.Name()) {
			continue
		}
		info, infoErr := entry.Info()
		if infoErr != nil {
			if !errors.Is(infoErr, fs.ErrNotExist) { // removed since ReadDir
				err = infoErr
			}
			continue
		}
		files = append(files, file{path: folder + "/" + entry.Name(), size: onDisk(info.Size()), used: info.ModTime()})
	}
	return files, err
}
