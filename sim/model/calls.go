package model

import (
	"math"
	"time"

	"spillway/internal/booking"
	"spillway/internal/policy"
)

// call is a status call as a shard sends it to the servers, and its answer.
type call struct {
	cold
	sent    time.Duration
	took    uint32          // until the visitor hears the answer, ns
	outcome booking.Outcome // 0 = the visit was lent, no answer yet
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
	if !g.calm || g.length > 0 || g.rung != booking.RungFull || e.slow > 0 || e.noRedis {
		return false
	}
	g.settle(now)
	if g.limit > 0 && g.c.inside >= g.limit || !g.slots.isFree(now) {
		return false
	}
	ends := now + g.statusTakes
	done := ends + e.extra + e.half
	if took := done - c.sent; took >= e.program.Timeout || done >= w.bound || took > math.MaxUint32 || g.quiet.n > 0 && g.quiet.last() > ends {
		return false
	}
	next, instance := g.after()
	check := policy.ClosedCheck{OpenAt: e.sc.OpenAt}
	o := check.State(now, false).Outcome()
	var in *instanceFlag
	if o == booking.Open && e.sc.On("closed") && e.sc.Mode != booking.ModeLottery {
		in = &g.instances[instance]
		if in.reading {
			return false
		}
		if !in.has || in.readAt < now && now-in.readAt >= e.sc.Stock.ClosedLife {
			if e.soldOut() {
				o = booking.Closed
			}
		} else {
			in, o = nil, check.State(now, in.soldOut).Outcome()
		}
	}
	if o == booking.Open && (w.isGone(c.visit) || !w.catalogueAtHand(done, w.bound)) {
		return false
	}
	if in != nil {
		in.readAt = max(now, in.readyAt)
		in.has, in.soldOut = true, e.soldOut()
	}
	g.turn++
	g.next = next
	g.waiting = 0
	g.low = false
	g.c.entered++
	g.c.offeredUnits += e.sc.Gateway.Status
	g.c.workUnits += e.sc.Gateway.Status
	g.c.inside++
	g.slots.use(g.statusTakes, ends)
	g.quiet.push(ends)
	c.outcome, c.took = o, uint32(done-c.sent)
	if o == booking.Open {
		w.open(c.visit, done, now)
	}
	return true
}

// catalogueAtHand reports whether whoever is told at a moment that booking is open
// finds the catalogue at the edge: both copies live, whatever happens until then.
func (w *windows) catalogueAtHand(told, bound time.Duration) bool {
	e := w.e
	if !e.edge.on || told+2*e.half >= bound || 2*e.half >= e.program.Timeout {
		return false
	}
	for _, object := range [...]uint8{objectChinese, objectEnglish} {
		n := e.edge.entries[edgeKey{object: object}]
		if n == nil || !n.has || told+e.half-n.storedAt >= n.life {
			return false
		}
	}
	return true
}

// lend makes a call that cannot be answered at once an ordinary request.
func (w *windows) lend(c *call) {
	e := w.e
	ref, p := w.seat(&c.cold)
	p.lent = true
	e.post(ref, uint32(c.version), policy.Move{Kind: policy.Send, Step: booking.StepStatus, Attempt: c.statuses, Timeout: e.program.Timeout}, c.sent)
}

// settle lets the services that are nobody's event end.
func (g *gateway) settle(now time.Duration) {
	for g.quiet.n > 0 && g.quiet.first() <= now {
		g.quiet.pop()
		g.c.inside--
		g.c.served++
	}
}
