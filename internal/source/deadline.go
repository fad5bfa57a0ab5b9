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

// An ssh connection of go-git has no deadline: a server that accepts and never answers would keep a
// goroutine and a connection forever. go-git has no hook for dialing except the proxy. So every ssh
// connection uses our proxy dialer, selected by its scheme, which sets the deadline in the query.
const (
	deadlineScheme = "isthmus-deadline+"
	directScheme   = deadlineScheme + "direct"
)

// maxSession limits an ssh connection whose context has no deadline.
const maxSession = 10 * time.Minute

// processStart is the reference of the deadlines in the query. A wall-clock time would move when
// the clock is set.
var processStart = time.Now()

func init() {
	for _, scheme := range []string{"direct", "socks5", "socks5h"} {
		proxy.RegisterDialerType(deadlineScheme+scheme, newDeadlineDialer)
	}
}

// proxyWithDeadline returns the proxy, for ssh with the deadline of ctx. HTTP obeys the context
// itself.
func (r *remote) proxyWithDeadline(ctx context.Context) transport.ProxyOptions {
	if !strings.HasPrefix(r.url, "ssh://") {
		return r.proxy
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(maxSession)
	}
	through := r.proxy
	if through.URL == "" {
		through.URL = directScheme + "://direct"
	} else {
		through.URL = deadlineScheme + through.URL
	}
	through.URL += "?until=" + strconv.FormatInt(int64(deadline.Sub(processStart)), 10)
	return through
}

// deadlineDialer dials through another proxy. If through is nil, it dials directly, or with the
// proxy of the environment.
type deadlineDialer struct {
	through  proxy.ContextDialer
	deadline time.Time
}

func newDeadlineDialer(u *url.URL, forward proxy.Dialer) (proxy.Dialer, error) {
	until, err := strconv.ParseInt(u.Query().Get("until"), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("the address of the proxy must have no query: %w", err)
	}
	d := &deadlineDialer{deadline: processStart.Add(time.Duration(until))}
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

// Dial implements proxy.Dialer.
func (d *deadlineDialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext dials and sets the deadline of the connection.
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
