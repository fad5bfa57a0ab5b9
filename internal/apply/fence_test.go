package apply

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestWhoDoesNotLeadWritesNothing(t *testing.T) {
	c := newCluster(t)
	k := c.start()
	asked := 0
	var answer error
	k.applier.Fence(func(context.Context) error { asked++; return answer })
	bundle := bundleOf(services("cart")...)
	k.sync(bundle)
	c.equal(bundle)
	if asked != 1 {
		t.Errorf("for a plan that is carried out at once it was asked %d times who leads", asked)
	}
	k.sync(bundle)
	if asked != 1 {
		t.Error("a plan that writes nothing asks")
	}
	answer = fmt.Errorf("%w: somebody", ErrNotLeading)
	result, err := k.apply(k.plan(bundleOf(services("web")...)))
	if !errors.Is(err, ErrNotLeading) || result.Wrote() > 0 {
		t.Errorf("wrote %d, %v", result.Wrote(), err)
	}
	c.equal(bundle)
}
