package recordtest

import (
	"container/heap"
	"math"
	"slices"
	"time"

	"spillway/internal/booking"
	"spillway/internal/record"
)

// Options vary the evening. The zero value is the default evening of seed 0:
// 20 % admission, queue of 200, 756 reservations, no bots.
type Options struct {
	Seed        uint64
	Probability float64 // of admission, 0..1; 0 = 0.2
	Depth       int     // bound of the queue, entries; 0 = 200
	Stock       int     // reservations; 0 = 756
	People      float64 // scale; 0 = 0.01. Capacities, stock and queue are scaled with it
	Bots        int     // each posts every 2 s from the opening on
	Lossless    bool    // the same rush on a synchronous database
	Lateness    time.Duration
	Off         []string // layers switched off: admission, queue bound ("queue") and room have an effect
	Vary        []record.Setting
}

// Evening is the default 50 s around the opening, with 50 bots.
func Evening(seed uint64) *record.Record { return Make(Options{Seed: seed, Bots: 50}) }

// Lossless is the same rush without the layers: it collapses.
func Lossless(seed uint64) *record.Record {
	return Make(Options{Seed: seed, Bots: 50, Lossless: true})
}

const (
	before  = 10 * time.Second // run time of the opening
	length  = 50 * time.Second
	timeout = 15 * time.Second
)

// classes are the groups with the share up to which each reaches.
var classes = []struct {
	name string
	upTo float64
}{{"guangdong high", 0.15}, {"guangdong", 0.8}, {"elsewhere", 1}}

type visitor struct {
	group     int
	bot       bool
	phase     int
	status    int
	submits   int
	pressed   bool
	passed    bool
	submitted bool
	firstAt   time.Duration
	confirmed time.Duration // when the row is written; 0 = no ticket
	order     int           // of the first press
	done      bool
}

const (
	doStatus = iota
	doPress
	doPoll
	doSubmit
	doPost // a bot
)

type event struct {
	at time.Duration
	id int
}
type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].id < e[j].id
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}

type world struct {
	o                     Options
	r                     *record.Record
	rng                   uint64
	q                     events
	v                     []visitor
	capacity, room, rate  float64
	database              float64
	backlog               float64 // units waiting at the gateways
	dbFree                time.Duration
	backAt                time.Duration
	window                float64 // units offered since the last sample
	stock, depth, written int
	writes                []time.Duration // moments at which accepted entries are written, ascending
	head                  int
	accepted              []time.Duration
	nextWrite             time.Duration
	pressers              []int
}

// Make runs the model.
func Make(o Options) *record.Record {
	or := func(v *float64, d float64) {
		if *v == 0 {
			*v = d
		}
	}
	or(&o.Probability, 0.2)
	or(&o.People, 0.01)
	k := o.People / 0.01
	if o.Depth == 0 {
		o.Depth = int(200 * k)
	}
	if o.Stock == 0 {
		o.Stock = int(756 * k)
	}
	if o.Lateness == 0 {
		o.Lateness = 300 * time.Microsecond
	}
	w := &world{o: o, rng: o.Seed*0x9e3779b97f4a7c15 + 1, capacity: 1600 * k, room: 800 * k, rate: 40 * k, database: 350 * k, stock: o.Stock}
	w.r = record.New(header(o, w))
	for range len(classes) {
		w.r.Groups = append(w.r.Groups, record.Group{})
	}
	for i, c := range classes {
		w.r.Groups[i] = newGroup(c.name)
	}
	if o.Bots > 0 {
		w.r.Groups = append(w.r.Groups, newGroup(record.GroupBots))
	}
	w.arrivals(k)
	next := 500 * time.Millisecond
	for len(w.q) > 0 {
		e := heap.Pop(&w.q).(event)
		for next <= e.at && next <= length {
			w.sample(next)
			next += 500 * time.Millisecond
		}
		if e.at >= length {
			break
		}
		w.step(e.id, e.at)
	}
	for ; next <= length; next += 500 * time.Millisecond {
		w.sample(next)
	}
	w.finish()
	return w.r
}

func newGroup(name string) record.Group {
	return record.Group{Name: name, Stages: map[string]uint64{}, Finals: map[string]uint64{}}
}

func header(o Options, w *world) record.Header {
	h := record.Header{
		Label: "attack", Scenario: "suikang-2020-01-31", Title: "The opening rush of 31 January 2020",
		Text: "name: suikang-2020-01-31\ntitle: The opening rush of 31 January 2020\nmode: queued\n",
		Seed: o.Seed, Commit: "0000000", Mode: booking.ModeQueued.String(), People: o.People, TimeScale: 1,
		From: -before, To: length - before,
		Windows: []record.Window{{Name: "before", From: -before}, {Name: "rise", To: 6 * time.Second},
			{Name: "peak", From: 6 * time.Second, To: 25 * time.Second}, {Name: "recovery", From: 25 * time.Second, To: length - before}},
		Capacity: map[string]float64{"gateway.units/s": w.capacity, "ledger.rows/s": w.rate,
			"queue.depth": float64(o.Depth), "stock.reservations": float64(o.Stock)},
		Margin: 6.2, Vary: o.Vary, Switched: o.Off,
		Objectives: []string{"submit.queued.peak.p99 < 800ms", "booking.confirmed.p95 < 60s", "attack.lateness.p99 < 5ms",
			"confirmed.share > 99 %", "sold-out.at < 30s", "queue.depth.max <= 200", "invariant.oversell == 0", "invariant.lost == 0"},
		Assumptions: []record.Assumption{
			{Key: "queue.depth", Low: "2000 entries", Base: "20000 entries", High: "40000 entries", Why: "no source names the bound"},
			{Key: "visitor.booking_share", Low: "20%", Base: "40%", High: "80%", Why: "share of openings that go on to book"}},
		Shards: 1, WallStart: time.Date(2026, 1, 31, 20, 0, 0, 0, time.UTC), WallSeconds: length.Seconds(),
		Machine: "2 cores, 8 GiB, Linux, go1.26",
		Notes:   []string{"Illustration only: made by a small model, not by a run."},
		Digest:  "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4",
	}
	if o.Lossless {
		h.Mode, h.Scenario, h.Baseline, h.Margin = booking.ModeLossless.String(), "suikang-lossless", true, math.NaN()
		h.Title = "The same rush without the layers"
		delete(h.Capacity, "queue.depth")
		h.Capacity["ledger.units/s"] = w.database
	}
	return h
}

// u is a uniform number in [0, 1), one after the other: SplitMix64.
func (w *world) u() float64 {
	w.rng += 0x9e3779b97f4a7c15
	x := w.rng
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return float64((x^x>>31)>>11) / (1 << 53)
}

// about is a positive duration of the given mean, spread log-logistically.
func (w *world) about(mean time.Duration, spread float64) time.Duration {
	u := min(max(w.u(), 1e-6), 1-1e-6)
	return time.Duration(float64(mean) * math.Pow(u/(1-u), spread))
}

// arrivals draws the visits of the window from the scenario's curve.
func (w *world) arrivals(k float64) {
	rate := func(t float64) float64 {
		if t < 0 {
			return k * 0.01 * (3697 + 12313*math.Exp(t/600))
		}
		return k * 0.01 * (16010*math.Exp(-t/7200) + 154517*(1-math.Exp(-t/5))*math.Exp(-t/240))
	}
	top := k * 1600
	for t := 0.0; ; {
		t += -math.Log(1-w.u()) / top
		if t >= length.Seconds() {
			break
		}
		if w.u()*top > rate(t-before.Seconds()) {
			continue
		}
		at := time.Duration(t * float64(time.Second))
		id := len(w.v)
		c := w.u()
		g := slices.IndexFunc(classes, func(x struct {
			name string
			upTo float64
		}) bool {
			return c < x.upTo
		})
		w.v = append(w.v, visitor{group: g})
		w.begin(id, at)
		w.r.Count(record.CountRequests, at, 1)
		w.r.Count(record.CountFirstTries, at, 1)
		w.reply(id, "config", "ok", at, w.about(800*time.Microsecond, 0.25))
		if w.u() >= 0.4 {
			w.end(id, "left")
			continue
		}
		w.stage(id, record.StageBooks)
		w.wake(id, at+w.about(2700*time.Millisecond, 0.3))
	}
	for range w.o.Bots {
		id := len(w.v)
		at := before + time.Duration(w.u()*2e9)
		w.v = append(w.v, visitor{group: len(w.r.Groups) - 1, bot: true, phase: doPost})
		w.begin(id, at)
		w.stage(id, record.StageBooks)
		w.wake(id, at)
	}
}

func (w *world) begin(id int, at time.Duration) {
	g := &w.r.Groups[w.v[id].group]
	g.Visitors++
	g.Stages[record.StageVisit]++
	w.r.Count(record.CountVisits, at, 1)
}

func (w *world) stage(id int, s string)          { w.r.Groups[w.v[id].group].Stages[s]++ }
func (w *world) wake(id int, at time.Duration)   { heap.Push(&w.q, event{at, id}) }
func (w *world) group(id int) string             { return w.r.Groups[w.v[id].group].Name }
func (w *world) second(at time.Duration) int32   { return int32(at / time.Second) }
func (w *world) isOff(layer string) bool         { return slices.Contains(w.o.Off, layer) }
func (w *world) gaveUp(id int, at time.Duration) { w.r.Count(record.CountGaveUp, at, 1) }
func (w *world) request(at time.Duration, n int) {
	w.r.Count(record.CountRequests, at, 1)
	if n == 1 {
		w.r.Count(record.CountFirstTries, at, 1)
	}
}

func (w *world) end(id int, final string) {
	v := &w.v[id]
	if !v.done {
		v.done = true
		w.r.Groups[v.group].Finals[final]++
	}
}

// reply counts one answered request: service time, lateness and response time.
func (w *world) reply(id int, step, outcome string, at, service time.Duration) {
	late := w.about(w.o.Lateness, 0.35)
	sec, g := w.second(at), w.group(id)
	w.r.Hist(record.Key{Span: record.SpanLateness, Clock: record.Response, Group: g, Second: sec}).Add(late)
	w.r.Hist(record.Key{Span: step, Clock: record.Service, Outcome: outcome, Group: g, Second: sec}).Add(service)
	w.r.Hist(record.Key{Span: step, Clock: record.Response, Outcome: outcome, Group: g, Second: sec}).Add(service + late)
	w.r.Header.Requested++
	w.r.Header.Achieved++
}

// serve offers units to the gateways; ok is false when the room is full.
func (w *world) serve(at time.Duration, units float64) (d time.Duration, ok bool) {
	if at > w.backAt {
		w.backlog = max(0, w.backlog-(at-w.backAt).Seconds()*w.capacity)
		w.backAt = at
	}
	w.window += units
	if w.backlog+units > w.room && !w.isOff("room") {
		return w.about(900*time.Microsecond, 0.3), false
	}
	w.backlog += units
	return time.Duration(w.backlog/w.capacity*1e9) + w.about(3*time.Millisecond, 0.22), true
}

// query offers work to the synchronous database: first in, first out, no bound.
func (w *world) query(at time.Duration, units float64) (d time.Duration, ok bool) {
	w.window += units
	w.dbFree = max(w.dbFree, at) + time.Duration(units/w.database*1e9)
	d = w.dbFree - at + w.about(4*time.Millisecond, 0.25)
	return min(d, timeout), d < timeout
}

func (w *world) drain(at time.Duration) {
	for w.head < len(w.writes) && w.writes[w.head] <= at {
		w.head++
		w.depth--
		w.written++
	}
}

func (w *world) step(id int, at time.Duration) {
	v := &w.v[id]
	w.drain(at)
	switch v.phase {
	case doStatus:
		v.status++
		w.request(at, v.status)
		d, ok := w.ask(at, 1)
		outcome := "open"
		switch {
		case !ok && w.o.Lossless:
			outcome = "timeout"
		case !ok:
			outcome = "shed"
		case at < before:
			outcome = "wait"
		case w.stock == 0:
			outcome = "closed"
		}
		w.reply(id, "status", outcome, at, d)
		switch outcome {
		case "closed":
			w.end(id, "saw-closed")
		case "open":
			w.stage(id, record.StageForm)
			w.request(at+d, 1)
			w.reply(id, "catalogue", "ok", at+d, w.about(900*time.Microsecond, 0.25))
			v.phase = doPress
			w.wake(id, at+d+w.about(5500*time.Millisecond, 0.3))
		default:
			w.lock(id, at+d, outcome)
		}
	case doPress:
		w.press(id, at)
	case doSubmit:
		v.phase = doPress
		w.submit(id, at)
	case doPost:
		if !v.pressed {
			w.firstPress(id, at)
		}
		w.submit(id, at)
	case doPoll:
		w.r.Count(record.CountPolls, at, 1)
		d, ok := w.ask(at, 1)
		outcome := "pending"
		switch {
		case !ok:
			outcome = "shed"
		case v.confirmed <= at:
			outcome = "confirmed"
		}
		w.reply(id, "poll", outcome, at, d)
		if outcome != "confirmed" {
			w.wake(id, at+d+5*time.Second+time.Duration(w.u()*1e9))
			return
		}
		w.confirm(id, at+d)
	}
}

// ask sends a cheap question to whichever part answers in this mode.
func (w *world) ask(at time.Duration, units float64) (time.Duration, bool) {
	if w.o.Lossless {
		return w.query(at, 2*units)
	}
	return w.serve(at, units)
}

func (w *world) firstPress(id int, at time.Duration) {
	v := &w.v[id]
	v.pressed, v.firstAt, v.order = true, at, len(w.pressers)
	w.pressers = append(w.pressers, id)
	w.stage(id, record.StagePressed)
	w.r.Count(record.CountFirst, at, 1)
	w.r.Count(record.CountPresses, at, 1)
}

func (w *world) press(id int, at time.Duration) {
	v := &w.v[id]
	if v.pressed {
		w.r.Count(record.CountPresses, at, 1)
	} else {
		w.firstPress(id, at)
	}
	if !w.o.Lossless && !w.isOff("admission") && w.u() >= min(1, w.o.Probability+0.01) {
		w.r.Count(record.CountCoinLost, at, 1)
		w.lock(id, at, "")
		return
	}
	w.r.Count(record.CountCoinPassed, at, 1)
	if !v.passed {
		v.passed = true
		w.stage(id, record.StagePassed)
	}
	w.request(at, v.submits+1)
	d, ok := w.ask(at, 1)
	outcome := "open"
	switch {
	case !ok && w.o.Lossless:
		outcome = "timeout"
	case !ok:
		outcome = "shed"
	case w.stock == 0:
		outcome = "closed"
	}
	w.reply(id, "check", outcome, at, d)
	switch outcome {
	case "closed":
		w.end(id, "saw-closed")
	case "open":
		v.phase = doSubmit
		w.wake(id, at+d)
	default:
		w.lock(id, at+d, outcome)
	}
}

func (w *world) submit(id int, at time.Duration) {
	v := &w.v[id]
	v.submits++
	if !v.submitted {
		v.submitted = true
		w.stage(id, record.StageSubmitted)
	}
	w.request(at, v.submits)
	w.r.Count(record.CountOffered, at, 1)
	units := 3.0
	if w.o.Lossless {
		units = 5
	}
	d, ok := w.ask(at, units)
	outcome := "queued"
	switch {
	case v.confirmed > 0:
		outcome = "duplicate"
	case w.stock == 0:
		outcome = "closed"
	case w.o.Lossless:
		w.stock--
		w.written++
		v.confirmed = at + d
		if outcome = "confirmed"; !ok {
			outcome = "timeout"
		}
	case !ok:
		outcome = "shed"
	case w.depth >= w.o.Depth && !w.isOff("queue"):
		outcome = "busy"
	default:
		w.stock--
		w.depth++
		w.nextWrite = max(w.nextWrite, at) + time.Duration(1e9/w.rate)
		v.confirmed = w.nextWrite
		w.writes = append(w.writes, w.nextWrite)
		w.accepted = append(w.accepted, at)
	}
	if w.stock == 0 && (outcome == "queued" || outcome == "confirmed") {
		w.r.Marks[record.MarkSoldOut] = at
	}
	w.reply(id, "submit", outcome, at, d)
	switch outcome {
	case "closed":
		w.end(id, "saw-closed")
	case "duplicate":
		w.end(id, "duplicate")
	case "confirmed":
		w.stage(id, record.StageAccepted)
		w.confirm(id, at+d)
	case "queued":
		w.stage(id, record.StageAccepted)
		w.r.Hist(record.Key{Span: record.SpanLedger, Clock: record.Response, Outcome: "confirmed", Group: w.group(id), Second: w.second(at)}).Add(v.confirmed - at)
		v.phase = doPoll
		w.wake(id, at+d+5*time.Second+time.Duration(w.u()*1e9))
	default:
		if v.bot {
			w.wake(id, at+2*time.Second)
			return
		}
		w.lock(id, at+d, outcome)
	}
}

func (w *world) confirm(id int, at time.Duration) {
	v := &w.v[id]
	w.stage(id, record.StageConfirmed)
	w.r.Hist(record.Key{Span: record.SpanBooking, Clock: record.Response, Outcome: "confirmed", Group: w.group(id), Second: w.second(v.firstAt)}).Add(at - v.firstAt)
	w.end(id, "confirmed")
}

func (w *world) lock(id int, at time.Duration, cause string) {
	at += 5*time.Second + time.Duration((0.3+1.7*w.u())*1e9)
	if w.u() >= 0.2 {
		w.wake(id, at)
		return
	}
	if at >= length {
		return
	}
	w.gaveUp(id, at)
	switch cause {
	case "":
		w.end(id, "gave-up-at-gate")
	case "wait":
		w.end(id, "gave-up-waiting")
	case "timeout":
		w.end(id, "gave-up-error")
	default:
		w.end(id, "gave-up-refused")
	}
}

func (w *world) sample(at time.Duration) {
	w.drain(at)
	put := func(name string, v float64) {
		w.r.Samples[name] = append(w.r.Samples[name], record.Point{At: at, Value: v})
	}
	if w.o.Lossless {
		put(record.SampleGatewayLoad, w.window/0.5/w.database)
		put(record.SampleDatabaseWait, max(0, (w.dbFree-at).Seconds()))
	} else {
		w.serve(at, 0)
		put(record.SampleGatewayLoad, w.window/0.5/w.capacity)
		put(record.SampleGatewayRoom, min(1, w.backlog/w.room))
		put(record.SampleRung, 1+math.Floor(min(1, w.backlog/w.room)*2.5))
		put(record.SampleQueueDepth, float64(w.depth))
		age := 0.0
		if w.head < len(w.writes) {
			age = max(0, (at - w.accepted[w.head]).Seconds())
		}
		put(record.SampleQueueAge, age)
		put(record.SampleDead, 0)
		put(record.SampleClosedAge, math.Mod(at.Seconds(), 1))
		put(record.SampleProbability, w.o.Probability)
		put(record.SampleEdgeHits, 1000*at.Seconds())
		put(record.SampleEdgeMisses, 2*at.Seconds())
	}
	put(record.SampleStockFree, float64(w.stock))
	put(record.SampleWritten, float64(w.written))
	w.window = 0
}

func (w *world) finish() {
	for id := range w.v {
		w.end(id, "in-flight")
	}
	w.r.Deciles = make([]record.Decile, 10)
	for i, id := range w.pressers {
		d := &w.r.Deciles[i*10/len(w.pressers)]
		d.Pressers++
		if c := w.v[id].confirmed; c > 0 && c <= length {
			d.Confirmed++
		}
	}
	if n := w.head; n > 0 {
		w.r.Marks[record.MarkLastConfirmed] = w.writes[n-1]
	}
	for _, n := range record.InvariantNames() {
		w.r.Invariants = append(w.r.Invariants, record.Invariant{Name: n, Detail: "counted from the tables after the run"})
	}
}
