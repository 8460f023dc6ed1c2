package model

import (
	"encoding/binary"
	"time"

	"spillway/internal/booking"
	"spillway/internal/policy"
	"spillway/scenarios"
	"spillway/sim/des"
)

// request is one request from its sending until both sides are done with it: its
// visitor has an answer or has lost patience, and the servers have finished the
// work, which they do for those who have left too.
type request struct {
	visit    booking.VisitID
	user     booking.UserID
	epoch    int64
	base     time.Duration // where the span begins: sent, or the press for a submit
	sent     time.Duration
	patience time.Duration // the client's timeout, from sent
	arrived  time.Duration // at the server
	entered  time.Duration // the gateways' room
	deadline time.Duration // as the gateways know it; 0 = never
	began    time.Duration
	ends     time.Duration // of the modelled service
	advice   time.Duration // Retry-After
	units    float64
	timer    des.Event // of the client's patience, when armed and not in the lane
	serial   uint32    // so that the lane's timers of requests that are over are known
	place    uint32
	version  uint32 // config carried by the answer
	ticket   uint32 // row of the ledger, plus one
	copy     *copied
	item     uint16
	attempt  uint16
	instance uint16
	step     booking.Step
	outcome  booking.Outcome // as the servers have it
	group    uint8
	priority uint8
	stage    stage
	bot      bool
	english  bool
	hasEpoch bool
	exempt   bool // an origin fetch of the edge: no visitor waits for it
	armed    bool
	answered bool // the visitor knows, one way or the other
	served   bool // the servers are done
	used     bool
	held     bool // of a shard's visit, see windows.hold; place is then its own in the list
}

// requests is the slab of requests under way.
type requests struct {
	all  []request
	free []uint32
	sent uint64
	// open is how many are sent and not answered; told and cut are the others.
	open      int
	told, cut uint64
	outcomes  [booking.StepPoll + 1][booking.Unmapped + 1]uint64
	oldest    time.Duration // longest that a cut request had waited
}

func (q *requests) take() (uint32, *request) {
	var i uint32
	if n := len(q.free); n > 0 {
		i = q.free[n-1]
		q.free = q.free[:n-1]
	} else {
		i = uint32(len(q.all))
		q.all = append(q.all, request{})
	}
	r := &q.all[i]
	*r = request{used: true, serial: r.serial + 1}
	return i, r
}

func (q *requests) give(i uint32) {
	q.all[i].used, q.all[i].copy = false, nil
	q.free = append(q.free, i)
}

// ticketOf is the ticket of a row as visitors carry it. That it cannot be guessed
// does not matter here.
func ticketOf(row uint32) (t booking.Ticket) {
	binary.BigEndian.PutUint32(t[12:], row+1)
	return t
}

// send counts a visitor's request and puts it on the network.
func (e *evening) send(ref, version uint32, m policy.Move, now time.Duration) {
	e.sends(m, now)
	e.post(ref, version, m, now)
}

// post puts a visitor's request on the network.
func (e *evening) post(ref, version uint32, m policy.Move, now time.Duration) {
	i, r := e.take()
	p := e.place(ref)
	v := &p.v
	r.visit, r.user, r.item, r.bot, r.group, r.place = v.Visit, v.User, v.Item, v.Bot, p.group, ref
	r.step, r.attempt, r.patience, r.base, r.sent = m.Step, m.Attempt, m.Timeout, now, now
	r.ticket = binary.BigEndian.Uint32(v.Ticket[12:])
	switch m.Step {
	case booking.StepSubmit:
		r.base = v.PressedAt
		if !v.Bot && e.runtimes[version].Gate == policy.GateCoin {
			r.epoch, r.hasEpoch = v.Epoch, true
		}
		e.reach(&p.stages, p.group, stageSubmitted)
	case booking.StepCatalogue:
		r.english = e.program.InEnglish(v.User, e.lucky)
	}
	e.requests.sent++
	e.requests.open++
	e.toServer.AtKey(now+e.half, servers, uint64(v.Visit), e.onArrive, uint64(i))
}

func (e *evening) arriveAtServer(i uint64) {
	r := &e.all[i]
	r.arrived = e.kernel.Now()
	e.reaches(uint32(i), r)
}

// reaches is a request that has come as far as the service, if that is reached at all.
func (e *evening) reaches(i uint32, r *request) {
	switch {
	case e.outages.at(r.arrived):
		e.answer(i, r, booking.Failed, r.arrived)
	case static(r.step) && e.edge.on:
		e.fromEdge(i, r)
	default:
		e.front(i, r)
	}
}

func static(s booking.Step) bool { return s == booking.StepConfig || s == booking.StepCatalogue }

// arm makes sure that the client's patience ends, for a request whose answer is
// not in sight.
func (e *evening) arm(i uint32, r *request) {
	if !r.armed && !r.answered && !r.exempt && !r.held {
		r.armed = true
		at, arg := max(r.sent+r.patience, e.kernel.Now()), uint64(r.serial)<<32|uint64(i)
		if !e.patience.TryKey(at, people, uint64(r.visit), e.onTimeout, arg) {
			r.timer = e.kernel.AtKey(at, people, uint64(r.visit), e.onTimeout, arg)
		}
	}
}

// patient reports whether a timer's request is over, or waits no more.
func (e *evening) patient(arg uint64) bool {
	r := &e.all[uint32(arg)]
	return !r.armed || r.serial != uint32(arg>>32)
}

// answer sends the servers' answer off at a moment, now or later.
func (e *evening) answer(i uint32, r *request, o booking.Outcome, at time.Duration) {
	if r.held && e.windows.refuse(i, r, o, at) {
		return
	}
	r.outcome, r.served = o, true
	switch {
	case r.answered:
		e.give(i)
	case at+e.half >= r.sent+r.patience:
		e.arm(i, r) // too late: nobody will hear it
	default:
		if r.armed {
			r.timer.Stop()
			r.armed = false
		}
		e.toVisitor.AtKey(at+e.half, people, uint64(r.visit), e.onReply, uint64(i))
	}
}

// reply delivers an answer to its visitor.
func (e *evening) reply(i uint64) { e.deliver(uint32(i), e.all[i].outcome) }

// timeout ends a client's patience.
func (e *evening) timeout(arg uint64) {
	i := uint32(arg)
	e.all[i].armed = false
	e.deliver(i, booking.Timeout)
}

// deliver tells a visitor what became of its request. What comes after the end is
// counted and changes nothing.
func (e *evening) deliver(i uint32, o booking.Outcome) {
	r := &e.all[i]
	now := e.kernel.Now()
	r.answered = true
	e.open--
	e.told++
	e.outcomes[r.step][o]++
	e.tally.answered(r.step, o, r.group, r.base, r.sent, now)
	say := policy.Reply{Outcome: o}
	place := r.place
	if o != booking.Timeout {
		say.RetryAfter, say.NoRetry = e.advise(r, o)
		switch {
		case r.step == booking.StepConfig && o == booking.OK:
			say.Config = r.version
		case r.step == booking.StepSubmit && (o == booking.Queued || o == booking.Confirmed):
			say.Ticket = ticketOf(r.ticket - 1)
			e.ledger.rows[r.ticket-1].told = o
			if now < e.end {
				p := e.place(place)
				e.reach(&p.stages, p.group, stageAccepted)
			}
		case r.step == booking.StepPoll && (o == booking.Confirmed || o == booking.Refused):
			e.ledger.rows[r.ticket-1].told = o
		}
	}
	if r.served {
		e.give(i)
	}
	if now < e.end {
		e.move(place, now, policy.Replied, say)
	}
}

// advise is what a refusal tells about trying again.
func (e *evening) advise(r *request, o booking.Outcome) (retryAfter time.Duration, noRetry bool) {
	retryAfter, noRetry = advice(e.sc, o)
	if retries(o) {
		retryAfter = max(retryAfter, r.advice)
	}
	return retryAfter, noRetry
}

// advice is what a refusal tells by itself.
func advice(sc *scenarios.Scaled, o booking.Outcome) (retryAfter time.Duration, noRetry bool) {
	switch o {
	case booking.Closed, booking.Duplicate, booking.OverBudget, booking.Off:
		return 0, true
	}
	if retries(o) {
		return sc.Gateway.RetryAfter, false
	}
	return 0, false
}

// retries reports whether a refusal says when to try again.
func retries(o booking.Outcome) bool {
	switch o {
	case booking.Busy, booking.Shed, booking.Limited, booking.Expired, booking.Degraded, booking.Unknown:
		return true
	}
	return false
}

// cutOff counts the requests that were still unanswered when the run ended.
func (e *evening) cutOff() {
	now := e.kernel.Now()
	for i := range e.all {
		r := &e.all[i]
		if !r.used || r.answered || r.exempt {
			continue
		}
		e.open--
		e.requests.cut++
		e.oldest = max(e.oldest, now-r.sent)
		e.tally.count(countCut, r.sent)
	}
}
