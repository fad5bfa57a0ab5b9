package source

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestTheDeadlineOfAConnectionDoesNotMoveWithTheWallClock(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r := &remote{url: "ssh://git@example.com/mesh.git"}
	through, err := url.Parse(r.proxyUntil(ctx).URL)
	if err != nil {
		t.Fatal(err)
	}
	dialer, err := newDeadlineDialer(through, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := dialer.(*deadlineDialer).deadline
	if want, _ := ctx.Deadline(); !got.Equal(want) {
		t.Errorf("it is %s, and that of the context %s", got, want)
	}
	// A time tells of its monotonic reading only here. One without it is as many days away as the clock is set back before it is used.
	if !strings.Contains(got.String(), " m=+") {
		t.Errorf("%s is of the wall clock alone", got)
	}
}
