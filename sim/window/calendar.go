package window

import (
	"fmt"
	"unsafe"
)

// chunkBytes is the size of a chunk of events, its link aside, at the most, and
// begunBytes what the last chunks of all windows at hand may take together.
const (
	chunkBytes = 4096
	begunBytes = 2 << 20
)

// chunk holds events of one window. The link stands first, so that the garbage
// collector looks at it alone.
type chunk[E any] struct {
	next   *chunk[E]
	events []E
}

// bucket is one window's events: full chunks and a last one, whose events it holds
// itself, so that appending to it does not touch the chunk.
type bucket[E any] struct {
	first, last *chunk[E]
	tail        []E
}

// Calendar keeps events by the number of the window in which they are due. E
// should hold no pointers. Make one with NewCalendar; it belongs to one goroutine.
type Calendar[E any] struct {
	ring  []bucket[E]        // the next windows, by number modulo its length
	far   map[int64][]far[E] // later ones, by number divided by it
	spare *chunk[E]
	slab  []E   // not yet made chunks
	made  int   // slabs
	each  int   // events in a chunk
	now   int64 // the next window to be taken
	n     int
}

type far[E any] struct {
	window int64
	event  E
}

// NewCalendar makes an empty calendar that stands at window 0 and keeps a number
// of windows at hand, rounded up to a power of two; later ones may be put too.
func NewCalendar[E any](windows int) *Calendar[E] {
	n := 1
	for n < windows {
		n *= 2
	}
	var e E
	return &Calendar[E]{ring: make([]bucket[E], n), far: map[int64][]far[E]{},
		each: max(1, min(chunkBytes, begunBytes/n)/max(1, int(unsafe.Sizeof(e))))}
}

// Len is how many events wait.
func (c *Calendar[E]) Len() int { return c.n }

// Put adds an event to a window, which must not have been taken.
func (c *Calendar[E]) Put(window int64, e E) {
	switch ahead := window - c.now; {
	case ahead < 0:
		panic(fmt.Sprintf("window: an event for window %d, which is past: the next is %d", window, c.now))
	case ahead >= int64(len(c.ring)):
		at := window / int64(len(c.ring))
		c.far[at] = append(c.far[at], far[E]{window, e})
	default:
		c.put(window, e)
	}
	c.n++
}

func (c *Calendar[E]) put(window int64, e E) {
	b := &c.ring[window&int64(len(c.ring)-1)]
	n := len(b.tail)
	if n == cap(b.tail) {
		c.grow(b)
		n = 0
	}
	b.tail = b.tail[:n+1]
	b.tail[n] = e
	// The bucket's next line is far from everything else.
	if next := n + int(lineBytes/max(1, unsafe.Sizeof(e))); uintptr(n+1)*unsafe.Sizeof(e)%lineBytes == 0 && next < cap(b.tail) {
		p := uintptr(unsafe.Pointer(&b.tail[:next+1][next]))
		prefetch(&p, 1)
	}
}

const lineBytes = 64

// grow gives a bucket another chunk.
func (c *Calendar[E]) grow(b *bucket[E]) {
	l := c.spare
	if l == nil {
		l = c.fresh()
	} else {
		c.spare, l.next = l.next, nil
	}
	if b.last == nil {
		b.first = l
	} else {
		b.last.events, b.last.next = b.tail, l
	}
	b.last, b.tail = l, l.events
}

// fresh makes a chunk, a slab of them at a time: the first few one by one, for a
// small run needs no more.
func (c *Calendar[E]) fresh() *chunk[E] {
	if len(c.slab) < c.each {
		c.made++
		c.slab = Make[E](c.each * min(1<<c.made, slabChunks))
	}
	l := &chunk[E]{events: c.slab[:0:c.each]}
	c.slab = c.slab[c.each:]
	return l
}

// slabChunks is how many chunks a slab has at the most: 4 MiB.
const slabChunks = 1024

// Take appends the events of a window to out, in the order in which they were put,
// and forgets them. Windows are taken in order; those passed over must be empty.
func (c *Calendar[E]) Take(window int64, out []E) []E {
	for c.now <= window {
		if c.now&int64(len(c.ring)-1) == 0 {
			at := c.now / int64(len(c.ring))
			for _, f := range c.far[at] {
				c.put(f.window, f.event)
			}
			delete(c.far, at)
		}
		b := &c.ring[c.now&int64(len(c.ring)-1)]
		if b.first != nil && c.now < window {
			panic(fmt.Sprintf("window: window %d was passed over with events in it", c.now))
		}
		c.now++
		if b.last != nil {
			b.last.events = b.tail
		}
		for l := b.first; l != nil; {
			out = append(out, l.events...)
			c.n -= len(l.events)
			next := l.next
			l.events, l.next, c.spare = l.events[:0], c.spare, l
			l = next
		}
		*b = bucket[E]{}
	}
	return out
}

// All yields every event that waits and its window, in no stated order, and leaves it
// there.
func (c *Calendar[E]) All(yield func(int64, *E)) {
	for n := c.now; n < c.now+int64(len(c.ring)); n++ {
		b := &c.ring[n&int64(len(c.ring)-1)]
		if b.last != nil {
			b.last.events = b.tail
		}
		for l := b.first; l != nil; l = l.next {
			for j := range l.events {
				yield(n, &l.events[j])
			}
		}
	}
	for _, fs := range c.far {
		for i := range fs {
			yield(fs[i].window, &fs[i].event)
		}
	}
}
