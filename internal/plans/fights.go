package plans

import (
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

const (
	// slips is how many corrections of one object in a row are no fight yet.
	FightThreshold = 5
	// calm is how long after the last correction a fight is over.
	FightWindow = 10 * time.Minute
	// firstTruce and longestTruce are how long an object that is fought over is left alone between two corrections.
	MinBackoff, MaxBackoff = time.Second, time.Minute
)

// Fights notices objects that somebody else, mostly another controller, changes as often as they are put right. These are put right ever more
// rarely, and at least once in a minute: two programs that answer each other at once would do nothing else. The zero value knows of none.
type Fights struct {
	byKey map[render.Key]fight
}

type fight struct {
	corrections int
	last        time.Time
	manager     string
}

// Corrected notes the drift that a run corrected, and returns the objects of fights that begin with it.
func (f *Fights) Corrected(drift []Action, now time.Time) (begun []render.Key) {
	for _, action := range drift {
		key := action.Key
		was := f.byKey[key]
		if now.Sub(was.last) > FightWindow {
			was = fight{}
		}
		is := fight{corrections: was.corrections + 1, last: now, manager: lastWriter(action.Live)}
		if f.byKey == nil {
			f.byKey = map[render.Key]fight{}
		}
		f.byKey[key] = is
		if is.corrections == FightThreshold {
			begun = append(begun, key)
		}
	}
	for key, is := range f.byKey {
		if now.Sub(is.last) > FightWindow {
			delete(f.byKey, key)
		}
	}
	return begun
}

// Over are the objects that are fought over.
func (f *Fights) Active(now time.Time) []render.Key {
	var out []render.Key
	for key, is := range f.byKey {
		if is.corrections >= FightThreshold && now.Sub(is.last) <= FightWindow {
			out = append(out, key)
		}
	}
	return out
}

// Truces are the objects that must not be put right yet, with the reason, for [PlanOptions], and until when the first of them lasts.
func (f *Fights) Backoffs(now time.Time) (backoffs map[render.Key]FightBackoff, until time.Time) {
	for key, is := range f.byKey {
		due := is.nextCorrection()
		if !now.Before(due) {
			continue
		}
		if backoffs == nil {
			backoffs = map[render.Key]FightBackoff{}
		}
		backoffs[key] = FightBackoff{Manager: is.manager, Corrections: is.corrections}
		if until.IsZero() || due.Before(until) {
			until = due
		}
	}
	return backoffs, until
}

// due is when an object may be put right again.
func (f fight) nextCorrection() time.Time {
	if f.corrections < FightThreshold {
		return f.last
	}
	return f.last.Add(min(MinBackoff<<min(f.corrections-FightThreshold, 10), MaxBackoff))
}

// rivalOf is who wrote an object last, besides us.
func lastWriter(live *unstructured.Unstructured) string {
	if live != nil {
		if name, ok := ownership.LastForeignManager(live)["manager"].(string); ok {
			return name
		}
	}
	return "another writer"
}
