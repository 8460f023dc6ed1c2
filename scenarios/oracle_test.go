package scenarios

import (
	"container/heap"
	"math"
	"time"

	"spillway/internal/booking"
	"spillway/internal/policy"
)

// oracle plays a run visit by visit: the real arrivals, users, config copies and
// policy.Program against the plainest backend of mode queued: one station of
// slots in virtual time, a bounded room, stock, a bounded queue, a writer; of
// mode lossless, one database that serves first come, first served. The
// prediction is held against it.
type oracle struct {
	sc    *Scaled
	prog  policy.Program
	queue events
	seq   uint64
	users []policy.User
	slots []time.Duration // when each is free
	wait  []time.Duration // starts of work that waits, ascending; with units
	units []float64

	stock    int
	depth    int
	carry    float64
	flags    []time.Duration // last read of the closed flag, by instance
	flagSold []bool
	results  map[booking.VisitID]bool
	fifo     []booking.VisitID
	database time.Duration // when it is free, lossless mode

	out outcome
}

type outcome struct {
	soldOut, lastWritten time.Duration // scenario time
	load                 []float64     // of the gateways, by second of the run
	http, gateway        []float64     // requests by second
	peakDepth            int
	presses, passes      int
	submits, statuses    int
	configs, catalogues  int
	confirmed            int
	database             []float64 // its load, by second of the run
	timeouts, late       int       // late: booked for people already told "timeout"
}

type event struct {
	at    time.Duration
	seq   uint64
	v     *policy.Visitor
	kind  policy.Event
	reply policy.Reply
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}

func (o *oracle) push(at time.Duration, v *policy.Visitor, k policy.Event, r policy.Reply) {
	o.seq++
	heap.Push(&o.queue, event{at, o.seq, v, k, r})
}

func play(sc *Scaled) outcome {
	o := &oracle{sc: sc, prog: sc.Program(), users: make([]policy.User, sc.users()),
		slots:   make([]time.Duration, max(int(math.Round(sc.PooledCapacity()*sc.Gateway.UnitTime.Seconds())), 1)),
		stock:   int(sc.Stock.Reservations),
		flags:   make([]time.Duration, int(sc.Gateway.Instances)),
		results: map[booking.VisitID]bool{}}
	o.flagSold = make([]bool, len(o.flags))
	for i := range o.flags {
		o.flags[i] = -time.Duration(i) * sc.Stock.ClosedLife / time.Duration(len(o.flags))
	}
	n := int(sc.Length/time.Second) + 1
	o.out = outcome{soldOut: -1, lastWritten: -1, load: make([]float64, n), http: make([]float64, n), gateway: make([]float64, n), database: make([]float64, n)}
	for u := range o.users {
		if at, ok := sc.ConfigCopy(booking.UserID(u)); ok {
			o.users[u] = policy.User{HasConfig: true, ConfigAt: at, ConfigVersion: sc.RuntimeAt(at).Version}
		}
	}
	versions := map[uint32]policy.Runtime{1: sc.RuntimeAt(math.MinInt64)}
	for _, c := range sc.allChanges(sc.firstRuntime()) {
		versions[c.Runtime.Version] = c.Runtime
	}
	for id, at := range sc.Arrivals() {
		v := o.prog.New(id, sc.UserOf(id), 0, sc.Seed)
		o.push(at, &v, policy.Arrive, policy.Reply{})
	}
	for _, b := range sc.Bots() {
		o.users = append(o.users, policy.User{})
		v := o.prog.NewBot(b.Visit, b.User, 0, sc.Seed)
		o.push(b.At, &v, policy.Arrive, policy.Reply{})
	}
	beat := sc.Ledger.Every
	next := beat
	for o.queue.Len() > 0 {
		e := heap.Pop(&o.queue).(event)
		for ; next <= e.at; next += beat {
			o.write(next)
		}
		if e.at >= sc.Length {
			break
		}
		u := &o.users[e.v.User]
		m := o.prog.Next(e.v, u, versions[u.ConfigVersion], e.at, e.kind, e.reply, sc.Seed)
		if m.Marks&policy.MarkPress != 0 {
			o.out.presses++
		}
		if m.Marks&policy.MarkCoinPassed != 0 {
			o.out.passes++
		}
		switch m.Kind {
		case policy.Wait:
			o.push(m.At, e.v, policy.Wake, policy.Reply{})
		case policy.Send:
			o.send(e.at, e.v, m)
		}
	}
	return o.out
}

func (o *oracle) write(now time.Duration) {
	o.carry += o.sc.Ledger.Rate * o.sc.Ledger.Every.Seconds()
	for ; o.carry >= 1 && len(o.fifo) > 0; o.carry-- {
		o.results[o.fifo[0]] = true
		o.fifo = o.fifo[1:]
		o.depth--
		if o.stock == 0 && o.depth == 0 && o.out.lastWritten < 0 {
			o.out.lastWritten = o.scenario(now)
		}
	}
	o.carry = min(o.carry, 1)
}

func (o *oracle) scenario(at time.Duration) time.Duration {
	return o.sc.Window.From + time.Duration(float64(at)*o.sc.K)
}

func (o *oracle) send(now time.Duration, v *policy.Visitor, m policy.Move) {
	sec := int(now / time.Second)
	o.out.http[sec]++
	r := policy.Reply{Outcome: booking.OK}
	if m.Step == booking.StepConfig || m.Step == booking.StepCatalogue {
		if m.Step == booking.StepConfig {
			o.out.configs++
			r.Config = o.sc.RuntimeAt(now).Version
		} else {
			o.out.catalogues++
		}
		o.push(now+time.Millisecond, v, policy.Replied, r)
		return
	}
	o.out.gateway[sec]++
	units := o.sc.Gateway.Status
	switch m.Step {
	case booking.StepSubmit:
		units = o.sc.Gateway.Submit
		o.out.submits++
	case booking.StepPoll:
		units = o.sc.Gateway.Poll
	default:
		o.out.statuses++
	}
	o.out.load[sec] += units / o.sc.PooledCapacity()
	if o.sc.Mode == booking.ModeLossless {
		o.lossless(now, v, m)
		return
	}
	// The room: units that have not started yet.
	waiting := 0.0
	k := 0
	for i, start := range o.wait {
		if start > now {
			o.wait[k], o.units[k] = start, o.units[i]
			waiting += o.units[i]
			k++
		}
	}
	o.wait, o.units = o.wait[:k], o.units[:k]
	slot := 0
	for i, free := range o.slots {
		if free < o.slots[slot] {
			slot = i
		}
	}
	start := max(o.slots[slot], now)
	if start > now && waiting+units > o.sc.RoomUnits() {
		r.Outcome = booking.Shed
		o.push(now+time.Millisecond, v, policy.Replied, r)
		return
	}
	if start > now {
		o.wait, o.units = append(o.wait, start), append(o.units, units)
	}
	done := start + time.Duration(units*float64(o.sc.Gateway.UnitTime))
	o.slots[slot] = done
	// What the reply says is read at the service's start, near enough.
	instance := int(o.seq) % len(o.flags)
	switch m.Step {
	case booking.StepSubmit:
		r.Outcome = o.submit(now, v)
	case booking.StepPoll:
		r.Outcome = booking.Pending
		if o.results[v.Visit] {
			r.Outcome = booking.Confirmed
			o.out.confirmed++
		}
	default:
		if now-o.flags[instance] >= o.sc.Stock.ClosedLife {
			o.flags[instance], o.flagSold[instance] = now, o.stock == 0
		}
		switch {
		case now < o.sc.OpenAt:
			r.Outcome = booking.Wait
		case o.flagSold[instance]:
			r.Outcome = booking.Closed
		default:
			r.Outcome = booking.Open
		}
	}
	o.push(done, v, policy.Replied, r)
}

func (o *oracle) submit(now time.Duration, v *policy.Visitor) booking.Outcome {
	switch {
	case now < o.sc.OpenAt:
		return booking.Wait
	case v.Bot && o.sc.gateKnowsBots():
		return booking.BadCoin
	case o.stock == 0:
		return booking.Closed
	case o.depth >= int(o.sc.Queue.Depth) && o.sc.Queue.Depth > 0:
		return booking.Busy
	}
	o.stock--
	o.depth++
	o.fifo = append(o.fifo, v.Visit)
	o.out.peakDepth = max(o.out.peakDepth, o.depth)
	if o.stock == 0 {
		o.out.soldOut = o.scenario(now)
	}
	return booking.Queued
}

func (o *oracle) lossless(now time.Duration, v *policy.Visitor, m policy.Move) {
	l := o.sc.Ledger
	units := l.Read
	if m.Step == booking.StepSubmit {
		units = l.Write
	}
	sec := int(now / time.Second)
	o.out.database[sec] += units / l.DatabaseRate
	o.database = max(o.database, now) + time.Duration(units/l.DatabaseRate*1e9)
	done := o.database
	r := policy.Reply{Outcome: booking.Open}
	switch {
	case done < o.sc.OpenAt:
		r.Outcome = booking.Wait
	case o.stock == 0:
		r.Outcome = booking.Closed
	case m.Step == booking.StepSubmit:
		r.Outcome = booking.Confirmed
		o.stock--
		if done > now+m.Timeout {
			o.out.late++
		}
		if o.stock == 0 {
			o.out.soldOut = o.scenario(done)
		}
	}
	if done > now+m.Timeout {
		o.out.timeouts++
		r, done = policy.Reply{Outcome: booking.Timeout}, now+m.Timeout
	}
	o.push(done, v, policy.Replied, r)
}
