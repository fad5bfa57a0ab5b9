package clustercache

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/isthmus-mesh/isthmus/internal/render"
	"github.com/isthmus-mesh/isthmus/test/support/istiotest"
)

// What a plan sees of one object after one of our writes, for every state that the watch can be in.
func TestExpectations(t *testing.T) {
	at := func(uid types.UID, version string) *cachedObject {
		object := istiotest.DestinationRule("shop", "cart")
		object.SetUID(uid)
		object.SetResourceVersion(version)
		item, err := toCached(object)
		if err != nil {
			t.Fatal(err)
		}
		return item.(*cachedObject)
	}
	tests := map[string]struct {
		reason  string
		write   func(*pendingWrites)
		cached  *cachedObject
		watched string
		after   time.Duration
		// want is the resourceVersion that a plan sees, "" for none; and again at the next look.
		want string
		// settled is set where nothing is expected any more.
		settled bool
	}{
		"nothing written":             {"the cache is right", func(*pendingWrites) {}, at("u", "5"), "5", 0, "5", true},
		"updated, watch behind":       {"what was written counts", func(e *pendingWrites) { e.record(at("u", "7"), false) }, at("u", "5"), "5", 0, "7", false},
		"updated, watch there":        {"the cache has it", func(e *pendingWrites) { e.record(at("u", "7"), false) }, at("u", "7"), "7", 0, "7", true},
		"updated, then edited":        {"the cache is newer", func(e *pendingWrites) { e.record(at("u", "7"), false) }, at("u", "10"), "10", 0, "10", true},
		"versions are numbers":        {"10 is newer than 9", func(e *pendingWrites) { e.record(at("u", "10"), false) }, at("u", "9"), "9", 0, "10", false},
		"created, watch behind":       {"it is there although the cache lacks it", func(e *pendingWrites) { e.record(at("u", "7"), false) }, nil, "5", time.Hour, "7", false},
		"created, watch just past":    {"the event may be on its way into the cache", func(e *pendingWrites) { e.record(at("u", "7"), false) }, nil, "8", 0, "7", false},
		"created, watch long past":    {"it was deleted while nobody watched", func(e *pendingWrites) { e.record(at("u", "7"), false) }, nil, "8", time.Minute, "", true},
		"deleted, watch behind":       {"it is gone although the cache has it", func(e *pendingWrites) { e.record(at("u", "5"), true) }, at("u", "5"), "5", 0, "", false},
		"deleted, watch there":        {"gone everywhere", func(e *pendingWrites) { e.record(at("u", "5"), true) }, nil, "9", 0, "", true},
		"deleted, finalizer keeps it": {"it is still there, being deleted", func(e *pendingWrites) { e.record(at("u", "5"), true) }, at("u", "8"), "8", 0, "8", true},
		"deleted, made anew":          {"another object", func(e *pendingWrites) { e.record(at("u", "5"), true) }, at("v", "8"), "8", 0, "8", true},
		"created, deletion seen": {"a person deleted it at once", func(e *pendingWrites) {
			e.record(at("u", "7"), false)
			e.onDelete(at("u", "8"))
		}, nil, "8", 0, "", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			expected := &pendingWrites{now: func() time.Time { return now }, byKey: map[render.Key]pendingWrite{}}
			test.write(expected)
			now = now.Add(test.after)
			for range 2 {
				got := ""
				seen := map[render.Key]struct{}{}
				if test.cached != nil {
					seen[test.cached.key] = struct{}{}
					if object := expected.resolve(test.cached); object != nil {
						got = object.version
					}
				}
				for _, object := range expected.missing("DestinationRule", seen, test.watched) {
					got = object.version
				}
				if got != test.want {
					t.Errorf("%s: a plan sees %q, want %q", test.reason, got, test.want)
				}
			}
			if settled := len(expected.byKey) == 0; settled != test.settled {
				t.Errorf("%s: settled %v", test.reason, settled)
			}
		})
	}
}
