package des

import (
	"errors"
	"fmt"
	"math"
	"time"

	"spillway/internal/clock"
)

// ErrPast is wrapped by the error of a run in which an event was scheduled for a
// moment that had passed.
var ErrPast = errors.New("event in the past")

// Forever is a moment that no run reaches: as the end of a Run it means until
// nothing is pending.
const Forever = time.Duration(math.MaxInt64)

// Kernel holds the pending events and the present moment. Make one with New or
// NewAt. It belongs to one goroutine.
type Kernel struct {
	now   time.Duration
	heap  []entry
	slots []slot
	spare []uint32 // slots that are free
	dead  int      // stopped events still in the heap
	c     Counts
	lanes []*Lane
	heads []head // of the lanes, side by side
	next  next
	halt  bool
	err   error
}

// head is the moment and the order of a lane's first event; nobody's when it has none.
type head struct {
	at    time.Duration
	order uint64
}

var nobody = head{math.MaxInt64, math.MaxUint64}

// next is the next event, while it is known: it is asked for more often than it changes.
type next struct {
	at    time.Duration
	order uint64
	lane  *Lane // nil = it stands in the heap
	ok    bool  // there is one
	known bool
}

var _ clock.Clock = (*Kernel)(nil)

// entry is an event's place in the order.
type entry struct {
	at    time.Duration
	order uint64 // priority in the top 8 bits, then whether keyed, then key or sequence
	slot  uint32
}

func (a entry) before(b entry) bool { return a.at < b.at || a.at == b.at && a.order < b.order }

// slot is an event's callback: f, or g with an argument. Both nil: stopped.
type slot struct {
	f   func()
	g   func(uint64)
	arg uint64
	gen uint32 // so that an Event whose slot was given away is known to be over
}

// Counts are the kernel's totals: at every moment Scheduled = Ran + Stopped + Pending.
type Counts struct {
	Scheduled, Ran, Stopped uint64
	Pending                 int
}

// Event is a handle on a scheduled event. The zero value is an event that is over.
type Event struct {
	k    *Kernel
	slot uint32
	gen  uint32
}

// New makes a kernel at offset 0.
func New() *Kernel { return NewAt(0) }

// NewAt makes a kernel at the given offset, which may be negative.
func NewAt(start time.Duration) *Kernel { return &Kernel{now: start} }

// Now is the present moment as an offset.
func (k *Kernel) Now() time.Duration { return k.now }

// Err is the first error of the run, nil so far.
func (k *Kernel) Err() error { return k.err }

// Counts are the totals since the start.
func (k *Kernel) Counts() Counts {
	c := k.c
	c.Pending = len(k.heap) - k.dead
	for _, l := range k.lanes {
		c.Pending += l.n
	}
	return c
}

// At schedules f at offset t with priority 0. A t that has passed is an error of
// the run, see ErrPast.
func (k *Kernel) At(t time.Duration, f func()) Event {
	return k.schedule(t, 0, slot{f: f})
}

// AtPriority schedules f at offset t; of events at one moment the smaller
// priority runs first.
func (k *Kernel) AtPriority(t time.Duration, priority int8, f func()) Event {
	return k.schedule(t, priority, slot{f: f})
}

// AtArg schedules f(arg) at offset t. One f for many events spares an
// allocation per event.
func (k *Kernel) AtArg(t time.Duration, priority int8, f func(arg uint64), arg uint64) Event {
	return k.schedule(t, priority, slot{g: f, arg: arg})
}

// KeyMax is the largest key of AtKey.
const KeyMax = 1<<55 - 1

// AtKey is AtArg for an event whose place among those of its moment and priority
// is told by a key and not by when it was scheduled: keyed events come after all
// others, smaller keys first. So an engine that schedules in another order can run
// in the same one. Keys of one moment and priority must differ; one beyond KeyMax
// is an error of the run.
func (k *Kernel) AtKey(t time.Duration, priority int8, key uint64, f func(arg uint64), arg uint64) Event {
	if key > KeyMax {
		if k.err == nil {
			k.err = fmt.Errorf("des: key %d of an event due at %v: at most %d", key, t, uint64(KeyMax))
		}
		return Event{}
	}
	return k.place(t, priority, keyed|key, slot{g: f, arg: arg})
}

const keyed = 1 << 55

// After schedules f once d has passed; a d of zero or less means at once, that is
// in this moment after the running callback. A moment later than Forever is Forever.
func (k *Kernel) After(d time.Duration, f func()) Event {
	return k.schedule(k.later(d), 0, slot{f: f})
}

// AfterFunc implements clock.Clock, except that f runs on the goroutine of Run.
func (k *Kernel) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	return k.After(d, f).Stop
}

func (k *Kernel) later(d time.Duration) time.Duration {
	t := k.now + max(d, 0)
	if t < k.now {
		return Forever
	}
	return t
}

func (k *Kernel) schedule(t time.Duration, priority int8, s slot) Event {
	// 55 bits: at 10 million events a second they last 114 years.
	return k.place(t, priority, k.c.Scheduled, s)
}

func (k *Kernel) place(t time.Duration, priority int8, within uint64, s slot) Event {
	if s.f == nil && s.g == nil {
		panic("des: an event without a callback")
	}
	if t < k.now {
		if k.err == nil {
			k.err = fmt.Errorf("des: %w: due at %v, now %v; schedule it at Now or later", ErrPast, t, k.now)
		}
		return Event{}
	}
	var i uint32
	if n := len(k.spare); n > 0 {
		i = k.spare[n-1]
		k.spare = k.spare[:n-1]
	} else {
		i = uint32(len(k.slots))
		k.slots = append(k.slots, slot{})
	}
	s.gen = k.slots[i].gen
	k.slots[i] = s
	order := orderOf(priority, within)
	k.c.Scheduled++
	k.comes(t, order, nil)
	k.heap = append(k.heap, entry{t, order, i})
	k.up(len(k.heap) - 1)
	return Event{k, i, s.gen}
}

// Stop takes the event off and reports whether it came in time: false when it has
// run, runs now or was stopped before.
func (e Event) Stop() bool {
	if e.k == nil {
		return false
	}
	s := &e.k.slots[e.slot]
	if s.gen != e.gen || s.f == nil && s.g == nil {
		return false
	}
	s.f, s.g = nil, nil
	e.k.next.known = false
	e.k.c.Stopped++
	e.k.dead++
	if e.k.dead > 64 && e.k.dead > len(e.k.heap)/2 {
		e.k.purge()
	}
	return true
}

// Halt makes Run return after the running callback; Run may be called again.
func (k *Kernel) Halt() { k.halt = true }

// Next is the moment of the next event; false when none is pending.
func (k *Kernel) Next() (time.Duration, bool) {
	at, _, ok := k.Peek()
	return at, ok
}

// Peek is the moment of the next event and its place among those of that moment, as
// OrderOf has it; false when none is pending.
func (k *Kernel) Peek() (at time.Duration, order uint64, ok bool) {
	at, order, _, ok = k.first()
	return at, order, ok
}

// comes notes an event that may be the next.
func (k *Kernel) comes(at time.Duration, order uint64, lane *Lane) {
	if x := &k.next; x.known && (!x.ok || at < x.at || at == x.at && order < x.order) {
		*x = next{at, order, lane, true, true}
	}
}

// first is the next event and the lane in which it stands; nil = the heap.
func (k *Kernel) first() (at time.Duration, order uint64, lane *Lane, ok bool) {
	if x := &k.next; x.known && (x.lane == nil || x.lane.dead == nil || !x.lane.dead(x.lane.ring[x.lane.head].arg)) {
		return x.at, x.order, x.lane, x.ok
	}
	k.skip()
	if len(k.heap) > 0 {
		at, order, ok = k.heap[0].at, k.heap[0].order, true
	}
	for i := range k.heads {
		for h := &k.heads[i]; *h != nobody && (!ok || h.at < at || h.at == at && h.order <= order); {
			l := k.lanes[i]
			if l.dead != nil && l.dead(l.ring[l.head].arg) {
				l.pop()
				k.c.Stopped++
				continue
			}
			at, order, lane, ok = h.at, h.order, l, true
			break
		}
	}
	k.next = next{at, order, lane, ok, true}
	return at, order, lane, ok
}

// OrderOf is the place that AtKey gives an event among those of its moment:
// the smaller runs first.
func OrderOf(priority int8, key uint64) uint64 { return orderOf(priority, keyed|key) }

func orderOf(priority int8, within uint64) uint64 {
	return uint64(uint8(priority)^0x80)<<56 | within
}

// Step runs the next event and reports whether there was one and the run may go on.
func (k *Kernel) Step() bool {
	at, _, lane, ok := k.first()
	if !ok || k.err != nil {
		return false
	}
	k.next.known = false
	if lane != nil {
		e := lane.pop()
		k.now = at
		k.c.Ran++
		e.f(e.arg)
		return k.err == nil
	}
	e := k.pop()
	s := k.release(e.slot)
	k.now = e.at
	k.c.Ran++
	if s.f != nil {
		s.f()
	} else {
		s.g(s.arg)
	}
	return k.err == nil
}

// Stand moves the present moment on to t, up to the next event: for who does at a
// moment what needs no event.
func (k *Kernel) Stand(t time.Duration) {
	if due, ok := k.Next(); k.err == nil && (t < k.now || ok && due < t) {
		k.err = fmt.Errorf("des: %w: to stand at %v, now %v, the next event is due at %v", ErrPast, t, k.now, due)
	}
	k.now = t
}

// Run runs every event due up to and including until, then stands at until; later
// events stay pending. With Forever it runs until nothing is pending and stands
// at the last event. It returns early after Halt, and with the error at the first
// event scheduled in the past.
func (k *Kernel) Run(until time.Duration) error {
	if k.err == nil && until < k.now {
		k.err = fmt.Errorf("des: %w: run until %v, now %v; run until a later moment", ErrPast, until, k.now)
	}
	k.halt = false
	for k.err == nil && !k.halt {
		t, ok := k.Next()
		if !ok || t > until {
			if until != Forever {
				k.now = until
			}
			break
		}
		k.Step()
	}
	return k.err
}

// release empties a slot for the next event and returns what it held.
func (k *Kernel) release(i uint32) slot {
	s := k.slots[i]
	k.slots[i] = slot{gen: s.gen + 1}
	k.spare = append(k.spare, i)
	return s
}

// skip drops stopped events from the top.
func (k *Kernel) skip() {
	for len(k.heap) > 0 {
		s := &k.slots[k.heap[0].slot]
		if s.f != nil || s.g != nil {
			return
		}
		k.release(k.pop().slot)
		k.dead--
	}
}

// purge rebuilds the heap without the stopped events. The order is total, so
// the shape of the heap leaves no trace.
func (k *Kernel) purge() {
	live := k.heap[:0]
	for _, e := range k.heap {
		if s := &k.slots[e.slot]; s.f == nil && s.g == nil {
			k.release(e.slot)
		} else {
			live = append(live, e)
		}
	}
	k.heap, k.dead = live, 0
	for i := (len(live) - 2) / 4; i >= 0 && len(live) > 1; i-- {
		k.down(i)
	}
}

func (k *Kernel) pop() entry {
	top := k.heap[0]
	n := len(k.heap) - 1
	k.heap[0] = k.heap[n]
	k.heap = k.heap[:n]
	if n > 1 {
		k.down(0)
	}
	return top
}

func (k *Kernel) up(i int) {
	h := k.heap
	e := h[i]
	for i > 0 {
		parent := (i - 1) / 4
		if !e.before(h[parent]) {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = e
}

func (k *Kernel) down(i int) {
	h := k.heap
	e := h[i]
	for {
		first := 4*i + 1
		if first >= len(h) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(h)); c++ {
			if h[c].before(h[least]) {
				least = c
			}
		}
		if !h[least].before(e) {
			break
		}
		h[i] = h[least]
		i = least
	}
	h[i] = e
}
