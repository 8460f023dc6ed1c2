package policy

import (
	"time"

	"spillway/internal/booking"
)

// ClosedCheck decides the answer to "is booking open": a cached state with a
// stated life, so that most late requests never reach stock.
type ClosedCheck struct {
	OpenAt  time.Duration // offset at which booking opens
	CloseAt time.Duration // offset at which it ends; 0 = never by time
	Life    time.Duration // how long an instance may reuse "is any stock left"
}

// State is the state at time now, soldOut being what the instance last read.
func (c ClosedCheck) State(now time.Duration, soldOut bool) booking.State {
	switch {
	case now < c.OpenAt:
		return booking.StateWait
	case soldOut, c.CloseAt > 0 && now >= c.CloseAt:
		return booking.StateFinish
	}
	return booking.StatePreorder
}

// Fresh reports whether a flag read at the given time may still be used now.
func (c ClosedCheck) Fresh(readAt, now time.Duration) bool { return now-readAt < c.Life }

// QueueLimit bounds the queue.
type QueueLimit struct {
	Depth int // entries; 0 = unbounded by choice
}

// Allows reports whether one more entry fits when depth entries wait.
func (q QueueLimit) Allows(depth int) bool { return q.Depth == 0 || depth < q.Depth }

// Limiter is the in-flight limit of the gateways.
type Limiter interface {
	// Allow reports whether one more request may enter when inFlight are inside.
	Allow(now time.Duration, inFlight int) bool
	// Done tells the limiter of a finished request: how long it was inside and
	// whether it was dropped. An adaptive limiter learns from it.
	Done(now, inside time.Duration, dropped bool)
}

// StaticLimit is a Limiter that never learns; 0 = unlimited by choice.
type StaticLimit int

var _ Limiter = StaticLimit(0)

// Allow implements Limiter.
func (l StaticLimit) Allow(_ time.Duration, inFlight int) bool { return l <= 0 || inFlight < int(l) }

// Done implements Limiter.
func (StaticLimit) Done(time.Duration, time.Duration, bool) {}

// Drop decides at dequeue whether work is still worth doing: dead work dropped
// there is the best single line of overload control.
type Drop struct {
	After time.Duration // longest wait in the room; 0 = no such limit
}

// Dead reports whether a request that entered at the given time and whose client
// leaves at deadline (0 = never) is to be dropped now.
func (d Drop) Dead(entered, deadline, now time.Duration) bool {
	return deadline > 0 && now >= deadline || d.After > 0 && now-entered > d.After
}

// Ladder decides the degradation rung from how full the waiting room is. It
// climbs at once and comes down one rung at a time after Hold below half the
// rung's own threshold, so that it does not flap.
type Ladder struct {
	// NoResults, NoLow and TopOnly are the room's fill (0..1) from which the rung
	// of that name holds; a threshold of 0 or less is never reached.
	NoResults, NoLow, TopOnly float64
	Hold                      time.Duration
}

// Next is the rung at time now, given the present one, since when the fill has
// been low enough to come down (ok false: it is not), and the fill.
func (l Ladder) Next(present booking.Rung, fill float64, lowSince time.Duration, low bool, now time.Duration) booking.Rung {
	for r := booking.RungTopOnly; r > present; r-- {
		if t := l.threshold(r); t > 0 && fill >= t {
			return r
		}
	}
	if low && present > booking.RungFull && now-lowSince >= l.Hold {
		return present - 1
	}
	return present
}

// Low reports whether the fill is low enough to come down from the rung.
func (l Ladder) Low(present booking.Rung, fill float64) bool {
	return present > booking.RungFull && fill < l.threshold(present)/2
}

func (l Ladder) threshold(r booking.Rung) float64 {
	switch r {
	case booking.RungNoResults:
		return l.NoResults
	case booking.RungNoLow:
		return l.NoLow
	case booking.RungTopOnly:
		return l.TopOnly
	}
	return 0
}

// Serves reports whether a class of the given priority (1 = first, lowest = the
// largest number in use) is served on the rung.
func Serves(r booking.Rung, priority, lowest int) bool {
	switch r {
	case booking.RungNoLow:
		return priority < lowest || lowest <= 1
	case booking.RungTopOnly:
		return priority <= 1
	}
	return true
}

// Budget is a retry budget: every first attempt earns Ratio tokens and every
// retry spends one, up to Cap (Finagle's RetryBudget; the SRE book's client
// throttling has the same effect). A Ratio of 0 means no budget: retries are free.
type Budget struct {
	Ratio  float64
	Cap    float64
	tokens float64
}

// Allow reports whether an attempt may go ahead; attempt 1 always may.
func (b *Budget) Allow(attempt int) bool {
	if b.Ratio <= 0 {
		return true
	}
	if attempt <= 1 {
		b.tokens = min(b.tokens+b.Ratio, b.Cap)
		return true
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// ClassOf is the index of the user's class: a hash of the user laid on the
// classes' shares, so that client, server and simulator agree without a table.
// It returns -1 when there are no classes.
func ClassOf(classes []booking.Class, user booking.UserID) int {
	x := uint64(user) + 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	u := float64((x^x>>31)>>11) * (1.0 / (1 << 53))
	for i, c := range classes {
		if u -= c.Share; u < 0 {
			return i
		}
	}
	return len(classes) - 1
}

// Priority is the priority that the class has at a time counted from the
// opening; outside its hours it is the lowest in use.
func Priority(classes []booking.Class, class int, sinceOpening time.Duration) int {
	if class < 0 || class >= len(classes) {
		return 1
	}
	c := classes[class]
	if (c.From != 0 || c.Until != 0) && (sinceOpening < c.From || sinceOpening >= c.Until) {
		return LowestPriority(classes)
	}
	return c.Priority
}

// LowestPriority is the largest priority number in use, at least 1.
func LowestPriority(classes []booking.Class) int {
	low := 1
	for _, c := range classes {
		low = max(low, c.Priority)
	}
	return low
}
