package gateway

import (
	"math"
	"sync"
	"time"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/internal/draw"
	"spillway/internal/policy"
)

// Options set a station. All limits are pooled over the instances.
type Options struct {
	Clock     clock.Clock
	Seed      draw.Seed     // keys the service times
	Capacity  float64       // units per second, > 0; not used when Native
	UnitTime  time.Duration // service time of a unit, see the package's Decisions; 0 = one slot
	ServiceCV float64       // 0 = constant service times, else log-normal
	Native    bool          // no slots, no room, no modelled time: only the limits and switches
	Instances int           // instances that share the station, at least 1

	Room     float64 // units that may wait; 0 = none may
	NoRoom   bool    // the room has no bound
	Drop     policy.Drop
	NoDrop   bool           // dead work is served all the same
	Limiter  policy.Limiter // nil = no limit
	Ladder   policy.Ladder  // the zero value always stands on the first rung
	Lowest   int            // the largest priority number in use, at least 1
	Plain    bool           // priorities ignored: first in, first out
	Budget   policy.Budget  // Ratio 0 = retries are free
	Observer func(Visit)    // told of every finished request, outside the lock; may be nil
}

// Job is one request for service.
type Job struct {
	Step     booking.Step
	Units    float64       // work, > 0
	Key      uint64        // keys the service time together with Step and Attempt
	Attempt  int           // of this step in this visit, from 1; below 1 counts as 1
	Priority int           // 1 is served first
	Deadline time.Duration // offset at which the client leaves; 0 = never
	Exempt   bool          // the station's own work (an origin fetch): only the room can refuse it
}

// Pass lets a request through to its work. It must be handed back by Leave.
type Pass struct {
	Entered, Began, Ends time.Duration // offsets; Ends is the end of the modelled service
	job                  Job
}

// Visit is a request that has left the station.
type Visit struct {
	Job
	Outcome booking.Outcome // OK = served, else why it was refused
	Entered time.Duration
	Inside  time.Duration // entered to left
}

// Counts are the station's totals since its start. At every moment
// Entered = Served + the refusals + Inside.
type Counts struct {
	Entered, Served                     uint64
	Shed, Expired, Limited              uint64
	Degraded, OverBudget, Off           uint64
	Inside                              int     // waiting or in service now
	WaitingUnits, OfferedUnits, WorkSum float64 // units waiting now; units offered; units begun
}

// Station is the pooled service station. Its methods may be called from any
// goroutine.
type Station struct {
	o    Options
	unit float64 // nanoseconds of service a unit, at the present number of slots

	mu       sync.Mutex
	slots    []time.Duration // min-heap: when each slot is free
	all      int             // slots with every instance up
	queues   []fifo          // one a priority, index 1 first
	length   int
	waiting  float64 // units
	c        Counts
	rung     booking.Rung
	low      bool
	lowSince time.Duration
	kill     bool
	armed    bool
	armedAt  time.Duration
	budget   policy.Budget
}

// waiter is a request in the room. granted is closed after outcome and pass are set.
type waiter struct {
	job     Job
	entered time.Duration
	granted chan struct{}
	outcome booking.Outcome
	began   time.Duration
	ends    time.Duration
}

// New makes a station. It panics on an option that Config's check would have
// refused: no clock, or a capacity of zero or less without Native.
func New(o Options) *Station {
	if o.Clock == nil || !o.Native && !(o.Capacity > 0) {
		panic("gateway.New: no clock or no capacity")
	}
	o.Instances = max(o.Instances, 1)
	o.Lowest = max(o.Lowest, 1)
	s := &Station{o: o, rung: booking.RungFull, budget: o.Budget, queues: make([]fifo, o.Lowest)}
	if !o.Native {
		s.all, _ = Slots(o.Capacity, o.UnitTime)
		s.slots = make([]time.Duration, s.all)
		s.unit = float64(s.all) / o.Capacity * 1e9
		// Free since before anything: offsets may be negative.
		for i := range s.slots {
			s.slots[i] = math.MinInt64
		}
	}
	return s
}

// Slots is how many slots a capacity in units per second has, and how long a unit
// of work takes in one. There is at least one slot, and the capacity holds: a
// capacity that would fill less than one makes its units slower.
func Slots(capacity float64, unitTime time.Duration) (slots int, unit time.Duration) {
	slots = max(1, int(math.Round(capacity*unitTime.Seconds())))
	return slots, time.Duration(math.Round(float64(slots) / capacity * 1e9))
}

// Slots is the number of slots now and with every instance up.
func (s *Station) Slots() (now, all int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.slots), s.all
}

// Enter asks for service and waits in the room when all slots are taken. The
// outcome is OK with a Pass, or the reason of the refusal without one.
func (s *Station) Enter(j Job) (Pass, booking.Outcome) {
	s.mu.Lock()
	now := s.o.Clock.Now()
	s.advance(now)
	s.c.Entered++
	s.c.OfferedUnits += j.Units
	if refusal := s.refusal(j, now); refusal != 0 {
		s.count(refusal)
		s.mu.Unlock()
		s.observe(Visit{Job: j, Outcome: refusal, Entered: now})
		return Pass{}, refusal
	}
	if s.o.Native {
		s.c.Inside++
		s.c.WorkSum += j.Units
		s.mu.Unlock()
		return Pass{Entered: now, Began: now, Ends: now, job: j}, booking.OK
	}
	if s.length == 0 && s.slots[0] <= now {
		ends := s.begin(j, now)
		s.c.Inside++
		s.mu.Unlock()
		return Pass{Entered: now, Began: now, Ends: ends, job: j}, booking.OK
	}
	if !s.o.NoRoom && s.waiting+j.Units > s.o.Room {
		s.count(booking.Shed)
		s.setRung(now)
		s.mu.Unlock()
		s.observe(Visit{Job: j, Outcome: booking.Shed, Entered: now})
		return Pass{}, booking.Shed
	}
	s.c.Inside++
	w := &waiter{job: j, entered: now, granted: make(chan struct{})}
	s.push(w)
	s.setRung(now)
	s.arm(now)
	s.mu.Unlock()

	<-w.granted
	if w.outcome != booking.OK {
		s.left(j, now, w.outcome)
		return Pass{}, w.outcome
	}
	return Pass{Entered: now, Began: w.began, Ends: w.ends, job: j}, booking.OK
}

// Leave hands a pass back: it waits until the modelled service has ended, if the
// caller's own work took less, and counts the request as served.
func (s *Station) Leave(p Pass) {
	if d := p.Ends - s.o.Clock.Now(); d > 0 {
		done := make(chan struct{})
		s.o.Clock.AfterFunc(d, func() { close(done) })
		<-done
	}
	s.left(p.job, p.Entered, booking.OK)
}

// left counts a request that had entered as gone.
func (s *Station) left(j Job, entered time.Duration, o booking.Outcome) {
	s.mu.Lock()
	now := s.o.Clock.Now()
	s.c.Inside--
	s.count(o)
	if s.o.Limiter != nil {
		s.o.Limiter.Done(now, now-entered, o != booking.OK)
	}
	s.mu.Unlock()
	s.observe(Visit{Job: j, Outcome: o, Entered: entered, Inside: now - entered})
}

func (s *Station) observe(v Visit) {
	if s.o.Observer != nil {
		s.o.Observer(v)
	}
}

// refusal is why a request is turned away at the door, 0 when it is not.
func (s *Station) refusal(j Job, now time.Duration) booking.Outcome {
	if j.Exempt {
		return 0
	}
	if s.kill && j.Step == booking.StepSubmit {
		return booking.Off
	}
	if j.Step != booking.StepPoll && !s.budget.Allow(max(j.Attempt, 1)) {
		return booking.OverBudget
	}
	s.setRung(now)
	if j.Step == booking.StepPoll && s.rung >= booking.RungNoResults || !policy.Serves(s.rung, j.Priority, s.o.Lowest) {
		return booking.Degraded
	}
	if s.o.Limiter != nil && !s.o.Limiter.Allow(now, s.c.Inside) {
		return booking.Limited
	}
	return 0
}

func (s *Station) count(o booking.Outcome) {
	switch o {
	case booking.OK:
		s.c.Served++
	case booking.Shed:
		s.c.Shed++
	case booking.Expired:
		s.c.Expired++
	case booking.Limited:
		s.c.Limited++
	case booking.Degraded:
		s.c.Degraded++
	case booking.OverBudget:
		s.c.OverBudget++
	case booking.Off:
		s.c.Off++
	}
}

// advance begins all the work that was due to begin up to now, in the order in
// which it was due, however late the caller is.
func (s *Station) advance(now time.Duration) {
	for s.length > 0 && s.slots[0] <= now {
		at := s.slots[0]
		w := s.pop()
		// A slot that was added while the request waited is free from then on.
		at = max(at, w.entered)
		if !s.o.NoDrop && s.o.Drop.Dead(w.entered, w.job.Deadline, at) {
			w.outcome = booking.Expired
			close(w.granted)
			continue
		}
		w.outcome, w.began, w.ends = booking.OK, at, s.begin(w.job, at)
		close(w.granted)
	}
	if s.length == 0 {
		s.waiting = 0 // no rounding left over from sums of fractions
	}
}

// begin takes the earliest slot from the given moment on and returns the end.
func (s *Station) begin(j Job, at time.Duration) time.Duration {
	d := time.Duration(math.Round(j.Units * s.unit))
	if s.o.ServiceCV > 0 {
		d = s.o.Seed.LogNormal(booking.DrawService, j.Key<<3^uint64(j.Step), uint32(j.Attempt), d, s.o.ServiceCV)
	}
	s.c.WorkSum += j.Units
	s.slots[0] = at + d
	down(s.slots, 0)
	return at + d
}

// arm makes sure that a timer runs at the moment the next slot is free.
func (s *Station) arm(now time.Duration) {
	if s.length == 0 {
		return
	}
	next := s.slots[0]
	if s.armed && s.armedAt <= next {
		return
	}
	s.armed, s.armedAt = true, next
	s.o.Clock.AfterFunc(next-now, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		now := s.o.Clock.Now()
		if s.armedAt == next {
			s.armed = false
		}
		s.advance(now)
		s.setRung(now)
		s.arm(now)
	})
}

func (s *Station) push(w *waiter) {
	s.queues[s.index(w.job.Priority)].push(w)
	s.length++
	s.waiting += w.job.Units
}

func (s *Station) pop() *waiter {
	for i := range s.queues {
		if w := s.queues[i].pop(); w != nil {
			s.length--
			s.waiting -= w.job.Units
			return w
		}
	}
	return nil // length says that there is one
}

func (s *Station) index(priority int) int {
	if s.o.Plain {
		return 0
	}
	return min(max(priority, 1), s.o.Lowest) - 1
}

// fill is how full the room is, 0..1; a room without bound is never full.
func (s *Station) fill() float64 {
	if s.o.NoRoom || s.o.Native || s.o.Room <= 0 {
		return 0
	}
	return s.waiting / s.o.Room
}

func (s *Station) setRung(now time.Duration) {
	fill := s.fill()
	low := s.o.Ladder.Low(s.rung, fill)
	if low && !s.low {
		s.lowSince = now
	}
	s.low = low
	next := s.o.Ladder.Next(s.rung, fill, s.lowSince, s.low, now)
	if next != s.rung {
		s.rung, s.low = next, false // the next rung down has a Hold of its own
	}
}

// State is the station at this moment: totals, fill of the room (0..1) and rung.
func (s *Station) State() (c Counts, fill float64, rung booking.Rung) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Clock.Now()
	s.advance(now)
	s.setRung(now)
	c = s.c
	c.WaitingUnits = s.waiting
	return c, s.fill(), s.rung
}

// Kill turns the kill switch: while it is on, every submit is refused as Off.
func (s *Station) Kill(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kill = on
}

// SetUp says how many of the instances are up, at least 1: the slots, and with
// them the capacity, shrink and grow in proportion from the next start on.
func (s *Station) SetUp(up int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.o.Native {
		return
	}
	up = min(max(up, 1), s.o.Instances)
	now := s.o.Clock.Now()
	s.advance(now)
	share := float64(up) / float64(s.o.Instances)
	n := max(1, int(math.Round(float64(s.all)*share)))
	s.unit = float64(n) / (s.o.Capacity * share) * 1e9
	for len(s.slots) > n {
		// The earliest free one goes, so that no more than n are ever at work
		// once the present work is done.
		last := len(s.slots) - 1
		s.slots[0] = s.slots[last]
		s.slots = s.slots[:last]
		down(s.slots, 0)
	}
	for len(s.slots) < n {
		s.slots = append(s.slots, now)
		upHeap(s.slots, len(s.slots)-1)
	}
	s.advance(now)
	s.setRung(now)
	s.arm(now)
}

// fifo is a queue of waiters without holes.
type fifo struct {
	w    []*waiter
	head int
}

func (q *fifo) push(w *waiter) { q.w = append(q.w, w) }

func (q *fifo) pop() *waiter {
	if q.head == len(q.w) {
		return nil
	}
	w := q.w[q.head]
	q.w[q.head] = nil
	q.head++
	if q.head == len(q.w) {
		q.w, q.head = q.w[:0], 0
	} else if q.head > 1024 && 2*q.head > len(q.w) {
		n := copy(q.w, q.w[q.head:])
		clear(q.w[n:])
		q.w, q.head = q.w[:n], 0
	}
	return w
}

// down restores the min-heap below i; upHeap above it.
func down(h []time.Duration, i int) {
	for {
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

func upHeap(h []time.Duration, i int) {
	for i > 0 {
		p := (i - 1) / 2
		if h[p] <= h[i] {
			return
		}
		h[p], h[i] = h[i], h[p]
		i = p
	}
}
