package e2e_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestARestartWritesNothing(t *testing.T) {
	for name, end := range map[string]func(*controller){"Stopped": (*controller).stop, "Killed": (*controller).kill} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			// Without a lease: a killed process holds it for as long as it is valid.
			c := w.start("--enable-leader-election=false")
			w.create("mesh")
			w.ready("mesh", w.git.first)
			w.polled(3)
			end(c)
			before, sync := w.versions(), w.get("mesh").ResourceVersion
			c = w.start("--enable-leader-election=false")
			w.polled(5)
			if diff := cmp.Diff(before, w.versions()); diff != "" {
				t.Errorf("a restart wrote resources: -before, +after:\n%s", diff)
			}
			if got := w.get("mesh").ResourceVersion; got != sync {
				t.Error("a restart wrote the MeshSync")
			}
			if sent := c.wire.requests(func(r request) bool { return !r.reads() }); len(sent) > 0 {
				t.Errorf("a restart sent %q", sent)
			}
			// It is awake all the same.
			w.ready("mesh", w.git.edit("services/cart.cue", "targetPort: 8080", "targetPort: 9090"))
		})
	}
}
