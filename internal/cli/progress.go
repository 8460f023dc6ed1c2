package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// progress shows what a run is doing: one line that is redrawn on a terminal,
// plain lines every few seconds anywhere else.
type progress struct {
	w       io.Writer
	live    bool
	width   int
	drawn   bool // a live line stands on the terminal
	last    time.Time
	every   time.Duration
	started time.Time
}

// plainEvery is the beat of plain lines: a log of a three-minute run stays a page.
const plainEvery = 5 * time.Second

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, every: plainEvery, width: 100, started: time.Now()}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		p.live, p.every = true, 200*time.Millisecond
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 20 {
			p.width = width
		}
	}
	return p
}

// say writes a line that stays.
func (p *progress) say(format string, args ...any) {
	p.clear()
	fmt.Fprintf(p.w, format+"\n", args...)
	p.last = time.Now()
}

// update shows the present state; it is dropped when the last one is too fresh.
func (p *progress) update(line func() string) {
	if time.Since(p.last) < p.every {
		return
	}
	p.last = time.Now()
	text := line()
	if !p.live {
		fmt.Fprintln(p.w, text)
		return
	}
	if r := []rune(text); len(r) >= p.width {
		text = string(r[:p.width-1])
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s", text)
	p.drawn = true
}

// clear removes the live line, so that what follows starts on a clean one.
func (p *progress) clear() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}

// bar is a bar of the given width, filled to share (0..1).
func bar(share float64, width int) string {
	n := int(min(max(share, 0), 1)*float64(width) + 0.5)
	return strings.Repeat("█", n) + strings.Repeat("░", width-n)
}
