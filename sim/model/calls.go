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
func (w *windows) quiet(c *call, n int64) bool {
	e := w.e
	g := &e.gateway
	now := c.sent + e.half
	if !g.calm || g.length > 0 || g.rung != booking.RungFull || e.slow > 0 {
		return false
	}
	g.settle(now)
	if g.limit > 0 && g.c.inside >= g.limit || g.slots.free() > now {
		return false
	}
	units := e.sc.Gateway.Status
	ends := now + g.statusTakes
	done := ends + e.extra + e.half
	bound := min(e.end, time.Duration(n+2)<<w.shift)
	if done >= c.sent+e.program.Timeout || done >= bound || done-c.sent > math.MaxUint32 || g.quiet.n > 0 && g.quiet.last() > ends {
		return false
	}
	turn, instance := g.after(g.turn)
	o := policy.ClosedCheck{OpenAt: e.sc.OpenAt}.State(now, false).Outcome()
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
			in, o = nil, policy.ClosedCheck{OpenAt: e.sc.OpenAt}.State(now, in.soldOut).Outcome()
		}
	}
	if o == booking.Open && (w.isGone(c.visit) || !w.catalogueAtHand(done, bound)) {
		return false
	}
	if in != nil {
		in.readAt = max(now, in.readyAt)
		in.has, in.soldOut = true, e.soldOut()
	}
	g.turn = turn
	g.waiting = 0
	g.low = false
	g.budget.Allow(max(int(c.statuses), 1))
	g.c.entered++
	g.c.offeredUnits += units
	g.c.workUnits += units
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
