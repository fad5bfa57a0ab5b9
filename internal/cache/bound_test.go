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

// measure walks a cache and returns what is in it, independently of the store.
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

func TestTheEntriesThatWentUnusedForTheLongestGoFirst(t *testing.T) {
	const fit = 20
	s := openAt(t, t.TempDir(), fit*block, longAgo)
	keys := make([]Key, fit)
	for i := range keys {
		keys[i] = numbered(i)
		s.Put(keys[i], []byte("v"))
	}
	// Ages that are not the order in which they were stored: the entry at position i of order is i-th oldest.
	order := rand.New(rand.NewPCG(1, 2)).Perm(fit)
	for i, n := range order {
		used := longAgo.Add(time.Duration(i-fit) * 2 * time.Hour)
		must(t, os.Chtimes(s.file(keys[n]), used, used))
	}
	// The oldest but one is used, which makes it the newest.
	wantHit(t, s, keys[order[1]], []byte("v"))

	s.Put(numbered(fit), []byte("v"))
	// 21 entries are too many; 90 % of 20 are 18.
	gone := []int{order[0], order[2], order[3]}
	for i, key := range keys {
		if want := !slices.Contains(gone, i); s.has(key) != want {
			t.Errorf("entry %d is there: %v, but should be: %v; by age: %v", i, !want, want, order)
		}
	}
	wantHit(t, s, numbered(fit), []byte("v"))
	wantStats(t, s, Stats{Hits: 2, Evicted: 3, Entries: 18, Bytes: 18 * block})
}

func TestFilesOfOtherNamesAreLeftAlone(t *testing.T) {
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
		t.Errorf("the numbers count what is not an entry: %+v", stats)
	}
	for _, path := range foreign {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	must(t, s.Err())
}

func TestTheCacheStaysBelowItsLimit(t *testing.T) {
	seed := uint64(20)
	t.Log("seed", seed)
	rnd := rand.New(rand.NewPCG(seed, seed))
	s := openNow(t, t.TempDir(), 100*block)
	for i := range 500 {
		s.Put(numbered(i), random(rnd.IntN(10*block)))
		size, entries := measure(t, s.dir)
		if size > 100*block {
			t.Fatalf("after %d Puts it has %d bytes, the limit is %d", i+1, size, 100*block)
		}
		if stats := s.Stats(); stats.Bytes != size || stats.Entries != int64(entries) {
			t.Fatalf("after %d Puts the numbers are %+v, on disk are %d bytes in %d entries", i+1, stats, size, entries)
		}
	}
	if s.Stats().Evicted < 300 {
		t.Errorf("the test has little to say: %+v", s.Stats())
	}
	must(t, s.Err())
}

func TestTheCacheStaysBelowItsLimitAcrossItsParts(t *testing.T) {
	const limit = 16 << 20
	s := openNow(t, t.TempDir(), limit)
	if len(s.parts) != 4 {
		t.Fatalf("%d parts, so this is another test", len(s.parts))
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
		t.Errorf("only %d bytes of %d are in use: removal goes too far", size, limit)
	}
	if stats := s.Stats(); stats.Bytes != size || stats.Entries != int64(entries) || stats.Evicted != int64(puts-entries) {
		t.Errorf("the numbers are %+v, on disk are %d bytes in %d entries", stats, size, entries)
	}
	must(t, s.Err())
}

func TestEveryFolderIsInOnePart(t *testing.T) {
	for _, limit := range []int64{1, 8<<20 - 1, 8 << 20, 100 << 20, DefaultLimit, 1 << 40} {
		s := &Store{}
		s.divide(limit)
		t.Log(limit, len(s.parts), s.partLimit, s.longestEntry)
		for folder := range folders {
			p := s.partOf(Key{byte(folder)})
			if folder < p.first || folder >= p.first+p.folders {
				t.Errorf("with a limit of %d, folder %d is looked for in the part of %d folders from %d on", limit, folder, p.folders, p.first)
			}
		}
		if total := s.partLimit * int64(len(s.parts)); total > limit {
			t.Errorf("the parts have %d bytes, the limit is %d", total, limit)
		}
	}
}

// Each of many short processes adds a little, and none of them sees the limit go by.
func TestProcessesOfAFewPutsEachKeepTheLimitAsWell(t *testing.T) {
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

func TestSeveralStoresOnOneDirectoryKeepTheLimitTogether(t *testing.T) {
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
		// All of them add up to a sixteenth that the last one to look does not know of.
		if size, _ := measure(t, dir); size > limit+(n-1)*limit/16 {
			t.Fatalf("after %d Puts it has %d bytes, the limit is %d", i+1, size, limit)
		}
	}
	for _, s := range stores {
		must(t, s.Err())
	}
}

func TestALimitThatWasLoweredHoldsSoon(t *testing.T) {
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
	for i := range len(s.parts) {
		s.Put(Key{0, byte(i)}, nil) // all in one part
	}
	if size, _ := measure(t, dir); size > lower {
		t.Errorf("%d bytes, the limit is %d", size, lower)
	}
	must(t, s.Err())
}

func TestContentThatWouldTakeMostOfTheCacheIsNotStored(t *testing.T) {
	s := openNow(t, t.TempDir(), 20*block)
	key := NewKey([]byte("k"))
	s.Put(key, random(10*block-headerLength))
	if _, ok := s.Get(key); !ok {
		t.Errorf("half of the cache is not stored: %v", s.Err())
	}
	other := NewKey([]byte("other"))
	s.Put(other, random(10*block))
	wantMiss(t, s, other)
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "raise the limit") {
		t.Errorf("the error does not say what to do: %v", err)
	}
	wantStats(t, s, Stats{Hits: 1, Misses: 1, Errors: 1, Entries: 1, Bytes: 10 * block})
}

func TestFilesThatCannotBeRemovedAreNotTriedWithEveryPut(t *testing.T) {
	s := openNow(t, t.TempDir(), 160*block)
	// No file can be removed from the parts of a store whose files are directories: stand-ins that any user can make.
	p := s.partOf(Key{})
	files := make([]file, 200)
	for i := range files {
		path := fmt.Sprintf("00/%064x", i)
		must(t, os.MkdirAll(filepath.Join(s.dir, path, "not empty"), 0o700))
		files[i] = file{path: path, size: block}
	}
	s.look(p)
	p.bytes, p.entries = 200*block, 200
	s.evict(p, files)
	if p.room != 10*block {
		t.Errorf("it looks again after %d bytes, not after a sixteenth of the limit", p.room)
	}
	if s.Err() == nil || s.failures.Load() != 200 || p.bytes != 200*block || p.entries != 200 {
		t.Errorf("%d failures, %d bytes, %d entries, and error %v", s.failures.Load(), p.bytes, p.entries, s.Err())
	}
}
