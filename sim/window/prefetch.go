package window

import "unsafe"

// Lines are lines of memory that will be met in no order. Fetch asks for them side by
// side, so that they come while something else is done: who meets them one after the
// other waits a tenth of a microsecond for each. It changes no result. The zero value has
// none.
type Lines struct {
	at [linesMax]uintptr // of live memory only when they were added; nothing is read
	n  int
}

const linesMax = 128

// Add adds the line in which p points.
func (l *Lines) Add(p unsafe.Pointer) { l.AddIf(p, 1) }

// AddIf adds the line in which p points if n is 1 and not 0, without a branch: where half
// of the guesses would be wrong they cost more than the memory.
func (l *Lines) AddIf(p unsafe.Pointer, n int) {
	l.at[l.n&(linesMax-1)] = uintptr(p)
	l.n += n
}

// Fetch asks for the lines, of more than 128 for some, and has none then.
func (l *Lines) Fetch() {
	if n := min(l.n, linesMax); n > 0 {
		prefetch(&l.at[0], n)
	}
	l.n = 0
}
