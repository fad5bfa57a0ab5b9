package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
	"unicode"

	"golang.org/x/term"
)

// teller writes the story: plain lines, and on a terminal colours and a last line that says what is under way.
type teller struct {
	w        io.Writer
	terminal bool
	colours  bool

	mu    sync.Mutex
	shown bool
}

func newTeller(w io.Writer) *teller {
	t := &teller{w: w}
	if f, ok := w.(interface{ Fd() uintptr }); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		t.terminal = true
		t.colours = os.Getenv("NO_COLOR") == "" // https://no-color.org
	}
	return t
}

// line writes a line, or several.
func (t *teller) line(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clear()
	fmt.Fprintln(t.w, fmt.Sprintf(format, args...))
}

// title begins a part of the story.
func (t *teller) title(text string) {
	t.line("\n%s", t.wrap("1", text))
}

// held is what was found to be true.
func (t *teller) held(format string, args ...any) {
	t.line("   %s %s", t.wrap("32", "held:"), fmt.Sprintf(format, args...))
}

func (t *teller) wrap(code, text string) string {
	if !t.colours {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// table writes rows below a header.
func (t *teller) table(header string, rows []string) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "   "+header)
	for _, row := range rows {
		fmt.Fprintln(w, "   "+row)
	}
	_ = w.Flush() // a strings.Builder takes everything
	t.line("%s", strings.TrimRight(b.String(), "\n"))
}

// doing shows on a terminal what is under way, and for how long already, until the returned function is called.
func (t *teller) doing(what string) (done func()) {
	if !t.terminal {
		return func() {}
	}
	start, stop := time.Now(), make(chan struct{})
	var ticking sync.WaitGroup
	ticking.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			t.show(fmt.Sprintf("   %s ... %d s", what, int(time.Since(start).Seconds())))
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	})
	return sync.OnceFunc(func() {
		close(stop)
		ticking.Wait()
		t.mu.Lock()
		defer t.mu.Unlock()
		t.clear()
	})
}

func (t *teller) show(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clear()
	fmt.Fprint(t.w, text)
	t.shown = true
}

func (t *teller) clear() {
	if t.shown {
		fmt.Fprint(t.w, "\r\x1b[K")
		t.shown = false
	}
}

// seconds is a time as the story tells it.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// printable keeps what a repository says from driving the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}
