package cache

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// measure returns the size of a directory on disk and its number of files.
func measure(t *testing.T, dir string) (size int64, entries int) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		size += (info.Size() + 4095) / 4096 * 4096
		entries++
		return nil
	}))
	return size, entries
}

func (s *Store) has(key Key) bool {
	_, err := os.Stat(s.file(key))
	return err == nil
}

func TestLeastRecentlyUsedEntriesAreEvictedFirst(t *testing.T) {
	const fit = 20
	s := openAt(t, t.TempDir(), fit*block, longAgo)
	keys := make([]Key, fit)
	for i := range keys {
		keys[i] = numbered(i)
		s.Put(keys[i], []byte("v"))
	}
	// The order of use differs from the order of storing: entry order[i] is the i-th oldest.
	order := rand.New(rand.NewPCG(1, 2)).Perm(fit)
	for i, n := range order {
		used := longAgo.Add(time.Duration(i-fit) * 2 * time.Hour)
		must(t, os.Chtimes(s.file(keys[n]), used, used))
	}
	// Using the second oldest makes it the newest.
	wantHit(t, s, keys[order[1]], []byte("v"))

	s.Put(numbered(fit), []byte("v"))
	// The limit is 20 entries; eviction stops at 90 %, which is 18.
	gone := []int{order[0], order[2], order[3]}
	for i, key := range keys {
		if want := !slices.Contains(gone, i); s.has(key) != want {
			t.Errorf("entry %d exists: %v, want %v; by age: %v", i, !want, want, order)
		}
	}
	wantHit(t, s, numbered(fit), []byte("v"))
	wantStats(t, s, Stats{Hits: 2, Evicted: 3, Entries: 18, Bytes: 18 * block})
}

func TestFilesOfOtherNamesAreNotTouched(t *testing.T) {
	s := openAt(t, t.TempDir(), 20*block, longAgo)
	s.Put(Key{0xaa}, []byte("v"))
	other := strings.Repeat("a", 63)
	var foreign []string
	for _, name := range []string{"README", "00/notes", "aa/" + other, "aa/" + other + "A", "aa/" + other + "g", "aa/" + other + "aa", "aa/ab" + other[1:], "tmp/x", other + "a"} {
		path := filepath.Join(s.dir, filepath.FromSlash(name))
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, random(100_000), 0o600))
		must(t, os.Chtimes(path, longAgo.AddDate(-1, 0, 0), longAgo.AddDate(-1, 0, 0)))
		foreign = append(foreign, path)
	}
	s = openAt(t, s.dir, 20*block, longAgo)
	for i := range 100 {
		s.Put(numbered(i), []byte("v"))
	}
	stats := s.Stats()
	if stats.Evicted == 0 || stats.Bytes > 20*block || stats.Entries < 18 {
		t.Errorf("the statistics count files that are not entries: %+v", stats)
	}
	for _, path := range foreign {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	must(t, s.Err())
}

func TestCacheStaysBelowItsLimit(t *testing.T) {
	seed := uint64(20)
	t.Log("seed", seed)
	rnd := rand.New(rand.NewPCG(seed, seed))
	s := openNow(t, t.TempDir(), 100*block)
	for i := range 500 {
		s.Put(numbered(i), random(rnd.IntN(10*block)))
		size, entries := measure(t, s.dir)
		if size > 100*block {
			t.Fatalf("%d bytes after %d Puts, the limit is %d", size, i+1, 100*block)
		}
		if stats := s.Stats(); stats.Bytes != size || stats.Entries != int64(entries) {
			t.Fatalf("after %d Puts the statistics are %+v, but %d bytes in %d entries are on disk", i+1, stats, size, entries)
		}
	}
	if s.Stats().Evicted < 300 {
		t.Errorf("too few evictions for this test: %+v", s.Stats())
	}
	must(t, s.Err())
}

func TestCacheStaysBelowItsLimitAcrossSegments(t *testing.T) {
	const limit = 16 << 20
	s := openNow(t, t.TempDir(), limit)
	if len(s.segments) != 4 {
		t.Fatalf("%d segments, this test needs 4", len(s.segments))
	}
	const puts = 6000
	for i := range puts {
		s.Put(numbered(i), random(block))
	}
	size, entries := measure(t, s.dir)
	if size > limit {
		t.Errorf("%d bytes, the limit is %d", size, limit)
	}
	if size < limit*85/100 {
		t.Errorf("only %d bytes of %d are in use: too much is evicted", size, limit)
	}
	if stats := s.Stats(); stats.Bytes != size || stats.Entries != int64(entries) || stats.Evicted != int64(puts-entries) {
		t.Errorf("the statistics are %+v, but %d bytes in %d entries are on disk", stats, size, entries)
	}
	must(t, s.Err())
}

func TestEveryFolderIsInOneSegment(t *testing.T) {
	for _, limit := range []int64{1, 8<<20 - 1, 8 << 20, 100 << 20, DefaultLimit, 1 << 40} {
		s := &Store{}
		s.makeSegments(limit)
		t.Log(limit, len(s.segments), s.segmentLimit, s.maxEntry)
		for folder := range folders {
			g := s.segmentOf(Key{byte(folder)})
			if folder < g.first || folder >= g.first+g.folders {
				t.Errorf("limit %d: the segment of folder %d has %d folders from %d on", limit, folder, g.folders, g.first)
			}
		}
		if total := s.segmentLimit * int64(len(s.segments)); total > limit {
			t.Errorf("the segments have %d bytes, the limit is %d", total, limit)
		}
	}
}

// Each of many short processes adds less than the share after which a process scans again.
func TestProcessesWithFewPutsKeepTheLimit(t *testing.T) {
	dir := t.TempDir()
	const limit = 16 << 20
	for i := range 150 {
		s := openNow(t, dir, limit)
		for j := range 20 {
			s.Put(numbered(i*20+j), random(block))
		}
		must(t, s.Err())
		must(t, s.Close())
		if i%25 == 24 {
			if size, _ := measure(t, dir); size > limit {
				t.Fatalf("%d bytes, the limit is %d", size, limit)
			}
		}
	}
}

func TestSeveralStoresOfOneDirectoryKeepTheLimit(t *testing.T) {
	dir := t.TempDir()
	const limit, n = 320 * block, 4
	var stores [n]*Store
	for i := range stores {
		stores[i] = openNow(t, dir, limit)
	}
	for i := range 1200 {
		stores[i%n].Put(numbered(i), []byte("v"))
		if i%7 != 0 { // often enough, and not in step with the stores
			continue
		}
		// Each of the others may have added a sixteenth since the last scan.
		if size, _ := measure(t, dir); size > limit+(n-1)*limit/16 {
			t.Fatalf("%d bytes after %d Puts, the limit is %d", size, i+1, limit)
		}
	}
	for _, s := range stores {
		must(t, s.Err())
	}
}

func TestLoweredLimitIsEnforcedSoon(t *testing.T) {
	dir := t.TempDir()
	s := openNow(t, dir, 0)
	for i := range 5000 {
		s.Put(numbered(i), random(block))
	}
	const lower = 32 << 20
	if size, _ := measure(t, dir); size <= lower {
		t.Fatalf("only %d bytes", size)
	}
	s = openNow(t, dir, lower)
	for i := range len(s.segments) {
		s.Put(Key{0, byte(i)}, nil) // all in one segment
	}
	if size, _ := measure(t, dir); size > lower {
		t.Errorf("%d bytes, the limit is %d", size, lower)
	}
	must(t, s.Err())
}

func TestContentLargerThanHalfOfASegmentIsNotStored(t *testing.T) {
	s := openNow(t, t.TempDir(), 20*block)
	key := NewKey([]byte("k"))
	s.Put(key, random(10*block-headerLength))
	if _, ok := s.Get(key); !ok {
		t.Errorf("content of half of the cache is not stored: %v", s.Err())
	}
	other := NewKey([]byte("other"))
	s.Put(other, random(10*block))
	wantMiss(t, s, other)
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "raise the limit") {
		t.Errorf("the error does not say what to do: %v", err)
	}
	wantStats(t, s, Stats{Hits: 1, Misses: 1, Errors: 1, Entries: 1, Bytes: 10 * block})
}

func TestFailedRemovalsAreNotRetriedWithEveryPut(t *testing.T) {
	s := openNow(t, t.TempDir(), 160*block)
	// Directories that are not empty stand for files that cannot be removed.
	g := s.segmentOf(Key{})
	files := make([]file, 200)
	for i := range files {
		path := fmt.Sprintf("00/%064x", i)
		must(t, os.MkdirAll(filepath.Join(s.dir, path, "not empty"), 0o700))
		files[i] = file{path: path, size: block}
	}
	s.scan(g)
	g.bytes, g.entries = 200*block, 200
	s.evict(g, files)
	if g.budget != 10*block {
		t.Errorf("the next scan is after %d bytes, not after a sixteenth of the limit", g.budget)
	}
	if s.Err() == nil || s.failures.Load() != 200 || g.bytes != 200*block || g.entries != 200 {
		t.Errorf("%d failures, %d bytes, %d entries, and error %v", s.failures.Load(), g.bytes, g.entries, s.Err())
	}
}
