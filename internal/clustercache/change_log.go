package clustercache

import (
	"sync"

	"github.com/isthmus-mesh/isthmus/internal/render"
)

// maxChanges is how many changes are remembered. A reader that is further behind reads everything.
const maxChanges = 1 << 13

// changeLog is the order in which objects changed.
type changeLog struct {
	mu sync.Mutex
	// first is the number of the oldest remembered change.
	first   uint64
	changed []render.Key
}

func (j *changeLog) record(key render.Key) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.changed = append(j.changed, key)
	if old := len(j.changed) - maxChanges; old >= maxChanges {
		j.changed = append([]render.Key(nil), j.changed[old:]...)
		j.first += uint64(old)
	}
}

// since returns what changed from a number on, and the number to ask with next; known is false if
// those changes are no longer remembered.
func (j *changeLog) since(number uint64) (changed []render.Key, next uint64, known bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	next = j.first + uint64(len(j.changed))
	if number < j.first || number > next {
		return nil, next, false
	}
	return append([]render.Key(nil), j.changed[number-j.first:]...), next, true
}
