package model

import (
	"math"
	"time"
	"unsafe"

	"spillway/internal/booking"
	"spillway/internal/policy"
	"spillway/sim/des"
	"spillway/sim/window"
)

// gateway is the pooled service station of all instances and what each instance
// keeps for itself. Its rules are those of the reference backend: a request begins
// when the earliest slot is free; in front of the slots stand the retry budget, the
// ladder, the in-flight limit and the bounded room; dead work is dropped at
// dequeue; refusals cost nothing.
type gateway struct {
	e        *evening
	capacity float64 // units per second, all instances
	unit     float64 // nanoseconds of service a unit, at the present number of slots
	room     float64 // units
	noRoom   bool
	drop     policy.Drop
	noDrop   bool
	limiter  policy.Limiter // nil = no limit
	ladder   policy.Ladder
	lowest   int
	plain    bool // priorities ignored
	budget   policy.Budget
	hurried  bool // the client's deadline counts: not in the lossless mode

	slots    slots
	all      int    // slots with every instance up
	queues   []fifo // one a priority
	length   int
	waiting  float64 // units
	rung     booking.Rung
	low      bool
	lowSince time.Duration
	timers   *des.Lane     // for when a slot is free
	armed    uint64        // the last of them
	armedAt  time.Duration // when it is due; never = it was
	onFree   func(uint64)
	lines    window.Lines

	instances []instanceFlag
	turn      uint64
	next      uint16 // turn modulo the instances
	c         counts
	up        int  // instances that serve
	quiet     ring // ends of the services that are nobody's event, see windows.quiet
	quieter   ring // and of submits, which take longer
	foretold  ring // and of those that were foreseen
	calm      bool // such services may be
	limit     int  // of the in-flight limit; 0 = none

	statusTakes time.Duration // service of a status call
	submitTakes time.Duration
	pollTakes   time.Duration
}

// counts are the station's totals. At every moment
// entered = served + the refusals + inside.
type counts struct {
	entered, served         uint64
	refused                 uint64
	inside                  int     // waiting or in service
	offeredUnits, workUnits float64 // offered; begun
}

// instanceFlag is one gateway's own copy of the closed flag.
type instanceFlag struct {
	up      bool
	has     bool
	soldOut bool
	reading bool          // a call of the store is under way, until readyAt
	readAt  time.Duration // when the copy was asked for
	readyAt time.Duration
}

func (e *evening) openGateway() {
	sc, g := e.sc, &e.gateway
	s := sc.Gateway
	*g = gateway{e: e, capacity: sc.PooledCapacity(), room: sc.RoomUnits(), noRoom: !sc.On("room"),
		drop: policy.Drop{After: s.DropAfter}, noDrop: !sc.On("drop") || sc.Mode == booking.ModeLossless,
		lowest: policy.LowestPriority(sc.Population.Classes), plain: !sc.On("priority"),
		hurried: sc.Mode != booking.ModeLossless, rung: booking.RungFull, turn: 0}
	unit := e.constant(s.UnitTime)
	g.all = max(1, int(math.Round(g.capacity*unit.Seconds())))
	g.unit = float64(g.all) / g.capacity * 1e9
	g.setTakes()
	g.slots = newSlots(g.all)
	g.queues = make([]fifo, g.lowest)
	if sc.On("inflight") && s.InFlight > 0 {
		g.limiter = policy.StaticLimit(int(s.InFlight))
	}
	if sc.On("ladder") {
		g.ladder = policy.Ladder{NoResults: s.NoResults, NoLow: s.NoLow, TopOnly: s.TopOnly, Hold: s.LadderHold}
	}
	if sc.On("budget") {
		// Ten seconds of first attempts at capacity, as the reference backend has it.
		g.budget = policy.Budget{Ratio: s.RetryRatio, Cap: max(10, s.RetryRatio*g.capacity*e.constant(10*time.Second).Seconds())}
	}
	g.instances = make([]instanceFlag, int(s.Instances))
	g.up = len(g.instances)
	for i := range g.instances {
		g.instances[i].up = true
	}
	if l, static := g.limiter.(policy.StaticLimit); static {
		g.limit = int(l)
	}
	g.calm = s.ServiceCV <= 0 && g.budget.Ratio <= 0 && sc.Mode != booking.ModeLossless && (g.limiter == nil || g.limit > 0)
	g.timers, g.armedAt = e.kernel.NewLane(), never
	g.timers.Forget(func(timer uint64) bool { return timer != g.armed })
	g.onFree = func(timer uint64) {
		if timer != g.armed {
			return // it stood in the heap
		}
		g.armedAt = never
		now := e.kernel.Now()
		g.advance(now)
		g.setRung(now)
		g.arm()
	}
}

// pick is the instance whose turn it is.
func (g *gateway) pick() uint16 {
	next, in := g.after()
	g.turn++
	g.next = next
	return in
}

// after is the place of the turn after the present one and whose it is; lost
// instances are passed over, but a fault never takes the last one.
func (g *gateway) after() (next, in uint16) {
	next = g.next + 1
	if int(next) == len(g.instances) {
		next = 0
	}
	in = next
	for !g.instances[in].up {
		if in++; int(in) == len(g.instances) {
			in = 0
		}
		if in == next {
			break
		}
	}
	return next, in
}

// front is a gateway's door.
func (e *evening) front(i uint32, r *request) {
	g, now, s := &e.gateway, r.arrived, &e.sc.Gateway
	r.instance = g.pick()
	if g.hurried {
		r.deadline = now + r.patience
	}
	classes := e.sc.Population.Classes
	r.priority = uint8(min(policy.Priority(classes, policy.ClassOf(classes, r.user), now-e.sc.OpenAt), 255))
	switch r.step {
	case booking.StepSubmit:
		if o := e.admission.check(r, now); o != booking.OK {
			e.answer(i, r, o, now)
			return
		}
		r.units = s.Submit
	case booking.StepPoll:
		if !e.admission.now.Results {
			if s.RetryAfter <= 0 {
				r.advice = e.constant(resultsPause)
			}
			e.answer(i, r, booking.Degraded, now)
			return
		}
		r.units = s.Poll
	case booking.StepConfig, booking.StepCatalogue:
		r.units = 1
	default:
		r.units = s.Status
	}
	if o := g.enter(i, r, now); o != booking.OK {
		e.answer(i, r, o, now)
	}
}

// enter asks for service: OK when it has begun or waits, else why not.
func (g *gateway) enter(i uint32, r *request, now time.Duration) booking.Outcome {
	g.advance(now)
	g.c.entered++
	g.c.offeredUnits += r.units
	r.entered = now
	if o := g.refusal(r, now); o != 0 {
		g.c.refused++
		return o
	}
	if g.length == 0 && g.slots.isFree(now) {
		g.c.inside++
		g.begin(i, r, now)
		return booking.OK
	}
	if !g.noRoom && g.waiting+r.units > g.room {
		g.c.refused++
		g.setRung(now)
		return booking.Shed
	}
	g.c.inside++
	g.queues[g.index(r)].push(i)
	g.length++
	g.waiting += r.units
	g.setRung(now)
	g.e.arm(i, r)
	g.arm()
	return booking.OK
}

// refusal is why a request is turned away at the door, 0 when it is not.
func (g *gateway) refusal(r *request, now time.Duration) booking.Outcome {
	if r.exempt {
		return 0
	}
	if r.step != booking.StepPoll && !g.budget.Allow(max(int(r.attempt), 1)) {
		return booking.OverBudget
	}
	g.setRung(now)
	if r.step == booking.StepPoll && g.rung >= booking.RungNoResults || !policy.Serves(g.rung, int(r.priority), g.lowest) {
		return booking.Degraded
	}
	if g.limiter != nil && !g.limiter.Allow(now, g.c.inside) {
		return booking.Limited
	}
	return 0
}

func (g *gateway) index(r *request) int {
	if g.plain {
		return 0
	}
	return min(max(int(r.priority), 1), g.lowest) - 1
}

// advance begins all the work that is due to begin, in order.
func (g *gateway) advance(now time.Duration) {
	g.settle(now)
	for g.length > 0 && g.slots.free() <= now {
		at := g.slots.free()
		i := g.pop()
		r := &g.e.all[i]
		// A slot that was added while the request waited is free from then on.
		at = max(at, r.entered)
		if !g.noDrop && g.drop.Dead(r.entered, r.deadline, at) {
			g.left(r, now, false)
			g.c.refused++
			if r.exempt {
				g.e.fetchFailed(i, booking.Expired)
			} else {
				g.e.answer(i, r, booking.Expired, now)
			}
			continue
		}
		g.begin(i, r, at)
	}
	if g.length == 0 {
		g.waiting = 0 // no rounding left over from sums of fractions
	}
}

// fetchedAhead is how many places before its turn what concerns a request that waits is
// fetched, and the request itself twice as many.
const fetchedAhead = 3

// prefetch fetches the memory of requests that wait and whose turn comes soon.
func (g *gateway) prefetch(waiting []uint32) {
	if len(waiting) <= 2*fetchedAhead {
		return
	}
	r := &g.e.all[waiting[2*fetchedAhead]]
	g.lines.Add(unsafe.Pointer(&r.visit))
	g.lines.Add(unsafe.Pointer(&r.units))
	g.lines.Add(unsafe.Pointer(&r.held))
	i := waiting[fetchedAhead]
	if r, w := &g.e.all[i], g.e.windows; w != nil && r.held {
		g.lines.Add(unsafe.Pointer(&w.colds[i]))
		if r.step == booking.StepStatus {
			g.lines.Add(w.gone[0].line(uint32(r.visit)))
			g.lines.Add(w.gone[1].line(uint32(r.visit)))
		}
	}
	g.lines.Fetch()
}

func (g *gateway) pop() uint32 {
	for p := range g.queues {
		q := &g.queues[p]
		if i, ok := q.pop(); ok {
			g.prefetch(q.w[q.head:])
			g.length--
			g.waiting -= g.e.all[i].units
			return i
		}
	}
	g.e.fail("gateway: the room says that %d wait and nobody does", g.length)
	g.length = 0
	return 0
}

// takes is how long the service of so many units takes.
func (g *gateway) takes(units float64) time.Duration {
	return time.Duration(math.Round(units * g.unit))
}

// setTakes notes how long the services of visitors take.
func (g *gateway) setTakes() {
	s := &g.e.sc.Gateway
	g.statusTakes, g.submitTakes, g.pollTakes = g.takes(s.Status), g.takes(s.Submit), g.takes(s.Poll)
}

// begin takes the earliest slot and starts the request's own work.
func (g *gateway) begin(i uint32, r *request, at time.Duration) {
	d := g.takes(r.units)
	if cv := g.e.sc.Gateway.ServiceCV; cv > 0 {
		key := uint64(r.user)
		if r.exempt {
			key = g.turn
		}
		d = g.e.luck.LogNormal(booking.DrawService, key<<3^uint64(wireStep(r.step)), uint32(max(r.attempt, 1)), d, cv)
	}
	g.c.workUnits += r.units
	r.began, r.ends = at, at+d
	g.slots.use(d, r.ends)
	g.e.work(uint64(i))
}

// wireStep is the step as the backend sees it: the check after the gate is the
// same call as the status before the form.
func wireStep(s booking.Step) booking.Step {
	if s == booking.StepCheck {
		return booking.StepStatus
	}
	return s
}

// left takes a request out of the station.
func (g *gateway) left(r *request, now time.Duration, served bool) {
	g.c.inside--
	if served {
		g.c.served++
	}
	if g.limiter != nil {
		g.limiter.Done(now, now-r.entered, !served)
	}
}

// leave is the end of a request at the gateways: its modelled service is over and
// its own work done.
func (e *evening) leave(i uint64) {
	r := &e.all[i]
	now := e.kernel.Now()
	e.gateway.left(r, now, true)
	if r.exempt {
		e.fetched(uint32(i), r)
		return
	}
	e.answer(uint32(i), r, r.outcome, now+e.extra)
}

// arm makes sure that somebody looks when the next slot is free.
func (g *gateway) arm() {
	if g.length == 0 {
		return
	}
	next := max(g.slots.free(), g.e.kernel.Now())
	if g.armedAt <= next {
		return
	}
	g.armed, g.armedAt = g.armed+1, next
	g.timers.AtArg(next, servers, g.onFree, g.armed)
}

// fill is how full the room is, 0..1; a room without bound is never full.
func (g *gateway) fill() float64 {
	if g.noRoom || g.room <= 0 {
		return 0
	}
	return g.waiting / g.room
}

func (g *gateway) setRung(now time.Duration) {
	fill := g.fill()
	low := g.ladder.Low(g.rung, fill)
	if low && !g.low {
		g.lowSince = now
	}
	g.low = low
	if next := g.ladder.Next(g.rung, fill, g.lowSince, g.low, now); next != g.rung {
		g.rung, g.low = next, false // the next rung down has a hold of its own
	}
}

// setUp says how many of the instances are up: slots and capacity shrink and grow
// in proportion from the next start on.
func (g *gateway) setUp(up int) {
	g.up = up
	for i := range g.instances {
		g.instances[i].up = i < up
	}
	now := g.e.kernel.Now()
	g.advance(now)
	share := float64(up) / float64(len(g.instances))
	n := max(1, int(math.Round(float64(g.all)*share)))
	g.unit = float64(n) / (g.capacity * share) * 1e9
	g.setTakes()
	g.slots.resize(n, now)
	g.advance(now)
	g.setRung(now)
	g.arm()
}

// fifo is a queue of requests.
type fifo struct {
	w    []uint32
	head int
}

func (q *fifo) push(i uint32) { q.w = append(q.w, i) }

func (q *fifo) pop() (uint32, bool) {
	if q.head == len(q.w) {
		return 0, false
	}
	i := q.w[q.head]
	q.head++
	if q.head == len(q.w) {
		q.w, q.head = q.w[:0], 0
	} else if q.head > 1024 && 2*q.head > len(q.w) {
		n := copy(q.w, q.w[q.head:])
		q.w, q.head = q.w[:n], 0
	}
	return i, true
}
