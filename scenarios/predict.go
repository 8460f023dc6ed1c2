package scenarios

import (
	"math"
	"strconv"
	"time"

	"spillway/internal/booking"
	"spillway/internal/fault"
	"spillway/internal/policy"
)

// clumping is how much wider the load of a second spreads from seed to seed than
// independent requests would: the presses of one visit hang together. Measured by
// playing visits one by one, 24 seeds of the main scenario: 1.2 (the test's oracle).
const clumping = 1.2

// tick is the step of the prediction, in scenario time.
const tick = 100 * time.Millisecond

// leadIn is how long before the opening the prediction starts at the earliest:
// several locks, and who came earlier has given up or looked again.
const leadIn = 5 * time.Minute

// flow carries expected numbers of visitors, at full size and in scenario time,
// through the journey of policy.Program, in steps of a tick. What is due in a
// step is taken from the arrays below; what a step sends on is laid into later
// steps by the distribution of the wait between.
type flow struct {
	sc     *Scaled
	s      *Spec // full size
	from   time.Duration
	stay   []float64 // chance not to reopen the program in step i, which replaces the visit
	status []float64 // status calls due
	press  []float64 // presses due
	posts  []float64 // submits due whose check took a while
	polls  []float64 // result polls due

	notice, form, lock, poll []float64 // distributions of the waits, by tick
}

// wait is a distribution of a wait over ticks, from its distribution function in
// seconds; it ends where less than one in 10^5 is left.
func wait(cdf func(float64) float64) []float64 {
	var out []float64
	last := 0.0
	for k := 0; last < 1-1e-5 && k < 100_000; k++ {
		f := cdf((float64(k) + 0.5) * tick.Seconds())
		out = append(out, f-last)
		last = f
	}
	for i := range out {
		out[i] /= last
	}
	return out
}

// logNormal is the distribution function of a think time.
func logNormal(mean time.Duration, cv float64) func(float64) float64 {
	m := mean.Seconds()
	if cv <= 0 || m <= 0 {
		return uniform(m, m)
	}
	v := math.Log(1 + cv*cv)
	return func(x float64) float64 {
		return math.Erfc(-(math.Log(x/m)+v/2)/math.Sqrt(2*v)) / 2
	}
}

func uniform(lo, hi float64) func(float64) float64 {
	return func(x float64) float64 {
		switch {
		case x >= hi:
			return 1
		case x <= lo:
			return 0
		}
		return (x - lo) / (hi - lo)
	}
}

// lay sends n visitors on, step i, by the distribution of their wait plus delay
// ticks; some reopen the program meanwhile and are replaced.
func (f *flow) lay(to []float64, n float64, dist []float64, i, delay int, replaced bool) {
	if n <= 0 {
		return
	}
	if replaced {
		for j := i; j < min(i+delay, len(to)); j++ {
			n *= f.stay[j]
		}
	}
	for k, w := range dist {
		j := i + delay + max(k, 1) // never into the step that is being worked on
		if j >= len(to) {
			return
		}
		to[j] += n * w
		if replaced {
			n *= f.stay[j]
		}
	}
}

// copies is how the clients' config copies stand over time, in steps of a second
// from the day's first moment.
type copies struct {
	from  time.Duration
	fetch []float64 // chance that an opening in step i finds no copy that lives
	pass  []float64 // mean chance of a press to pass, over the copies in use
}

// copies follows the renewal of one user's copy: it is fetched at an opening
// that finds none younger than its life.
func (sc *Scaled) copies() copies {
	s := &sc.Full
	c := copies{from: s.Arrivals.DayFrom}
	n := int((s.Window.To - c.from) / time.Second)
	life := max(int(s.Visitor.ConfigLife/time.Second), 1)
	fetched, passed := make([]float64, n+1), make([]float64, n+1) // sums up to step i
	for i := range n {
		t := c.from + time.Duration(i)*time.Second
		old := max(i-life, 0)
		none := max(1-(fetched[i]-fetched[old]), 0)
		now := sc.passShare(sc.RuntimeAt(sc.runTime(t)))
		rate := none * -math.Expm1(-sc.curve.Integral(t, t+time.Second)/s.Population.Users)
		fetched[i+1] = fetched[i] + rate
		passed[i+1] = passed[i] + rate*now
		c.fetch = append(c.fetch, none)
		c.pass = append(c.pass, none*now+passed[i]-passed[old])
	}
	return c
}

func (c *copies) at(values []float64, t time.Duration) float64 {
	i := int((t - c.from) / time.Second)
	return values[min(max(i, 0), len(values)-1)]
}

// passShare is the share of presses that a config lets pass.
func (sc *Scaled) passShare(rt policy.Runtime) float64 {
	switch rt.Gate {
	case policy.GateOriginal:
		return policy.OriginalShare(int(rt.Probability*100 + 0.5))
	case policy.GateCoin:
		return rt.Probability
	}
	return 1
}

// second sums what one second of scenario time sees.
type second struct {
	edge, status, submit, poll float64 // requests; status has the checks in it
	units, database            float64
}

// predict runs the flow over the window and sums it up in run terms.
func (sc *Scaled) predict() Prediction {
	s := &sc.Full
	from := max(s.Window.From, -leadIn)
	n := int((s.Window.To - from + tick - 1) / tick)
	f := &flow{sc: sc, s: s, from: from,
		stay: make([]float64, n), status: make([]float64, n), press: make([]float64, n),
		posts: make([]float64, n), polls: make([]float64, n)}
	v := s.Visitor
	f.notice, f.form = wait(logNormal(v.Notice, v.ThinkCV)), wait(logNormal(v.Form, v.ThinkCV))
	spread := v.HumanMax - v.HumanMin
	if v.Jitter {
		spread += v.Lock / 2 // a sum of two uniforms, taken as one
	}
	lo := v.Lock + v.HumanMin
	f.lock = wait(uniform(lo.Seconds(), (lo + spread).Seconds()))
	f.poll = wait(uniform(v.PollEvery.Seconds(), (v.PollEvery + v.PollJitter).Seconds()))

	p := Prediction{SoldOutAt: -1, LastWritten: -1,
		Visits: sc.S * sc.curve.Integral(s.Window.From, s.Window.To),
		BiasK:  sc.K * float64(sc.submitTime()) / float64(v.Timeout)}
	p.PeakAt, p.PeakVisits = sc.curve.Peak()
	if p.PeakAt > s.Window.To || p.PeakAt < s.Window.From {
		p.PeakAt, p.PeakVisits = s.Window.To, sc.curve.Rate(s.Window.To)
		if r := sc.curve.Rate(s.Window.From); r > p.PeakVisits {
			p.PeakAt, p.PeakVisits = s.Window.From, r
		}
	}
	f.run(&p)
	p.PeakVisits *= sc.S * sc.K
	p.PeakHTTP *= sc.S * sc.K
	p.PeakGateway *= sc.S * sc.K
	p.PeakDepth *= sc.S
	if p.Sigma > 0 {
		p.Margin = (1 - p.PeakLoad) / p.Sigma
	}
	// The last bits may differ between machines; what a record keeps must not.
	for _, x := range []*float64{&p.Visits, &p.PeakVisits, &p.PeakHTTP, &p.PeakGateway, &p.PeakLoad, &p.PeakDepth, &p.Sigma, &p.Margin} {
		*x = digits(*x, 4)
	}
	return p
}

func digits(v float64, n int) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', n, 64), 64)
	if err != nil { // it was written by the line above
		return v
	}
	return r
}

// run steps the flow and leaves peaks, per second of scenario time and at full
// size, in p.
func (f *flow) run(p *Prediction) {
	s, sc, dt := f.s, f.sc, tick.Seconds()
	var (
		g        = s.Gateway
		v        = s.Visitor
		again    = 1 - v.GiveUp
		lossless = s.Mode == booking.ModeLossless
		queued   = s.Mode == booking.ModeQueued && s.On("queue")
		bounded  = queued && s.Queue.Depth > 0
		direct   = lossless || s.Mode == booking.ModeQueued && !queued // written at the submit
		capacity = g.Capacity * g.Instances
		room     = capacity * g.Room.Seconds()
		copies   = sc.copies()
		journey  = v.Notice + v.Form // mean time from the opening to the first press

		stock   = s.Stock.Reservations
		depth   float64 // entries in the queue
		written float64
		bots    = s.Bots.Count
		backlog float64 // units waiting at the gateways
		work    float64 // units waiting at the database
		served  = 1.0   // share of requests that found room in the last step
		late    bool    // answers came after the client's timeout then
		delay   int     // ticks that an answer took then; 0 = less than a second
		soldAt  = -1    // step in which the last reservation was taken
		ring    [10]second
		sum     second // over the last second
	)
	if !s.On("room") {
		room = math.Inf(1)
		if s.On("drop") && g.DropAfter > 0 {
			room = capacity * g.DropAfter.Seconds()
		}
	}
	if s.On("inflight") && g.InFlight > 0 {
		room = min(room, g.InFlight*(g.Status+g.Submit)/2)
	}
	if s.Mode == booking.ModeLottery {
		stock = math.Inf(1) // an entry takes nothing
	}
	users := s.Population.Users
	for i := range f.stay {
		t := f.from + time.Duration(i)*tick
		f.stay[i] = math.Exp(-sc.curve.Integral(t, t+tick) / users)
	}
	for i := range f.stay {
		t := f.from + time.Duration(i)*tick
		open := t >= 0
		arrivals := sc.curve.Integral(t, t+tick)
		if i == 0 && f.from > s.Window.From { // who is under way at the lead-in's start is left out
			arrivals = 0
		}
		var now second
		fetches := arrivals * copies.at(copies.fetch, t)
		f.lay(f.status, arrivals*v.BookingShare, f.notice, i, 0, true)

		// How much of the closed check's copies know that all is gone.
		closed := 0.0
		if soldAt >= 0 && s.On("closed") {
			closed = 1
			if life := s.Stock.ClosedLife; life > 0 {
				closed = min(float64(i-soldAt)*dt/life.Seconds(), 1)
			}
		}
		// The gate.
		passed := f.press[i] * copies.at(copies.pass, t-journey)
		f.lay(f.press, (f.press[i]-passed)*again, f.lock, i, 0, true)
		// A check that was shed leads to no submit; how many are is known from the
		// step before.
		people := passed * (1 - closed) * served
		f.lay(f.press, passed*(1-closed)*(1-served)*again, f.lock, i, delay, true)
		switch {
		case late: // nor does one that timed out
			f.lay(f.press, people*again, f.lock, i, delay, true)
			people = 0
		case delay > 0:
			f.lay(f.posts, people, []float64{1}, i, delay, true)
			people = 0
		}
		people += f.posts[i]
		var fromBots float64
		if t >= s.Bots.From && bots > 0 {
			fromBots = bots * min(dt/s.Bots.Every.Seconds(), 1)
		}
		submits := people + fromBots
		now.status, now.submit, now.poll = f.status[i]+passed, submits, f.polls[i]
		now.edge = fetches
		catalogues := 0.0
		if open {
			catalogues = f.status[i] * (1 - closed)
		}
		now.edge += catalogues
		now.units = now.status*g.Status + now.submit*g.Submit + now.poll*g.Poll
		switch {
		case !s.On("edge"):
			now.units += now.edge
		case s.Edge.CacheKey == "url": // each config URL is new to the edge
			now.units += fetches * s.Edge.OriginUnits
		}
		if direct {
			now.database = submits * s.Ledger.Write
			if lossless {
				now.database += now.status * s.Ledger.Read
			}
		}

		// The gateways: what finds the room full is shed.
		backlog += now.units
		served = 1
		if over := backlog - capacity*dt - room; over > 0 && now.units > 0 && !g.Native {
			shed := min(over/now.units, 1)
			served, backlog = 1-shed, backlog-over
		}
		backlog = max(backlog-capacity*dt, 0)
		slow := backlog / capacity // seconds that an answer takes
		if direct {
			work += now.database * served
			slow += work / s.Ledger.DatabaseRate
			work = max(work-s.Ledger.DatabaseRate*dt, 0)
		}
		late = slow >= v.Timeout.Seconds()
		delay = int(min(slow, v.Timeout.Seconds()) / dt)
		if slow < 1 { // short of a second, service is part of the step
			delay = 0
		}

		// Status: to the form, or to the lock.
		in := f.status[i]
		answered := in * served
		if late {
			answered = 0
		}
		formed := 0.0
		if open {
			formed = answered * (1 - closed)
			f.lay(f.press, formed, f.form, i, delay, true)
		}
		refused := in - answered
		if !open {
			refused = in
		}
		f.lay(f.status, refused*again, f.lock, i, delay, true)

		writer := s.Ledger.Rate * dt
		for _, f := range s.Faults {
			if stopsWriter(f) && t >= f.At && t < f.At+f.For {
				writer = 0
			}
		}

		// Submits: what is taken is written by the queue or at once.
		var take, free float64
		if open {
			free = stock
			if bounded {
				free = min(free, max(s.Queue.Depth-depth, 0)+writer)
			}
			able := people * served
			if !sc.gateKnowsBots() {
				able += fromBots * served
			}
			take = min(able, free)
			if able > 0 {
				won := take / able
				if !sc.gateKnowsBots() {
					bots -= fromBots * served * won
				}
				taken := people * served * won
				stock -= take
				if direct {
					told := taken
					if late {
						told = 0 // written all the same, for people already told "timeout"
					}
					f.lay(f.press, (taken-told)*again, f.lock, i, delay, true)
				} else if s.Mode != booking.ModeLottery {
					f.lay(f.polls, take, f.poll, i, 0, false)
				}
				// Refused for want of room in the queue, not of stock: they try again.
				if stock > 0 {
					f.lay(f.press, people*served*(1-won)*again, f.lock, i, delay, true)
				}
			}
		}
		f.lay(f.press, people*(1-served)*again, f.lock, i, delay, true)
		if soldAt < 0 && stock <= 1e-6*s.Stock.Reservations {
			soldAt, stock = i, 0
			p.SoldOutAt = t + tick
			if direct { // the station serves in order: the last is written when it comes to it
				p.SoldOutAt += time.Duration(slow * float64(time.Second))
				if p.SoldOutAt > s.Window.To {
					p.SoldOutAt = -1
				}
				p.LastWritten = p.SoldOutAt
			}
		}

		// The writer.
		depth += take
		w := writer
		if direct {
			w = depth
		}
		if queued || direct || s.Mode == booking.ModeTimedWriter {
			w = min(w, depth)
			depth -= w
			written += w
			if !direct && p.LastWritten < 0 && soldAt >= 0 && depth <= 1e-6*s.Stock.Reservations {
				p.LastWritten = t + tick
			}
		} else {
			depth = 0
		}
		p.PeakDepth = max(p.PeakDepth, depth)
		// Polls whose booking is not written yet come again.
		if in := f.polls[i]; in > 0 {
			waiting := 0.0
			if written+depth > 0 {
				waiting = min(depth/(s.Ledger.Rate*v.PollEvery.Seconds()+1), 1)
			}
			f.lay(f.polls, in*waiting, f.poll, i, 0, false)
		}

		f.peaks(p, &ring, &sum, now, i, t, capacity)
		if i%600 == 599 && soldAt >= 0 && i-soldAt > 1200 && t > p.PeakAt+time.Minute && len(s.Changes) == 0 && len(s.Faults) == 0 {
			return // all that can come is the ebb
		}
	}
}

// gateKnowsBots reports whether the server re-checks the draw.
func (sc *Scaled) gateKnowsBots() bool {
	return sc.Full.Admission.Gate == policy.GateCoin && sc.On("admission")
}

// peaks keeps the busiest second of each kind.
func (f *flow) peaks(p *Prediction, ring *[10]second, sum *second, now second, i int, t time.Duration, capacity float64) {
	old := &ring[i%len(ring)]
	sum.add(now, 1)
	sum.add(*old, -1)
	*old = now
	gateway := sum.status + sum.submit + sum.poll
	p.PeakHTTP = max(p.PeakHTTP, gateway+sum.edge)
	p.PeakGateway = max(p.PeakGateway, gateway)
	g := f.s.Gateway
	load := sum.units / capacity
	// Variance of the second's work in a Poisson flow of requests, thinned by s.
	spread := sum.status*g.Status*g.Status + sum.submit*g.Submit*g.Submit + sum.poll*g.Poll*g.Poll
	sigma := math.Sqrt(spread/f.sc.S) / capacity
	if l := f.s.Ledger; sum.database > 0 && sum.database/l.DatabaseRate > load {
		load = sum.database / l.DatabaseRate
		spread = sum.status*l.Read*l.Read + sum.submit*l.Write*l.Write
		sigma = math.Sqrt(spread/f.sc.S) / l.DatabaseRate
	}
	if load > p.PeakLoad {
		p.PeakLoad, p.PeakLoadAt, p.Sigma = load, t+tick-time.Second, sigma*clumping
	}
}

func (a *second) add(b second, sign float64) {
	a.edge += sign * b.edge
	a.status += sign * b.status
	a.submit += sign * b.submit
	a.poll += sign * b.poll
	a.units += sign * b.units
	a.database += sign * b.database
}

// stopsWriter reports whether nothing is written while the fault lasts.
func stopsWriter(f Fault) bool {
	switch f.Kind {
	case fault.WriterStop, fault.DiskFull, fault.ConnectionsFull:
		return true
	case fault.Kill, fault.Pause:
		return f.Target != fault.Gateway
	case fault.Cut:
		return f.Target == fault.WriterRedis || f.Target == fault.WriterDatabase
	}
	return false
}
