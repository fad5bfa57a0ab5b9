package cache

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// longAgo is the time of injected clocks: files whose time a test does not set are newer.
var longAgo = time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)

func openAt(t *testing.T, dir string, limit int64, now time.Time) *Store {
	t.Helper()
	s, err := open(dir, limit, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func openNow(t *testing.T, dir string, limit int64) *Store {
	t.Helper()
	return openAt(t, dir, limit, time.Now())
}

func (s *Store) file(key Key) string { return filepath.Join(s.dir, key.path()) }

func wantHit(t *testing.T, s *Store, key Key, want []byte) {
	t.Helper()
	got, ok := s.Get(key)
	if !ok {
		t.Fatalf("Get(%v) misses; the last error is %v", key, s.Err())
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("Get(%v) returns %q, want %q", key, got, want)
	}
}

func wantMiss(t *testing.T, s *Store, key Key) {
	t.Helper()
	if got, ok := s.Get(key); ok {
		t.Fatalf("Get(%v) returns %q, want a miss", key, got)
	}
}

func wantStats(t *testing.T, s *Store, want Stats) {
	t.Helper()
	if got := s.Stats(); got != want {
		t.Fatalf("the statistics are\n%+v, want\n%+v; the last error is %v", got, want, s.Err())
	}
}

func wantNoTemporary(t *testing.T, s *Store) {
	t.Helper()
	left, err := os.ReadDir(filepath.Join(s.dir, temporaryFolder))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range left {
		t.Errorf("%s was left behind", file.Name())
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestStoredContentIsFoundByThisAndTheNextProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "on the way")
	s := openNow(t, dir, 0)
	contents := map[Key][]byte{}
	for _, length := range []int{0, 1, 500, 4096 - headerLength, 4096, 50_000, 1 << 20} {
		key := NewKey(fmt.Append(nil, length))
		wantMiss(t, s, key)
		contents[key] = random(length)
		s.Put(key, contents[key])
	}
	for _, store := range []*Store{s, openNow(t, dir, 0)} {
		for key, content := range contents {
			wantHit(t, store, key, content)
		}
	}
	wantStats(t, s, Stats{Hits: 7, Misses: 7, Entries: 7, Bytes: 4*4096 + 2*4096 + 13*4096 + 257*4096})
	wantNoTemporary(t, s)
}

func TestLaterContentReplacesEarlierContent(t *testing.T) {
	s := openNow(t, t.TempDir(), 0)
	key := NewKey([]byte("k"))
	s.Put(key, []byte("a longer first one"))
	s.Put(key, []byte("second"))
	wantHit(t, s, key, []byte("second"))
}

func TestOnlyTheUserCanReadTheCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	s := openNow(t, dir, 0)
	key := NewKey([]byte("k"))
	s.Put(key, []byte("v"))
	for path, want := range map[string]fs.FileMode{
		dir:                                 0o700,
		filepath.Join(dir, temporaryFolder): 0o700,
		filepath.Dir(s.file(key)):           0o700,
		s.file(key):                         0o600,
	} {
		info, err := os.Stat(path)
		must(t, err)
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, not %v", path, info.Mode().Perm(), want)
		}
	}
}

func TestEntryIsInTheFolderOfItsFirstByte(t *testing.T) {
	s := openNow(t, t.TempDir(), 0)
	key := Key{0xab, 0xcd}
	s.Put(key, nil)
	if _, err := os.Stat(filepath.Join(s.dir, "ab", "abcd"+strings.Repeat("0", 60))); err != nil {
		t.Error(err)
	}
}

func TestDifferentPartsMakeDifferentKeys(t *testing.T) {
	seen := map[Key]int{}
	for i, parts := range [][]string{
		{},
		{""},
		{"", ""},
		{"ab", "c"},
		{"a", "bc"},
		{"abc"},
		{"abc", ""},
		{"", "abc"},
		{"\x00\x00\x00\x00\x00\x00\x00\x00"},
		{"a\x00\x00\x00\x00\x00\x00\x00\x01b"},
		{"a", "b"},
	} {
		var in [][]byte
		for _, part := range parts {
			in = append(in, []byte(part))
		}
		key := NewKey(in...)
		if other, ok := seen[key]; ok {
			t.Errorf("rows %d and %d have the same key", other, i)
		}
		seen[key] = i
		if again := NewKey(in...); again != key {
			t.Errorf("row %d has two keys", i)
		}
	}
}

func TestDamagedEntryIsAMissAndReplaced(t *testing.T) {
	s := openNow(t, t.TempDir(), 0)
	key, content := NewKey([]byte("k")), []byte("what was computed")
	s.Put(key, content)
	good, err := os.ReadFile(s.file(key))
	must(t, err)

	damage := map[string][]byte{"one byte too many": append(bytes.Clone(good), 0)}
	for i := range good {
		for _, flip := range []byte{0x01, 0x80, 0xff} {
			bad := bytes.Clone(good)
			bad[i] ^= flip
			damage[fmt.Sprintf("byte %d xor %#x", i, flip)] = bad
		}
		damage[fmt.Sprintf("truncated to %d bytes", i)] = good[:i]
		zeros := bytes.Clone(good) // blocks that a file system allocated but did not write
		clear(zeros[i:])
		if !bytes.Equal(zeros, good) {
			damage[fmt.Sprintf("zeros from %d", i)] = zeros
		}
	}
	want := s.Stats()
	for name, bad := range damage {
		must(t, os.WriteFile(s.file(key), bad, 0o600))
		if got, ok := s.Get(key); ok {
			t.Fatalf("%s: Get returns %q", name, got)
		}
		if _, err := os.Stat(s.file(key)); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%s: the entry still exists: %v", name, err)
		}
		want.Misses++
		want.Corrupt++
		wantMiss(t, s, key)
		want.Misses++
		s.Put(key, content)
		wantHit(t, s, key, content)
		want.Hits++
	}
	wantStats(t, s, want)
}

func TestEntryOfAnotherKeyIsAMiss(t *testing.T) {
	s := openNow(t, t.TempDir(), 0)
	one, other := Key{1}, Key{1, 1}
	s.Put(one, []byte("of one"))
	must(t, os.Rename(s.file(one), s.file(other)))
	wantMiss(t, s, other)
	wantMiss(t, s, one)
	wantStats(t, s, Stats{Misses: 2, Corrupt: 1})
}

func TestTooLongFileIsNotRead(t *testing.T) {
	s := openNow(t, t.TempDir(), 0)
	key := NewKey([]byte("k"))
	s.Put(key, nil)
	must(t, os.Truncate(s.file(key), 1<<40)) // sparse
	wantMiss(t, s, key)
	wantStats(t, s, Stats{Misses: 1, Corrupt: 1})
}

func TestSymbolicLinksDoNotLeadOutside(t *testing.T) {
	outside := t.TempDir()
	elsewhere := openNow(t, outside, 0)
	key := Key{7}
	elsewhere.Put(key, []byte("not for this cache"))
	target := elsewhere.file(key)
	before, err := os.ReadFile(target)
	must(t, err)

	t.Run("as an entry", func(t *testing.T) {
		s := openNow(t, t.TempDir(), 0)
		must(t, os.Mkdir(filepath.Dir(s.file(key)), 0o700))
		must(t, os.Symlink(target, s.file(key)))
		wantMiss(t, s, key)
		s.Put(key, []byte("of this cache"))
		wantHit(t, s, key, []byte("of this cache"))
	})
	t.Run("as a folder", func(t *testing.T) {
		s := openNow(t, t.TempDir(), 0)
		must(t, os.Symlink(filepath.Dir(target), filepath.Dir(s.file(key))))
		wantMiss(t, s, key)
		s.Put(key, []byte("of this cache"))
		wantMiss(t, s, key)
		if s.Err() == nil {
			t.Error("no error for a folder that leads outside")
		}
		wantNoTemporary(t, s)
	})
	t.Run("as the folder of temporary files", func(t *testing.T) {
		dir := t.TempDir()
		must(t, os.Symlink(outside, filepath.Join(dir, temporaryFolder)))
		if _, err := Open(dir, 0); err == nil {
			t.Error("opened a cache with temporary files outside")
		}
	})
	after, err := os.ReadFile(target)
	must(t, err)
	if !bytes.Equal(before, after) {
		t.Error("the file outside was changed")
	}
	wantHit(t, elsewhere, key, []byte("not for this cache"))
}

func TestDirectoryInPlaceOfAnEntryIsAMissAndNotTouched(t *testing.T) {
	s := openNow(t, t.TempDir(), 0)
	key := NewKey([]byte("k"))
	must(t, os.MkdirAll(s.file(key), 0o700))
	wantMiss(t, s, key)
	s.Put(key, []byte("v"))
	wantMiss(t, s, key)
	wantStats(t, s, Stats{Misses: 2, Errors: 3})
	wantNoTemporary(t, s)
}

func TestUseIsRecordedOncePerHour(t *testing.T) {
	dir := t.TempDir()
	key := NewKey([]byte("k"))
	for _, row := range []struct {
		reason    string
		age, want time.Duration
	}{
		{"a use within an hour is not recorded", 59 * time.Minute, 59 * time.Minute},
		{"a later use is recorded", 61 * time.Minute, 0},
		{"a time in the future is corrected, so that the entry can be evicted", -61 * time.Minute, 0},
		{"a time less than an hour ahead is not corrected", -time.Minute, -time.Minute},
	} {
		s := openAt(t, dir, 0, longAgo)
		s.Put(key, []byte("v"))
		must(t, os.Chtimes(s.file(key), longAgo.Add(-row.age), longAgo.Add(-row.age)))
		wantHit(t, s, key, []byte("v"))
		info, err := os.Stat(s.file(key))
		must(t, err)
		if got := longAgo.Sub(info.ModTime()); got != row.want {
			t.Errorf("%s: an entry of age %v has age %v after its use, want %v", row.reason, row.age, got, row.want)
		}
	}
}

func TestLeftoverTemporaryFilesAreRemovedAfterAnHour(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, temporaryFolder), 0o700))
	ages := map[string]time.Duration{
		"put-00000000000000aa": 61 * time.Minute,
		"put-00000000000000bb": 59 * time.Minute,
		"put-00000000000000cc": -time.Minute,
		"foreign":              48 * time.Hour,
	}
	for name, age := range ages {
		path := filepath.Join(dir, temporaryFolder, name)
		must(t, os.WriteFile(path, []byte("half an ent"), 0o600))
		must(t, os.Chtimes(path, longAgo.Add(-age), longAgo.Add(-age)))
	}
	s := openAt(t, dir, 0, longAgo)
	delete(ages, "put-00000000000000aa")
	left, err := os.ReadDir(filepath.Join(dir, temporaryFolder))
	must(t, err)
	for _, file := range left {
		if _, ok := ages[file.Name()]; !ok {
			t.Errorf("%s still exists", file.Name())
		}
		delete(ages, file.Name())
	}
	for name := range ages {
		t.Errorf("%s was removed", name)
	}
	must(t, s.Err())
}

func TestNilStoreIsEmpty(t *testing.T) {
	var s *Store
	key := NewKey([]byte("k"))
	s.Put(key, []byte("v"))
	wantMiss(t, s, key)
	if got := s.Stats(); got != (Stats{}) {
		t.Errorf("its statistics are %+v", got)
	}
	must(t, s.Err())
	must(t, s.Close())
}

func TestClosedStoreMissesAndDrops(t *testing.T) {
	s := openNow(t, t.TempDir(), 0)
	key := NewKey([]byte("k"))
	s.Put(key, []byte("v"))
	must(t, s.Close())
	wantMiss(t, s, key)
	s.Put(key, []byte("v"))
	if got := s.failures.Load(); got != 2 {
		t.Errorf("%d errors were counted, want 2", got)
	}
}

func TestUnusableDirectoryIsAnErrorWithAdvice(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	readOnly := t.TempDir()
	must(t, os.Chmod(readOnly, 0o500))
	for _, row := range []struct {
		reason, dir string
		limit       int64
		want        string
		root        bool // also fails for root
	}{
		{"no name", "", 0, "name one", true},
		{"a file", file, 0, "name another one", true},
		{"below a file", filepath.Join(file, "sub"), 0, "name another one", true},
		{"no permission to write", readOnly, 0, "let this user", false},
		{"no permission to create it", filepath.Join(readOnly, "sub"), 0, "let this user", false},
		{"a negative limit", t.TempDir(), -1, "or 0 for 1073741824", true},
	} {
		if !row.root && os.Getuid() == 0 {
			continue
		}
		s, err := Open(row.dir, row.limit)
		if err == nil || s != nil {
			t.Errorf("%s: Open returns a store %v and error %v", row.reason, s, err)
			continue
		}
		if !strings.Contains(err.Error(), row.dir) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %q does not contain the directory and %q", row.reason, err, row.want)
		}
	}
}

func TestRemovedFoldersAreCreatedAgain(t *testing.T) {
	s := openNow(t, t.TempDir(), 0)
	key := NewKey([]byte("k"))
	s.Put(key, []byte("v"))
	entries, err := os.ReadDir(s.dir)
	must(t, err)
	for _, entry := range entries {
		must(t, os.RemoveAll(filepath.Join(s.dir, entry.Name())))
	}
	wantMiss(t, s, key)
	s.Put(key, []byte("v"))
	wantHit(t, s, key, []byte("v"))
	must(t, s.Err())
}
