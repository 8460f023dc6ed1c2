package model

import (
	"math"
	"time"

	"spillway/internal/booking"
	"spillway/internal/record"
	"spillway/sim/des"
)

// row is one accepted submit: queued, then written.
type row struct {
	at   time.Duration // accepted
	user uint32        // bots come after the people, who are fewer than 2^28
	item uint16
	told booking.Outcome // the last thing its client was told
}

// ledger is the writer with its database, the result cache, and the database of
// the synchronous modes. Rows are first in, first out, so where each stands is four
// numbers.
type ledger struct {
	e       *evening
	rows    []row
	written int // rows in the database
	shown   int // of these, known to the result cache
	acked   int // of these, off the queue

	writer
	busy time.Duration // synchronous database: when all work so far is done
}

// writer empties the queue on a beat in virtual time, as the reference writer
// does: fractions of a row are carried over by counting beats, and an empty queue
// saves up no credit.
type writer struct {
	rate    float64
	every   time.Duration
	flush   bool
	beats   int64
	next    time.Duration
	stopped bool
	parked  bool // stopped between two beats
	timer   des.Event
	claimAt time.Duration

	// Of the beat under way.
	left, done int
	want, got  int
	slow       time.Duration // extra latency of each of its batches
	onBeat     func()
	onRead     func()
	onTake     func()
	onShow     func()
	onAck      func()
}

func (e *evening) openLedger() {
	l := &e.ledger
	s := e.sc.Ledger
	l.e, l.busy = e, math.MinInt64
	if e.direct {
		return
	}
	l.rate, l.every = s.Rate, s.Every
	if e.sc.Mode == booking.ModeTimedWriter {
		l.flush, l.every = true, s.FlushEvery
	}
	l.onBeat, l.onRead, l.onTake, l.onShow, l.onAck = l.beat, l.read, l.takeBatch, l.show, l.ack
	// The writer was started with the backend, long before: its beat has a phase of
	// its own.
	l.next = e.luck.Between(booking.DrawPhase, 0, 0, 0, l.every)
	if e.opt.Phase > 0 {
		l.next = e.constant(e.opt.Phase) % l.every
	}
	l.timer = e.kernel.AtPriority(l.next, servers, l.onBeat)
}

// depth is how many entries wait, delivered or not, until they are acknowledged.
func (l *ledger) depth() int { return len(l.rows) - l.acked }

// write settles the oldest row that waits.
func (l *ledger) write(now time.Duration) {
	r := &l.rows[l.written]
	l.written++
	e := l.e
	e.rec.Marks[record.MarkLastConfirmed] = now
	e.tally.hist(spanLedger, record.Response, booking.Confirmed, 0, r.at).Add(now - r.at)
}

// result is what a poll is told of a ticket.
func (l *ledger) result(ticket uint32) booking.Outcome {
	switch {
	case ticket == 0 || int(ticket) > len(l.rows):
		return booking.Unknown
	case int(ticket) <= l.shown:
		return booking.Confirmed
	}
	return booking.Pending
}

// row is what the database itself says of a ticket.
func (l *ledger) row(ticket uint32) booking.Outcome {
	if ticket == 0 || int(ticket) > l.written {
		return booking.Unknown
	}
	return booking.Confirmed
}

// upTo is how many rows the rate allows in the first k beats.
func (l *ledger) upTo(k int64) int64 {
	// The tiny term undoes what floating point takes off a whole number.
	return int64(math.Floor(l.rate*(float64(k)*float64(l.every))/1e9 + 1e-6))
}

// beat begins what one beat may write.
func (l *ledger) beat() {
	l.slow, l.done = l.e.slow, 0
	switch {
	case l.flush:
		l.left = math.MaxInt
	case l.rate > 0:
		l.beats++
		if l.left = int(l.upTo(l.beats) - l.upTo(l.beats-1)); l.left == 0 {
			l.endBeat(true)
			return
		}
	default:
		l.left = batchMax
	}
	l.round()
}

// round begins one batch: a read, a transaction, the result cache, the
// acknowledgement. Each call of the store takes longer while it is slow; the time
// of the database itself is not modelled.
func (l *ledger) round() {
	l.want = min(l.left, batchMax)
	l.after(l.slow, l.read, l.onRead)
}

// after goes on at once or when a wait is over.
func (l *ledger) after(d time.Duration, now, later func()) {
	if d <= 0 {
		now()
		return
	}
	l.e.kernel.AtPriority(l.e.kernel.Now()+d, servers, later)
}

func (l *ledger) read() {
	d := l.e.slow
	if now := l.e.kernel.Now(); now >= l.claimAt {
		l.claimAt = now + l.e.constant(idle)/2
		d += l.e.slow // a look for left-overs, which there never are
	}
	l.after(d, l.takeBatch, l.onTake)
}

func (l *ledger) takeBatch() {
	l.got = min(l.want, len(l.rows)-l.written)
	if l.got == 0 {
		l.endRound()
		return
	}
	now := l.e.kernel.Now()
	for range l.got {
		l.write(now)
	}
	l.after(l.e.slow, l.show, l.onShow)
}

func (l *ledger) show() {
	l.shown += l.got
	l.after(l.e.slow, l.ack, l.onAck)
}

func (l *ledger) ack() {
	l.acked += l.got
	l.endRound()
}

func (l *ledger) endRound() {
	l.done += l.got
	if !l.flush {
		l.left -= l.got
	}
	switch {
	case l.flush && l.got == batchMax, !l.flush && l.got == l.want && l.left > 0:
		l.round()
	case l.flush:
		l.slow = 0 // the timer's grid holds, whatever a flush took
		l.endBeat(true)
	default:
		l.endBeat(l.got == l.want)
	}
}

// endBeat finds the next beat: late ones are made up for, but beats that would
// have found nothing are forgotten.
func (l *ledger) endBeat(full bool) {
	now := l.e.kernel.Now()
	switch step := max(l.every, l.slow); {
	case full && !l.flush && l.rate == 0:
		l.next = now // as fast as it can, and there is more
	case full:
		l.next += step
	default:
		if l.next += step; l.next <= now {
			l.next += (now - l.next + l.every) / l.every * l.every
		}
	}
	if l.stopped {
		l.parked = true
		return
	}
	l.timer = l.e.kernel.AtPriority(max(l.next, now), servers, l.onBeat)
}

// stop is the fault: no batch begins until resume; one under way ends.
func (l *ledger) stop() {
	l.stopped = true
	if l.timer.Stop() {
		l.parked = true
	}
}

// resume ends the fault. The time stood still saves up no credit.
func (l *ledger) resume() {
	l.stopped = false
	if l.parked {
		l.parked = false
		l.next = l.e.kernel.Now()
		l.timer = l.e.kernel.AtPriority(l.next, servers, l.onBeat)
	}
}

// queueUp enters work at the synchronous database, one server, first in, first
// out, without bound, and returns when its turn is over. The work is done even
// when its client has left.
func (e *evening) queueUp(units float64, now time.Duration) time.Duration {
	l := &e.ledger
	work := e.slow
	if rate := e.sc.Ledger.DatabaseRate; rate > 0 {
		work += time.Duration(units / rate * 1e9)
	}
	l.busy = max(l.busy, now) + work
	return l.busy
}
