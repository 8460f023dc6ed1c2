package model

import (
	"time"

	"spillway/internal/booking"
	"spillway/internal/policy"
)

// stage is how far a request's own work has come.
type stage uint8

const (
	atState   stage = iota // asks whether booking is open
	atStore                // a call of the store is under way
	atDesk                 // waits for its turn at the database
	finished               // outcome known
	abandoned              // the call of the store was given up
)

// work is a request's own work, from the moment its service begins. It is called
// again whenever what it waited for has come; when it is done, the request leaves
// at the later of now and the end of its modelled service.
func (e *evening) work(i uint64) {
	r := &e.all[i]
	o, again := e.workOf(r, e.kernel.Now())
	if r.held && o == 0 {
		e.windows.unhold(uint32(i), r)
	} else if r.held && e.windows.finish(uint32(i), r, o, max(r.ends, e.kernel.Now())) {
		return
	}
	if o == 0 {
		e.arm(uint32(i), r)
		e.kernel.AtArg(again, servers, e.onWork, i)
		return
	}
	r.outcome, r.stage = o, finished
	lane := e.leaving
	if r.step == booking.StepSubmit {
		lane = e.leavingLater
	}
	lane.AtArg(max(r.ends, e.kernel.Now()), servers, e.onLeave, i)
}

// workOf is the outcome of a request's work, or 0 and when to ask again.
func (e *evening) workOf(r *request, now time.Duration) (o booking.Outcome, again time.Duration) {
	switch r.step {
	case booking.StepConfig:
		r.version = e.admission.now.Version
		return booking.OK, 0
	case booking.StepCatalogue:
		return booking.OK, 0
	case booking.StepPoll:
		return e.resultOf(r, now)
	case booking.StepSubmit:
		return e.submit(r, now)
	}
	return e.state(r, now)
}

// hours is the answer of the opening hours alone; they count from the arrival.
func (e *evening) hours(r *request, soldOut bool) booking.Outcome {
	return policy.ClosedCheck{OpenAt: e.sc.OpenAt}.State(r.arrived, soldOut).Outcome()
}

// state answers a status call.
func (e *evening) state(r *request, now time.Duration) (booking.Outcome, time.Duration) {
	if e.sc.Mode == booking.ModeLossless {
		if again := e.database(r, e.sc.Ledger.Read, now); again > 0 {
			return 0, again
		}
		return e.hours(r, e.stock.total == 0), 0
	}
	return e.flag(r, now)
}

// flag is the closed check by the instance's own copy of the flag, which lives as
// long as the scenario says and is then read from the store again.
func (e *evening) flag(r *request, now time.Duration) (booking.Outcome, time.Duration) {
	if o := e.hours(r, false); o != booking.Open || !e.closedCheck {
		return o, 0
	}
	in := &e.gateway.instances[r.instance]
	switch {
	case in.reading && now < in.readyAt:
		return 0, in.readyAt // another request reads it
	case in.reading:
		in.reading, in.has, in.soldOut = false, true, e.soldOut()
	}
	// The copy must be fresh as of the moment the request first asked; one that was
	// read on its behalf is.
	if !in.has || in.readAt < r.began && r.began-in.readAt >= e.sc.Stock.ClosedLife {
		in.readAt = max(r.began, in.readyAt)
		if e.noRedis {
			in.has = true // the last copy is used, however old; without one it may be open
			return e.hours(r, in.soldOut), 0
		}
		if e.slow > 0 && !e.direct {
			in.reading, in.readyAt = true, now+e.slow
			return 0, in.readyAt
		}
		in.has, in.soldOut = true, e.soldOut()
	}
	return e.hours(r, in.soldOut), 0
}

// soldOut is what the closed flag is read from: stock's own, or in the synchronous
// modes the ledger's rows.
func (e *evening) soldOut() bool { return e.stock.total == 0 }

// submit books.
func (e *evening) submit(r *request, now time.Duration) (booking.Outcome, time.Duration) {
	switch r.stage {
	case atState:
		o := e.hours(r, false)
		if o == booking.Open && !(e.sc.Mode == booking.ModeLossless) && e.sc.On("closed") {
			var again time.Duration
			if o, again = e.flag(r, now); o == 0 {
				return 0, again
			}
		}
		if o != booking.Open {
			return o, 0
		}
		if e.direct {
			r.stage = atDesk
			return 0, e.queueUp(e.sc.Ledger.Write, now)
		}
		if e.noRedis || e.fullRedis {
			return booking.Unknown, 0 // the call fails at once
		}
		if e.slow > 0 {
			if limit := e.constant(storeTimeout); e.slow >= limit {
				r.stage = abandoned
				return 0, now + limit
			}
			r.stage = atStore
			return 0, now + e.slow
		}
		return e.stock.take(r, now), 0
	case atStore:
		return e.stock.take(r, now), 0
	case atDesk:
		return e.stock.book(r, now), 0
	}
	return booking.Unknown, 0 // the call was given up; nothing was done
}

// resultOf is the result of a ticket.
func (e *evening) resultOf(r *request, now time.Duration) (booking.Outcome, time.Duration) {
	if e.direct {
		if again := e.database(r, e.sc.Ledger.Read, now); again > 0 {
			return 0, again
		}
	} else if e.noRedis {
		return e.ledger.row(r.ticket), 0 // the database is asked instead
	} else if e.slow > 0 && r.stage == atState {
		r.stage = atStore
		return 0, now + e.slow
	}
	return e.ledger.result(r.ticket), 0
}

// database is the request's turn at the synchronous database, 0 when it has come.
func (e *evening) database(r *request, units float64, now time.Duration) time.Duration {
	if r.stage == atDesk {
		return 0
	}
	r.stage = atDesk
	return e.queueUp(units, now)
}
