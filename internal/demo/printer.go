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

// printer writes plain lines. On a terminal it also uses colours, and a last line shows what is
// running.
type printer struct {
	w        io.Writer
	terminal bool
	colours  bool

	mu    sync.Mutex
	shown bool
}

func newPrinter(w io.Writer) *printer {
	p := &printer{w: w}
	if f, ok := w.(interface{ Fd() uintptr }); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		p.terminal = true
		p.colours = os.Getenv("NO_COLOR") == "" // https://no-color.org
	}
	return p
}

// line writes a line, or several.
func (p *printer) line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintln(p.w, fmt.Sprintf(format, args...))
}

// title starts a section.
func (p *printer) title(text string) {
	p.line("\n%s", p.wrap("1", text))
}

// passed reports a check that passed.
func (p *printer) passed(format string, args ...any) {
	p.line("   %s %s", p.wrap("32", "checked:"), fmt.Sprintf(format, args...))
}

// wrap colours a text with an ANSI code.
func (p *printer) wrap(code, text string) string {
	if !p.colours {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// table writes rows below a header.
func (p *printer) table(header string, rows []string) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "   "+header)
	for _, row := range rows {
		fmt.Fprintln(w, "   "+row)
	}
	_ = w.Flush() // writing to a strings.Builder does not fail
	p.line("%s", strings.TrimRight(b.String(), "\n"))
}

// running shows on a terminal what is running and for how long, until the returned function is
// called.
func (p *printer) running(what string) (done func()) {
	if !p.terminal {
		return func() {}
	}
	start, stop := time.Now(), make(chan struct{})
	var ticking sync.WaitGroup
	ticking.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			p.show(fmt.Sprintf("   %s ... %d s", what, int(time.Since(start).Seconds())))
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
		p.mu.Lock()
		defer p.mu.Unlock()
		p.clear()
	})
}

func (p *printer) show(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprint(p.w, text)
	p.shown = true
}

func (p *printer) clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// printable replaces control characters, which a repository could use to control the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}
