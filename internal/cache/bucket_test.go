package cache

import (
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAPackIsReadAsItWasWrittenLast(t *testing.T) {
	s, err := Open(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	p := NewBuckets(NewKey([]byte("base")))
	pack := p.Of("web")
	if got := GetBucket[string](s, pack); got != nil {
		t.Errorf("nothing was written, got %v", got)
	}
	PutBucket(s, pack, map[Key]string{NewKey([]byte("a")): "old"})
	want := map[Key]string{NewKey([]byte("a")): "new", NewKey([]byte("b")): "other"}
	PutBucket(s, pack, want)
	if diff := cmp.Diff(want, GetBucket[string](s, pack)); diff != "" {
		t.Error(diff)
	}
	if got := GetBucket[map[string]int](s, pack); got != nil {
		t.Errorf("of another form it is a miss, got %v", got)
	}
	if err := os.WriteFile(s.file(pack), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := GetBucket[string](s, pack); got != nil {
		t.Errorf("damaged it is a miss, got %v", got)
	}
	if got := GetBucket[string](nil, pack); got != nil {
		t.Errorf("no cache has nothing, got %v", got)
	}
}

func TestPacksDifferByBaseAndSpread(t *testing.T) {
	a, b := NewBuckets(NewKey([]byte("a"))), NewBuckets(NewKey([]byte("b")))
	used := map[Key]bool{}
	for i := range 10_000 {
		name := fmt.Sprint("service-", i)
		if a.Of(name) == b.Of(name) {
			t.Fatalf("%s: %v, %v", name, a.Of(name), b.Of(name))
		}
		used[a.Of(name)] = true
	}
	if len(used) != packs {
		t.Errorf("%d packs are used of %d", len(used), packs)
	}
}
