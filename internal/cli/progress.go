package cli

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// quiet is how long a step may take before a person wants to know what it is.
const quiet = time.Second

// progress tells the person at the terminal what takes so long, on one line that is gone when something is printed.
type progress struct {
	w       io.Writer
	stop    chan struct{}
	stopped sync.WaitGroup

	mu    sync.Mutex
	doing string
	since time.Time
	shown bool
}

// startProgress shows nothing if w is not a terminal. It must be ended before anything else is printed.
func startProgress(w io.Writer) *progress {
	p := &progress{w: w, stop: make(chan struct{})}
	if isTerminal(w) {
		p.run(time.NewTicker(quiet))
	}
	return p
}

func (p *progress) run(tick *time.Ticker) {
	p.since = time.Now()
	p.stopped.Go(func() {
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.show()
			case <-p.stop:
				return
			}
		}
	})
}

// step says what begins now.
func (p *progress) step(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doing = fmt.Sprintf(format, args...)
}

func (p *progress) show() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.doing == "" {
		return
	}
	p.shown = true
	fmt.Fprintf(p.w, "\r\x1b[K%s, %d s so far", p.doing, int(time.Since(p.since).Seconds()))
}

// end removes the line.
func (p *progress) end() {
	close(p.stop)
	p.stopped.Wait()
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
