package cache

import (
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBucketHasItsLatestValues(t *testing.T) {
	s, err := Open(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	bucket := NewBuckets(NewKey([]byte("base"))).Of("web")
	if got := GetBucket[string](s, bucket); got != nil {
		t.Errorf("an empty cache returns %v", got)
	}
	PutBucket(s, bucket, map[Key]string{NewKey([]byte("a")): "old"})
	want := map[Key]string{NewKey([]byte("a")): "new", NewKey([]byte("b")): "other"}
	PutBucket(s, bucket, want)
	if diff := cmp.Diff(want, GetBucket[string](s, bucket)); diff != "" {
		t.Error(diff)
	}
	if got := GetBucket[map[string]int](s, bucket); got != nil {
		t.Errorf("a bucket of another format returns %v", got)
	}
	if err := os.WriteFile(s.file(bucket), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := GetBucket[string](s, bucket); got != nil {
		t.Errorf("a damaged bucket returns %v", got)
	}
	if got := GetBucket[string](nil, bucket); got != nil {
		t.Errorf("a nil cache returns %v", got)
	}
}

func TestBucketsDependOnTheBaseAndSpreadNames(t *testing.T) {
	a, b := NewBuckets(NewKey([]byte("a"))), NewBuckets(NewKey([]byte("b")))
	used := map[Key]bool{}
	for i := range 10_000 {
		name := fmt.Sprint("service-", i)
		if a.Of(name) == b.Of(name) {
			t.Fatalf("%s: %v, %v", name, a.Of(name), b.Of(name))
		}
		used[a.Of(name)] = true
	}
	if len(used) != bucketCount {
		t.Errorf("%d of %d buckets are used", len(used), bucketCount)
	}
}
