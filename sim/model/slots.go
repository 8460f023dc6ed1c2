package model

import (
	"math"
	"time"
)

// slots are the gateways' slots of service: when each is free, and of these the
// earliest. Most services take one of a few times, and what begins later ends later:
// so the moments stand in a queue for each such time, in order, and only those that
// do not fit are in a heap.
type slots struct {
	n     int
	idle  int // slots that are free, long since: when matters only to work that waits, and then there are none
	heap  []time.Duration
	lanes [4]lane

	next  time.Duration // the earliest, and where it stands, while known
	where int
	known bool
}

// lane holds the ends of services that take the same time.
type lane struct {
	takes time.Duration
	ends  ring
}

func newSlots(n int) slots { return slots{n: n, idle: n} }

const never = time.Duration(math.MaxInt64)

// earliest is when the next slot is free, and in which lane it stands; -1 = the heap.
func (s *slots) earliest() (at time.Duration, where int) {
	if s.known {
		return s.next, s.where
	}
	at, where = never, -1
	if len(s.heap) > 0 {
		at = s.heap[0]
	}
	for i := range s.lanes {
		if r := &s.lanes[i].ends; r.n > 0 && r.first() < at {
			at, where = r.first(), i
		}
	}
	s.next, s.where, s.known = at, where, true
	return at, where
}

// free is when the next slot is free.
func (s *slots) free() time.Duration {
	if s.idle > 0 {
		return math.MinInt64
	}
	at, _ := s.earliest()
	return at
}

// isFree reports whether a slot is free now, when no work waits for one.
func (s *slots) isFree(now time.Duration) bool {
	if s.idle == 0 {
		s.reclaim(now)
	}
	return s.idle > 0
}

// reclaim makes the slots idle whose service has ended. No work may wait.
func (s *slots) reclaim(now time.Duration) {
	s.known = false
	for i := range s.lanes {
		for r := &s.lanes[i].ends; r.n > 0 && r.first() <= now; s.idle++ {
			r.pop()
		}
	}
	for ; len(s.heap) > 0 && s.heap[0] <= now; s.idle++ {
		s.dropFirst()
	}
}

// dropFirst takes the heap's first out.
func (s *slots) dropFirst() {
	last := len(s.heap) - 1
	s.heap[0] = s.heap[last]
	s.heap = s.heap[:last]
	down(s.heap)
}

// drop takes the earliest slot out.
func (s *slots) drop() {
	if s.idle > 0 {
		s.idle--
		return
	}
	_, where := s.earliest()
	s.known = false
	switch where {
	case -1:
		s.dropFirst()
	default:
		s.lanes[where].ends.pop()
	}
}

// use takes the earliest slot for a service that takes so long and ends then.
func (s *slots) use(takes, end time.Duration) {
	s.drop()
	s.known = false
	// The first lane is nearly always the right one.
	if l := &s.lanes[0]; l.takes == takes && l.ends.n > 0 && l.ends.last() <= end {
		l.ends.push(end)
		return
	}
	for i := range s.lanes {
		l := &s.lanes[i]
		if l.ends.n == 0 && l.takes != takes && !s.has(takes) {
			l.takes = takes
		}
		if l.takes == takes {
			if l.ends.n == 0 || l.ends.last() <= end {
				l.ends.push(end)
				return
			}
			break
		}
	}
	s.push(end)
}

// laneOf is the lane for services that take so long, the first of which ends at a moment
// and none sooner than the one before; nil = there is none, and they are pushed one by one.
func (s *slots) laneOf(takes, end time.Duration) *ring {
	for i := range s.lanes {
		if l := &s.lanes[i]; l.takes == takes && (l.ends.n == 0 || l.ends.last() <= end) {
			return &l.ends
		}
	}
	return nil
}

func (s *slots) has(takes time.Duration) bool {
	for i := range s.lanes {
		if s.lanes[i].takes == takes {
			return true
		}
	}
	return false
}

func (s *slots) push(at time.Duration) {
	s.known = false
	s.heap = append(s.heap, at)
	i := len(s.heap) - 1
	for i > 0 && s.heap[(i-1)/2] > s.heap[i] {
		s.heap[(i-1)/2], s.heap[i] = s.heap[i], s.heap[(i-1)/2]
		i = (i - 1) / 2
	}
}

// resize leaves n slots: the earliest free ones go, so that no more than n are ever
// at work once the present work is done; new ones are free from now on.
func (s *slots) resize(n int, now time.Duration) {
	for ; s.n > n; s.n-- {
		s.drop()
	}
	for ; s.n < n; s.n++ {
		s.push(now)
	}
}

// ring is a queue of moments.
type ring struct {
	w       []time.Duration
	head, n int
}

func (r *ring) first() time.Duration { return r.w[r.head] }
func (r *ring) last() time.Duration  { return r.w[(r.head+r.n-1)&(len(r.w)-1)] }

func (r *ring) push(at time.Duration) {
	if r.n == len(r.w) {
		w := make([]time.Duration, max(64, 2*len(r.w)))
		for i := range r.n {
			w[i] = r.w[(r.head+i)&(len(r.w)-1)]
		}
		r.w, r.head = w, 0
	}
	r.w[(r.head+r.n)&(len(r.w)-1)] = at
	r.n++
}

func (r *ring) pop() {
	r.head = (r.head + 1) & (len(r.w) - 1)
	r.n--
}

// down restores the min-heap after its first element has grown.
func down(h []time.Duration) {
	for i := 0; ; {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && h[c+1] < h[c] {
			c++
		}
		if h[i] <= h[c] {
			return
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
}
