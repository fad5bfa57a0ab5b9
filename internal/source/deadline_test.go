package source

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestConnectionDeadlineIgnoresTheWallClock(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r := &remote{url: "ssh://git@example.com/mesh.git"}
	through, err := url.Parse(r.proxyWithDeadline(ctx).URL)
	if err != nil {
		t.Fatal(err)
	}
	dialer, err := newDeadlineDialer(through, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := dialer.(*deadlineDialer).deadline
	if want, _ := ctx.Deadline(); !got.Equal(want) {
		t.Errorf("the deadline is %s, want %s of the context", got, want)
	}
	// String is the only way to see the monotonic reading. A deadline without it moves with the
	// clock.
	if !strings.Contains(got.String(), " m=+") {
		t.Errorf("%s has no monotonic reading", got)
	}
}
