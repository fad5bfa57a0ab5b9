package plans

import (
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/internal/ownership"
	"github.com/isthmus-mesh/isthmus/internal/render"
)

const (
	// FightThreshold is the number of corrections in a row from which an object counts as a fight.
	FightThreshold = 5
	// FightWindow is how long after the last correction a fight is over.
	FightWindow = 10 * time.Minute
	// MinBackoff and MaxBackoff bound the delay between two corrections of a fight.
	MinBackoff, MaxBackoff = time.Second, time.Minute
)

// Fights records objects that another writer, mostly another controller, keeps changing. Their
// corrections are delayed more and more, up to [MaxBackoff]. The zero value is ready to use.
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

// Active are the objects of current fights.
func (f *Fights) Active(now time.Time) []render.Key {
	var out []render.Key
	for key, is := range f.byKey {
		if is.corrections >= FightThreshold && now.Sub(is.last) <= FightWindow {
			out = append(out, key)
		}
	}
	return out
}

// Backoffs are the objects that must not be corrected yet, and when the first of them may be.
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

// nextCorrection is when an object may be corrected again.
func (f fight) nextCorrection() time.Time {
	if f.corrections < FightThreshold {
		return f.last
	}
	return f.last.Add(min(MinBackoff<<min(f.corrections-FightThreshold, 10), MaxBackoff))
}

// lastWriter is the field manager, other than ours, that wrote an object last.
func lastWriter(live *unstructured.Unstructured) string {
	if live != nil {
		if name, ok := ownership.LastForeignManager(live)["manager"].(string); ok {
			return name
		}
	}
	return "another writer"
}
