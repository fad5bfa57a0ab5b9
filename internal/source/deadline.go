package source

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	"golang.org/x/net/proxy"
)

// An ssh connection of go-git has no deadline, so a server that accepts and then says nothing would hold a
// goroutine and a connection for ever. The one place where go-git lets others dial is the proxy, so every ssh
// connection goes through a dialer of ours, named by its scheme, that sets the deadline it finds in the query.
const (
	deadlineScheme = "isthmus-deadline+"
	directScheme   = deadlineScheme + "direct"
)

// longestSession ends an ssh connection whose context has no deadline of its own.
const longestSession = 10 * time.Minute

// began is what deadlines are counted from on their way through a query: as a time of the day, one would move with a clock that is set.
var began = time.Now()

func init() {
	for _, scheme := range []string{"direct", "socks5", "socks5h"} {
		proxy.RegisterDialerType(deadlineScheme+scheme, newDeadlineDialer)
	}
}

// proxyUntil is the proxy to use, for ssh with the deadline of ctx. HTTP heeds the context by itself.
func (r *remote) proxyUntil(ctx context.Context) transport.ProxyOptions {
	if !strings.HasPrefix(r.url, "ssh://") {
		return r.proxy
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(longestSession)
	}
	through := r.proxy
	if through.URL == "" {
		through.URL = directScheme + "://direct"
	} else {
		through.URL = deadlineScheme + through.URL
	}
	through.URL += "?until=" + strconv.FormatInt(int64(deadline.Sub(began)), 10)
	return through
}

// deadlineDialer dials directly, or as the environment says, if through is nil.
type deadlineDialer struct {
	through  proxy.ContextDialer
	deadline time.Time
}

func newDeadlineDialer(u *url.URL, forward proxy.Dialer) (proxy.Dialer, error) {
	until, err := strconv.ParseInt(u.Query().Get("until"), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("the address of the proxy must have no query: %w", err)
	}
	d := &deadlineDialer{deadline: began.Add(time.Duration(until))}
	if u.Scheme == directScheme {
		return d, nil
	}
	inner := &url.URL{Scheme: strings.TrimPrefix(u.Scheme, deadlineScheme), User: u.User, Host: u.Host}
	dialer, err := proxy.FromURL(inner, forward)
	if err != nil {
		return nil, err
	}
	through, ok := dialer.(proxy.ContextDialer)
	if !ok {
		return nil, fmt.Errorf("a proxy of scheme %s cannot be used for ssh, use socks5://", inner.Scheme)
	}
	d.through = through
	return d, nil
}

// Dial is part of proxy.Dialer.
func (d *deadlineDialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext dials and sets the deadline for all that is read and written.
func (d *deadlineDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithDeadline(ctx, d.deadline)
	defer cancel()
	dial := proxy.Dial
	if d.through != nil {
		dial = d.through.DialContext
	}
	conn, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(d.deadline); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}
