package model

import (
	"math"
	"time"

	"spillway/internal/booking"
	"spillway/internal/policy"
)

// call is a request as a shard sends it to the servers, and its answer: for the
// status before the form, the check after a press or the result of a ticket.
type call struct {
	cold
	sent    time.Duration
	took    uint32          // until the visitor hears the answer, ns
	outcome booking.Outcome // 0 = the servers' part leads the visit on, no answer yet
	step    booking.Step
}

// toldLater is the outcome of a call that waits at the servers: no answer yet.
const toldLater = booking.Outcome(outcomeMax)

// attempt is the number of the call among those of its step.
func (c *call) attempt() uint16 {
	switch c.step {
	case booking.StepCheck:
		return c.presses
	case booking.StepPoll:
		return *c.polls()
	}
	return c.statuses
}

// try is a press that passed the gate and whose check said that booking is open: its
// submit follows at once.
type try struct {
	cold
	pressed time.Duration
	sent    time.Duration // the submit: when the answer to the check was heard
	heard   time.Duration // the answer
	outcome booking.Outcome
	_       [7]byte
}

// tries are submits on their way to the servers, in the order of their arrival.
type tries struct {
	w    []try
	head int
}

// first is the next to arrive, nil when there is none.
func (q *tries) first() *try {
	if q.head == len(q.w) {
		return nil
	}
	return &q.w[q.head]
}

// push adds one that is sent no sooner than any other. Of those that are sent in one
// moment, as when several services have begun in one, the smaller visit is first.
func (q *tries) push(t try) {
	q.w = append(q.w, t)
	for i := len(q.w) - 1; i > q.head && q.w[i-1].sent == t.sent && q.w[i-1].visit > t.visit; i-- {
		q.w[i-1], q.w[i] = q.w[i], q.w[i-1]
	}
}

func (q *tries) pop() {
	if q.head++; q.head == len(q.w) {
		q.w, q.head = q.w[:0], 0
	} else if q.head > 1024 && 2*q.head > len(q.w) {
		q.w, q.head = q.w[:copy(q.w, q.w[q.head:])], 0
	}
}

// quiet answers a call of a shard at once when all that will happen to it is known:
// a slot is free, nothing is degraded, the answer is in time and before anything else
// the visitor could do. It leaves the same traces as a request that is led through
// front, enter, begin, work, leave and answer, but no event. It reports false, having
// done nothing, when it cannot.
func (w *windows) quiet(c *call) bool {
	e := w.e
	g := &e.gateway
	now := c.sent + e.half
	if e.outages.at(now) {
		return false
	}
	if !w.unhurried(now) {
		o := w.atDoor(c.step, c.group, now)
		if o != 0 {
			c.outcome, c.took = o, uint32(2*e.half)
			w.ways.refused[c.step]++
		}
		return o != 0
	}
	units, takes := e.sc.Gateway.Status, g.statusTakes
	if c.step == booking.StepPoll {
		units, takes = e.sc.Gateway.Poll, g.pollTakes
	}
	ends := now + takes
	done := ends + e.extra + e.half
	if took := done - c.sent; took >= e.program.Timeout || done >= w.bound || took > math.MaxUint32 || g.quiet.n > 0 && g.quiet.last() > ends {
		return false
	}
	next, instance := g.after()
	var o booking.Outcome
	if c.step == booking.StepPoll {
		if !e.admission.now.Results {
			return false
		}
		ticket := e.stock.held.row(booking.UserID(c.user))
		if o = e.ledger.result(ticket); o == booking.Confirmed {
			e.ledger.rows[ticket-1].told = o
		}
	} else {
		var in *instanceFlag
		var known bool
		if o, in, known = w.state(instance, now); !known {
			return false
		}
		if o == booking.Open {
			if c.step == booking.StepStatus && (w.isGone(c.visit) || !w.catalogueAtHand(done, w.bound)) || c.step == booking.StepCheck && !w.follows(c.sent, done) {
				return false
			}
		}
		if in != nil {
			in.read(now, e.soldOut())
		}
	}
	g.serveQuietly(next, units, takes, ends, &g.quiet)
	c.outcome, c.took = o, uint32(done-c.sent)
	w.ways.atOnce[c.step]++
	if o == booking.Open {
		if c.step == booking.StepStatus {
			w.open(c.visit, done, now)
		} else {
			w.tries.push(try{cold: c.cold, pressed: c.sent, sent: done})
		}
	}
	return true
}

// unhurried reports whether a request that reaches the gateways now, no sooner than any
// before it, is served at once and nothing is degraded.
func (w *windows) unhurried(now time.Duration) bool {
	g := &w.e.gateway
	if e := w.e; !g.calm || g.length > 0 || g.rung != booking.RungFull || e.slow > 0 || e.noRedis || e.fullRedis {
		return false
	}
	// Who has left may be counted later, unless there are many or it matters.
	if g.quiet.n+g.quieter.n+g.foretold.n >= settleFrom || g.limit > 0 && g.c.inside >= g.limit {
		g.settle(now)
	}
	return (g.limit == 0 || g.c.inside < g.limit) && g.slots.isFree(now)
}

// atDoor turns a request away that reaches the gateways now, if they do: its answer
// costs nothing and leaves at once. 0 = they do not, and nothing was done.
func (w *windows) atDoor(step booking.Step, group uint8, now time.Duration) booking.Outcome {
	e := w.e
	g := &e.gateway
	if !g.calm || g.length > 0 && g.slots.free() <= now || now+e.half >= w.bound || 2*e.half >= min(e.program.Timeout, math.MaxUint32) {
		return 0
	}
	units := e.sc.Gateway.Status
	switch step {
	case booking.StepSubmit:
		units = e.sc.Gateway.Submit
	case booking.StepPoll:
		if units = e.sc.Gateway.Poll; !e.admission.now.Results {
			return 0
		}
	}
	g.settle(now)
	rung, low, since := g.rung, g.low, g.lowSince
	r := &w.refusal
	r.step, r.priority = step, uint8(min(policy.Priority(e.sc.Population.Classes, int(group), now-e.sc.OpenAt), 255))
	o := g.refusal(r, now)
	if o == 0 && !g.noRoom && g.waiting+units > g.room && (g.length > 0 || !g.slots.isFree(now)) {
		o = booking.Shed
		g.setRung(now)
	}
	if o == 0 {
		g.rung, g.low, g.lowSince = rung, low, since
		return 0
	}
	g.pick()
	g.c.entered++
	g.c.offeredUnits += units
	g.c.refused++
	return o
}

// state is what an instance says of booking, and its flag when that has to be read
// for it; not known when another request is reading it.
func (w *windows) state(instance uint16, now time.Duration) (o booking.Outcome, in *instanceFlag, known bool) {
	e := w.e
	check := policy.ClosedCheck{OpenAt: e.sc.OpenAt}
	o = check.State(now, false).Outcome()
	if o != booking.Open || !e.closedCheck {
		return o, nil, true
	}
	in = &e.gateway.instances[instance]
	if in.reading {
		return 0, nil, false
	}
	if !in.has || in.readAt < now && now-in.readAt >= e.sc.Stock.ClosedLife {
		if e.soldOut() {
			o = booking.Closed
		}
		return o, in, true
	}
	return check.State(now, in.soldOut).Outcome(), nil, true
}

// read keeps what the instance has read.
func (in *instanceFlag) read(now time.Duration, soldOut bool) {
	in.readAt = max(now, in.readyAt)
	in.has, in.soldOut = true, soldOut
}

// serveQuietly counts a request that is served from now on and whose end is nobody's
// event; ends keeps those that take as long.
func (g *gateway) serveQuietly(next uint16, units float64, takes, end time.Duration, ends *ring) {
	g.entersQuietly(next, 1, units)
	g.slots.use(takes, end)
	ends.push(end)
}

// entersQuietly counts n requests of so many units that are served at once.
func (g *gateway) entersQuietly(next uint16, n int, units float64) {
	g.turn += uint64(n)
	g.next = next
	g.waiting = 0
	g.low = false
	g.c.entered += uint64(n)
	g.c.inside += n
	if units != math.Trunc(units) {
		for ; n > 1; n-- { // sums of fractions depend on their order
			g.c.offeredUnits += units
			g.c.workUnits += units
		}
	}
	g.c.offeredUnits += units * float64(n)
	g.c.workUnits += units * float64(n)
}

// follows reports whether a submit that is sent at a moment, after a press at another,
// reaches the servers after those that are on their way, and early enough for its
// shard to be told in time.
func (w *windows) follows(pressed, sent time.Duration) bool {
	at := sent + w.e.half
	return at < w.e.end && w.early(pressed, at) && (w.tries.first() == nil || w.tries.w[len(w.tries.w)-1].sent <= sent)
}

// early reports whether the shard that is told of what happened in the window of a
// moment hears of it before anybody may come who was not drawn yet when the visit sent
// its request, or pressed.
func (w *windows) early(pressed, at time.Duration) bool {
	return int64(at>>w.shift) <= w.earlyUntil(pressed)
}

// earlyUntil is the last window of which that holds.
func (w *windows) earlyUntil(pressed time.Duration) int64 {
	return int64(pressed>>w.shift) + drawnAhead - 3
}

// book answers a submit at once, as quiet does a call.
func (w *windows) book(t *try) bool {
	e := w.e
	g := &e.gateway
	now := t.sent + e.half
	if e.outages.at(now) {
		return false
	}
	r := &w.submit
	r.user, r.hasEpoch = booking.UserID(t.user), false
	if rt := &e.runtimes[t.version]; rt.Gate == policy.GateCoin {
		r.epoch, r.hasEpoch = rt.Coin.Epoch(r.user, t.pressed), true
	}
	if e.admission.check(r, now) != booking.OK {
		return false
	}
	if !w.unhurried(now) {
		if t.outcome = w.atDoor(booking.StepSubmit, t.group, now); t.outcome != 0 {
			t.heard = now + e.half
			w.ways.refused[booking.StepSubmit]++
		}
		return t.outcome != 0
	}
	ends := now + g.submitTakes
	heard := ends + e.extra + e.half
	if heard-t.sent >= e.program.Timeout || heard >= w.bound || g.quieter.n > 0 && g.quieter.last() > ends {
		return false
	}
	next, instance := g.after()
	o, in, known := w.state(instance, now)
	if !known {
		return false
	}
	soldOut := e.soldOut() // before the submit itself may take the last
	if o == booking.Open {
		r.item = e.program.Item(booking.VisitID(t.visit), e.lucky)
		// Whoever finds its item gone chooses another, which a shard's visit cannot keep.
		if o = e.stock.take(r, now); o == booking.SoldOut {
			return false
		}
	}
	if in != nil {
		in.read(now, soldOut)
	}
	g.serveQuietly(next, e.sc.Gateway.Submit, g.submitTakes, ends, &g.quieter)
	if o == booking.Queued {
		e.ledger.rows[r.ticket-1].told = o
	}
	t.heard, t.outcome = heard, o
	w.ways.atOnce[booking.StepSubmit]++
	return true
}

// catalogueAtHand reports whether whoever is told at a moment that booking is open
// finds the catalogue at the edge: both copies live, whatever happens until then.
func (w *windows) catalogueAtHand(told, bound time.Duration) bool {
	e := w.e
	if !e.edge.on || told+2*e.half >= bound || 2*e.half >= e.program.Timeout || e.outages.at(told+e.half) {
		return false
	}
	if k := &w.catalogues; k.seen != e.edge.changed {
		k.seen = e.edge.changed
		k.copies = [2]*copied{e.edge.entries[edgeKey{object: objectChinese}], e.edge.entries[edgeKey{object: objectEnglish}]}
	}
	for _, n := range w.catalogues.copies {
		if n == nil || !n.has || told+e.half-n.storedAt >= n.life {
			return false
		}
	}
	return true
}

// catalogues are the edge's two, found when an entry last came or went.
type catalogues struct {
	copies [2]*copied
	seen   int
}

// heldCall is a request that is held, and the window at whose end it may be at the latest.
type heldCall struct {
	request uint32
	until   int64
}

// heldUntil is that window for a request sent at a moment after a press at another. A
// status call may wait until its visitor's patience ends, of which the kernel must know a
// window before: should a newer visit come, its shard sends word.
func (w *windows) heldUntil(step booking.Step, pressed, sent time.Duration) int64 {
	if step == booking.StepStatus {
		return int64((sent+w.e.program.Timeout)>>w.shift) - 2
	}
	return w.earlyUntil(pressed) - 1
}

// hold lets a call that cannot be answered at once wait, or whatever becomes of it,
// like an ordinary request but without a place for its visitor: most are answered
// soon, and then only the shard needs to know.
func (w *windows) hold(c *cold, step booking.Step, attempt uint16, pressed, sent time.Duration) {
	e := w.e
	e.kernel.Stand(sent + e.half)
	i, r := e.take()
	r.visit, r.user, r.group = booking.VisitID(c.visit), booking.UserID(c.user), c.group
	r.step, r.attempt, r.patience, r.base, r.sent, r.arrived = step, attempt, e.program.Timeout, pressed, sent, sent+e.half
	switch step {
	case booking.StepPoll:
		r.ticket = e.stock.held.row(r.user)
	case booking.StepSubmit:
		r.item = e.program.Item(r.visit, e.lucky)
		if rt := &e.runtimes[c.version]; rt.Gate == policy.GateCoin {
			r.epoch, r.hasEpoch = rt.Coin.Epoch(r.user, pressed), true
		}
	}
	for int(i) >= len(w.colds) {
		w.colds = append(w.colds, cold{})
	}
	w.colds[i] = *c
	r.held, r.place = true, uint32(len(w.holding))
	w.holding = append(w.holding, heldCall{i, w.heldUntil(step, pressed, sent)})
	e.reaches(i, r)
}

// letGo takes a request off the list of those that are held.
func (w *windows) letGo(r *request) {
	last := len(w.holding) - 1
	h := w.holding[last]
	w.holding[r.place] = h
	w.e.all[h.request].place = r.place
	w.holding = w.holding[:last]
	r.held = false
}

// finish answers a held request whose work is done, at the end of its service. It
// reports false, having made it an ordinary one, when its shard could not go on.
func (w *windows) finish(i uint32, r *request, o booking.Outcome, ends time.Duration) bool {
	e := w.e
	heard := ends + e.extra + e.half
	ring := &e.gateway.quiet
	if r.step == booking.StepSubmit {
		ring = &e.gateway.quieter
	}
	switch {
	case heard-r.sent >= r.patience || heard >= w.bound || heard-r.sent > math.MaxUint32 || ring.n > 0 && ring.last() > ends,
		o == booking.SoldOut,
		o == booking.Open && r.step == booking.StepStatus && (w.isGone(uint32(r.visit)) || !w.catalogueAtHand(heard, w.bound)),
		o == booking.Open && r.step == booking.StepCheck && !w.follows(r.sent, heard):
		w.unhold(i, r)
		return false
	}
	ring.push(ends)
	switch {
	case o == booking.Open && r.step == booking.StepStatus:
		w.open(uint32(r.visit), heard, e.kernel.Now())
	case o == booking.Open:
		w.tries.push(try{cold: w.colds[i], pressed: r.sent, sent: heard})
	case o == booking.Queued || o == booking.Confirmed:
		e.ledger.rows[r.ticket-1].told = o
	}
	w.answered(i, r, o, heard)
	return true
}

// refuse answers a held request that is turned away or dropped.
func (w *windows) refuse(i uint32, r *request, o booking.Outcome, at time.Duration) bool {
	heard := at + w.e.half
	if heard-r.sent >= r.patience || heard >= w.bound || heard-r.sent > math.MaxUint32 || r.advice > 0 {
		w.unhold(i, r)
		return false
	}
	w.answered(i, r, o, heard)
	return true
}

// answered tells the shard of a held request's answer.
func (w *windows) answered(i uint32, r *request, o booking.Outcome, heard time.Duration) {
	w.letGo(r)
	if r.step == booking.StepSubmit {
		w.tell(&try{cold: w.colds[i], pressed: r.base, sent: r.sent, heard: heard, outcome: o})
	} else {
		w.reply(&call{cold: w.colds[i], sent: r.sent, took: uint32(heard - r.sent), outcome: o, step: r.step})
	}
	w.ways.held[r.step]++
	w.e.give(i)
}

// reply tells a shard what became of a call that had to wait.
func (w *windows) reply(c *call) {
	s := w.shards[booking.UserID(c.user)&w.mask]
	s.mail.calls[w.served&1] = append(s.mail.calls[w.served&1], *c)
}

// unhold makes a held request an ordinary one.
func (w *windows) unhold(i uint32, r *request) {
	e := w.e
	w.ways.unheld[r.step]++
	w.letGo(r)
	r.place = w.lead(&w.colds[i], r.step, r.base, r.sent)
	e.requests.sent++
	e.requests.open++
	if r.step == booking.StepSubmit {
		w.tell(&try{cold: w.colds[i]})
	} else {
		w.reply(&call{cold: w.colds[i], step: r.step})
	}
	e.arm(i, r)
}

// unholdLate makes those ordinary that wait longer than their shards can be kept in
// the dark.
func (w *windows) unholdLate(n int64) {
	for j := 0; j < len(w.holding); {
		h := w.holding[j]
		if n >= w.count-1 || n > h.until {
			w.unhold(h.request, &w.e.all[h.request]) // another takes its place in the list
		} else {
			j++
		}
	}
}

// lend makes a call that cannot be answered at once an ordinary request.
func (w *windows) lend(c *call) {
	w.ways.lent[c.step]++
	ref := w.lead(&c.cold, c.step, c.sent, c.sent)
	w.e.post(ref, uint32(c.version), policy.Move{Kind: policy.Send, Step: c.step, Attempt: c.attempt(), Timeout: w.e.program.Timeout}, c.sent)
}

// submits makes a submit that is on its way an ordinary request.
func (w *windows) submits(t *try) {
	ref := w.lead(&t.cold, booking.StepSubmit, t.pressed, t.sent)
	w.e.post(ref, uint32(t.version), policy.Move{Kind: policy.Send, Step: booking.StepSubmit, Attempt: t.submits + 1, Timeout: w.e.program.Timeout}, t.sent)
	t.outcome = 0
	w.tell(t)
}

// lead gives a visit with a request under way a place. One whose answer may change
// what its user holds is the servers' part's from here on, with its user.
func (w *windows) lead(c *cold, step booking.Step, pressed, sent time.Duration) uint32 {
	e := w.e
	ref, p := w.seat(c)
	switch step {
	case booking.StepStatus:
		p.lent = true
	case booking.StepCheck:
		e.claim(p, sent)
		w.adopt(p, policy.HoldNone)
	case booking.StepPoll:
		w.adopt(p, policy.HoldTicket)
	case booking.StepSubmit:
		e.claim(p, pressed)
		w.adopt(p, policy.HoldSubmitting)
		// Its check has not been counted yet, nor the submit.
		e.requests.sent++
		e.requests.told++
		e.outcomes[booking.StepCheck][booking.Open]++
		e.tally.answered(booking.StepCheck, booking.Open, p.group, pressed, pressed, sent)
		p.v.Phase = policy.PhaseSubmitReq
		p.v.Submits++
		e.sends(policy.Move{Step: step, Attempt: p.v.Submits}, sent)
		e.reach(&p.stages, p.group, stageSubmitted)
	}
	return ref
}

// claim notes a visit's press, and the epoch that it claims.
func (e *evening) claim(p *place, pressed time.Duration) {
	p.v.PressedAt = pressed
	if rt := &e.runtimes[p.version]; rt.Gate == policy.GateCoin {
		p.v.Epoch = rt.Coin.Epoch(p.v.User, pressed)
	}
}

// adopt moves the user of a visit to the servers' part before the shard has sent the
// client after. Nobody asks for that until then: the visit is the user's last, and no
// other comes within a few windows.
func (w *windows) adopt(p *place, holds policy.Hold) {
	m := w.user(p.v.User)
	w.moved[m] = movedUser{user: p.v.User, alive: 1, bare: true, client: client{visit: uint32(p.v.Visit) + 1, versionLow: p.version, flags: hasConfig | known}}
	w.moved[m].setHolds(holds)
	p.client = m
}

// settleFrom is how many ended services are worth counting at once.
const settleFrom = 512

// settle lets the services that are nobody's event end.
func (g *gateway) settle(now time.Duration) {
	for g.quiet.n > 0 && g.quiet.first() <= now {
		g.quiet.pop()
		g.c.inside--
		g.c.served++
	}
	for g.quieter.n > 0 && g.quieter.first() <= now {
		g.quieter.pop()
		g.c.inside--
		g.c.served++
	}
	for g.foretold.n > 0 && g.foretold.first() <= now {
		g.foretold.pop()
		g.c.inside--
		g.c.served++
	}
}
