package model

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
	"time"

	"spillway/internal/booking"
	"spillway/internal/draw"
	"spillway/internal/policy"
	"spillway/scenarios"
	"spillway/sim/des"
	"spillway/sim/window"
)

// windows runs an evening in windows of time: the servers do a window while the shards
// of the people do the next and arrivals of later ones are drawn. Who does what is
// decided so that the record is the sequential engine's, byte for byte, whatever the width
// of a window and the number of shards and cores:
//
//   - A visit between two contacts with the servers is its shard's, as long as its
//     next reaction to an answer takes longer than ahead: the servers are never that
//     far behind.
//   - The client of a user whose luck the servers may change at any moment (a submit
//     may be under way, a ticket held, a config awaited) is moved to the servers' part
//     with all visits of that user, and moved back when none is left, or one that
//     waits and holds nothing.
//   - A shard's visit whose answer has to queue is lent to the servers' part, and comes
//     back with its next moment. If its user opens the program meanwhile the shard
//     sends word.
//   - A shard whose user does not come again within the next windows, as the arrivals
//     drawn ahead tell, keeps a visit that has passed the gate or polls, as long as the
//     servers can answer at once. If they cannot, the user is moved then.
type windows struct {
	e      *evening
	shift  uint          // a window is 2^shift ns: cut, not divided
	count  int64         // windows that hold people
	ahead  time.Duration // reactions shorter than this are the servers' part's
	shards []*shard
	mask   booking.UserID // user & mask is the shard, user >> bits its client there
	bits   uint

	_       [64]byte // what follows is the arrivals' alone
	sc      *scenarios.Scaled
	out     [][]arrival // by shard
	stream  *scenarios.Stream
	drawn   booking.VisitID // the next visit
	drawnAt time.Duration   // and when it comes; never = nobody is left
	tooMany error           // visits
	filled  [filledKept]int // arrivals of a window, modulo filledKept
	drawing atomic.Bool     // somebody draws
	drawnTo atomic.Int64    // the next window
	done    []window64      // by shard: windows it has done
	_       [64]byte

	hurried  bool   // locks are shorter than ahead: every visit that books is moved
	calm     bool   // checks, submits and polls may be answered at once
	formFrom uint64 // a form whose draw is below this takes less than ahead

	// The servers' part.
	served     int64         // the window in hand
	tries      tries         // submits on their way
	submit     request       // the one in hand, as stock sees it
	refusal    request       // the one in hand, as the door sees it
	ways       ways          // how often each way was taken
	holding    []heldCall    // requests that are held
	colds      []cold        // their visits, by request
	hands      [][]hand      // of the window in hand, by shard
	heads      []callQueue   // by shard
	bound      time.Duration // answers before this are the shards' to act on
	moved      []movedUser
	movedOf    map[booking.UserID]uint32
	freed      []uint32
	idle       []uint32      // moved users whose last visit ended in this window
	offered    []uint32      // moved users whose client was offered back in the last one
	gone       [2]moments    // visits that were replaced, and when
	goneAt     time.Duration // when the older of gone is forgotten
	lines      window.Lines
	handed     uint64   // visits taken over
	returned   uint64   // visits given back
	hits       []uint32 // catalogue copies that the edge served unasked, by look
	opens      []opened // visits that will be told that booking is open, from told on
	told       int
	onHand     func(uint64)
	catalogues catalogues
	foretold   foretold
	view       view                          // what the shards are told
	views      [2]view                       // by parity of the window after which they are
	stands     standing                      // all shards', after it
	openFrom   time.Duration                 // "open" is foreseen from then on
	wrong      foreseen                      // answers that came otherwise than was foreseen
	load       struct{ short, long float64 } // share of busy slots, averaged over 5 s and over 30

	fromShards *des.Lane // what they hand over
}

// ways are the ways in which the servers' part has dealt with what shards sent, by
// step: for the tests, which want all of them tried.
type ways struct {
	atOnce, refused, held, unheld, lent [booking.StepPoll + 1]uint64
	foretold                            [len(answers)]uint64 // by answer: wait, open, closed
	woken                               uint64               // visits with a ticket whose user was moved meanwhile
}

// edgeView is what the shards know of the config's copy at the edge. As long as a
// copy lives nothing can replace it, so an old view is never wrong, only short.
type edgeView struct {
	has      bool
	storedAt time.Duration
	life     time.Duration
	version  uint32
}

// view is what the shards know of the servers' part.
type view struct {
	edgeView
	foresight
	rounded bool // those who pressed first are too many to be remembered exactly
}

// movedUser is a user whose client is with the servers' part.
type movedUser struct {
	client
	user    booking.UserID
	alive   int32 // visits under way
	touched int64 // the window of its last arrival
	idle    bool  // in the list of idle ones
	waits   bool  // ref is a visit that waits until due, and nothing wakes it yet
	bare    bool  // the client is still on its way
	ref     uint32
	due     time.Duration
}

// opened is a visit that is told at a moment that booking is open, and then fetches
// the catalogue.
type opened struct {
	at    time.Duration
	visit uint32
}

// Widths of a window: as wide as reactions allow, so that steps are few, but with no
// more arrivals than fit the cache.
const (
	shiftMin, shiftMax = 12, 28
	arrivalsPerWindow  = 50_000
	ring128s           = 512 // windows kept at hand; more are kept too, at some cost
	shardBits          = 2
	shardBitsMax       = 3          // for tests
	histsKept          = 500        // histograms of a shard
	drawnAhead         = 8          // of so many windows, that in hand included, a shard may look at all arrivals but the last's
	drawnKept          = 10         // so many may be drawn
	filledKept         = 16         // the servers' part asks a little later how many there were
	worthCalling       = 150        // arrivals in a window; fewer are done by one core alone
	worthSharding      = 10_000_000 // visits in a run
)

// reaction is the shortest time between an answer that locks the button and what
// the visitor does next.
func reaction(p *policy.Program) time.Duration { return p.Lock + p.HumanMin }

func (e *evening) openWindows() {
	w := &windows{e: e, sc: e.sc, stream: e.sc.Stream(), movedOf: map[booking.UserID]uint32{}, served: -1}
	p := &e.program
	w.shift = e.opt.windowShift
	if w.shift == 0 {
		w.shift = shiftMax
		peak := e.sc.Prediction.PeakVisits / 1e9
		for w.shift > shiftMin && (3<<w.shift > reaction(p) || float64(int64(1)<<w.shift)*peak > arrivalsPerWindow) {
			w.shift--
		}
	}
	for 1<<w.shift <= e.half { // a call reaches the servers in the next window at the latest
		w.shift++
	}
	w.ahead = 3 << w.shift
	w.hurried = reaction(p) < w.ahead
	w.calm = e.gateway.calm && !e.direct && !w.hurried && p.PollEvery >= w.ahead
	w.formFrom = formBelow(p, w.ahead+time.Millisecond)
	w.count = int64((e.end + 1<<w.shift - 1) >> w.shift)
	if e.sc.Prediction.Visits > worthSharding {
		w.bits = shardBits
		if runtime.GOMAXPROCS(0) <= 2 {
			w.bits = 1 // one for each: what a window costs by itself is paid less often
		}
	}
	if e.opt.shardBits > 0 {
		w.bits = uint(e.opt.shardBits - 1)
	}
	w.mask = 1<<w.bits - 1
	users := booking.UserID(e.sc.Population.Users)
	// In a window, at the most.
	arrivals := int(min(float64(int64(1)<<w.shift)*e.sc.Prediction.PeakVisits/1e9, arrivalsPerWindow)) >> w.bits
	for i := range 1 << w.bits {
		w.shards = append(w.shards, newShard(w, i, int((users+w.mask-booking.UserID(i))>>w.bits)))
		for j := range drawnKept { // that they grow would leave their former selves about
			w.shards[i].arrivals[j] = make([]arrival, 0, arrivals+arrivals/16)
		}
	}
	w.out, w.hands = make([][]arrival, len(w.shards)), make([][]hand, len(w.shards))
	w.heads = make([]callQueue, len(w.shards))
	w.done = make([]window64, len(w.shards))
	w.hits = make([]uint32, e.watch.indexOf(e.end)+2)
	w.onHand = w.take
	w.fromShards = e.kernel.NewLane()
	w.draw()
	w.openPaths()
	e.windows = w
}

// formBelow is the draw below which a form takes less than d.
func formBelow(p *policy.Program, d time.Duration) uint64 {
	of := func(u uint64) time.Duration { return draw.LogNormalOf(u, p.Form, p.ThinkCV) }
	if of(math.MaxUint64) < d {
		return math.MaxUint64
	}
	var low, high uint64 = 0, math.MaxUint64 // of(high) >= d
	for low < high {
		if mid := low + (high-low)/2; of(mid) >= d {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low
}

// window64 is the number of a window, in a line of memory of its own.
type window64 struct {
	atomic.Int64
	_ [56]byte
}

// run plays the evening in windows and reports whether it was cut short.
func (w *windows) run(ctx context.Context) (partial bool) {
	e := w.e
	crew := window.Crew{
		Lead:  func(n int64) (more bool) { return w.play(n) && ctx.Err() == nil },
		Ready: func(n int64) bool { return w.drawnTo.Load() >= n+drawnAhead-1 },
		Small: func(n int64) bool { return w.filled[n%filledKept] < worthCalling },
		Spare: w.fillNext,
	}
	for i, s := range w.shards {
		s.view = w.view
		crew.Follow = append(crew.Follow, func(n int64) {
			if n >= 2 {
				s.see(&w.views[n&1])
			}
			s.do(n)
			s.stand(n)
			w.done[i].Store(n + 1)
		})
	}
	// In the last window the shards only hear what became of the one before.
	all := w.count + 1
	played := crew.Run(runtime.GOMAXPROCS(0), all)
	if partial = played < all; partial {
		for _, s := range w.shards {
			s.mail.cooled[(played-1)&1] = nil // they stay where they are
		}
	}
	for t := w.tries.first(); t != nil; t = w.tries.first() { // of a run cut short
		w.submits(t)
		w.tries.pop()
	}
	w.unholdLate(w.count)
	w.stands = standing{}
	for _, s := range w.shards {
		s.collect(played - 2)
		s.collect(played - 1)
		s.close()
		w.stands.add(s.standing())
		e.err = cmp.Or(e.err, s.err, w.tooMany)
	}
	e.progress()
	return partial || e.err != nil || e.kernel.Err() != nil
}

// play is the servers' part of a window, and what concerns all: it reports whether the
// run goes on.
func (w *windows) play(n int64) (more bool) {
	e := w.e
	if n < w.count {
		w.serve(n)
	}
	w.stands = standing{}
	for _, s := range w.shards {
		w.stands.add(s.mail.stands[n&1])
		e.tally.takeHists(s.mail.hists[n&1])
	}
	w.look(n)
	e.progress()
	return e.err == nil && e.kernel.Err() == nil
}

// look says what the shards may know of the servers after a window.
func (w *windows) look(n int64) {
	w.view.edgeView = edgeView{}
	if d := &w.e.edge; d.on && !d.onQuery {
		if x := d.entries[edgeKey{object: objectConfig}]; x != nil && x.has {
			w.view.edgeView = edgeView{true, x.storedAt, x.life, x.version}
		}
	}
	w.announce(n)
	w.view.rounded = w.e.pressers.n+w.stands.pressers > uint64(w.e.pressers.exact)
	w.views[n&1] = w.view
}

func (w *windows) draw() {
	at, ok := w.stream.Next()
	if !ok {
		at = never
	}
	w.drawnAt = at
}

// fillNext draws the arrivals of one more window, unless enough are drawn or somebody
// else is drawing them.
func (w *windows) fillNext() bool {
	may := func() bool { // the arrivals that would be overwritten are nobody's any more
		n := w.drawnTo.Load() - drawnKept
		for i := range w.done {
			if w.done[i].Load() < n+1 {
				return false
			}
		}
		return true
	}
	if !may() || !w.drawing.CompareAndSwap(false, true) {
		return false
	}
	n := w.drawnTo.Load()
	more := may()
	if more {
		w.fill(n)
		w.drawnTo.Store(n + 1)
	}
	w.drawing.Store(false)
	return more
}

// fill gives the shards the arrivals of a window.
func (w *windows) fill(n int64) {
	end := time.Duration(n+1) << w.shift
	start := end - 1<<w.shift
	out := w.out
	for i, s := range w.shards {
		out[i] = s.arrivals[n%drawnKept][:0]
	}
	first := w.drawn
	for w.drawnAt < end {
		if w.drawn >= maxVisits {
			w.tooMany = fmt.Errorf("%w: visit %d: more than the tables can name", ErrBooks, w.drawn)
			w.drawnAt = never
			break
		}
		user := w.sc.UserOf(w.drawn)
		i := user & w.mask
		out[i] = append(out[i], arrival{uint32(w.drawnAt - start), uint32(w.drawn), uint32(user)})
		w.drawn++
		w.draw()
	}
	for i, s := range w.shards {
		s.arrivals[n%drawnKept] = out[i]
	}
	w.filled[n%filledKept] = int(w.drawn - first)
}

// serve does one window at the servers and for all whom they lead.
func (w *windows) serve(n int64) {
	if w.e.err != nil {
		return
	}
	e, k := w.e, w.e.kernel
	w.served = n
	end := min(time.Duration(n+1)<<w.shift, e.end)
	w.schedule(n)
	w.bound = min(e.end, time.Duration(n+2)<<w.shift)
	for i, s := range w.shards {
		w.heads[i] = callQueue{calls: s.calls[n%3]}
		w.heads[i].look()
	}
	w.foretell(n)
	c := w.nextCall()
	due, order, ok := k.Peek()
	for e.err == nil && k.Err() == nil {
		// What reaches the servers next without an event: a call, or a submit.
		at, visit := never, uint32(0)
		if c != nil {
			at, visit = c.sent+e.half, c.visit
		}
		t := w.tries.first()
		if t != nil {
			if x := t.sent + e.half; x < end && (x < at || x == at && t.visit < visit) {
				at, visit = x, t.visit
			} else {
				t = nil
			}
		}
		event := ok && due < end && (due < at || due == at && order < des.OrderOf(servers, uint64(visit)))
		if event {
			w.serveForetold(due, order)
		} else {
			w.serveForetold(at, des.OrderOf(servers, uint64(visit)))
		}
		if e.err != nil {
			break
		}
		if event {
			k.Step()
			due, order, ok = k.Peek()
			continue
		}
		if at == never {
			break
		}
		var done bool
		if t != nil {
			if done = w.book(t); done {
				w.tell(t)
			} else {
				w.hold(&t.cold, booking.StepSubmit, t.submits+1, t.pressed, t.sent)
			}
			w.tries.pop()
		} else {
			if done = w.quiet(c); !done && e.gateway.calm && at < end {
				w.hold(&c.cold, c.step, c.attempt(), c.sent, c.sent)
				c.outcome = toldLater
			} else if !done {
				w.lend(c)
			}
			c = w.nextCall()
		}
		if !done {
			due, order, ok = k.Peek()
		}
	}
	w.unholdLate(n)
	w.cool(n)
	if w.goneAt <= end {
		w.gone[0], w.gone[1] = w.gone[1], moments{}
		w.goneAt = end + 2*e.program.Timeout + time.Second
	}
	if n == w.count-1 {
		e.drain(nil)
	}
}

// schedule lays what the shards hand over in a window into the kernel, in order.
func (w *windows) schedule(n int64) {
	var next [1 << shardBitsMax]int
	for i, s := range w.shards {
		w.hands[i] = s.hands[n&1]
	}
	for {
		var h *hand
		var from int
		for i, hands := range w.hands {
			if j := next[i]; j < len(hands) && (h == nil || hands[j].at < h.at || hands[j].at == h.at && hands[j].key < h.key) {
				h, from = &hands[j], i
			}
		}
		if h == nil {
			return
		}
		w.fromShards.AtKey(h.at, people, uint64(h.key), w.onHand, uint64(from)<<32|uint64(next[from]))
		next[from]++
	}
}

// callQueue is a shard's calls of a window, those not yet taken, and when the first
// of them was sent.
type callQueue struct {
	sent  time.Duration
	calls []call
	near  int // so many are taken before prefetch is called again
}

func (q *callQueue) look() {
	if q.sent = never; len(q.calls) > 0 {
		q.sent = q.calls[0].sent
	}
}

// prefetch fetches what calls will ask for: whether a visit's place was taken by a newer
// one, or whether a user holds a ticket.
func (q *callQueue) prefetch(w *windows) {
	q.near = batch
	for i := batch; i < min(2*batch, len(q.calls)); i++ {
		if c := &q.calls[i]; c.step != booking.StepStatus {
			w.lines.Add(w.e.stock.held.line(c.user))
		} else if w.gone[1].n > goneNear {
			w.lines.Add(w.gone[0].line(c.visit))
			w.lines.Add(w.gone[1].line(c.visit))
		}
	}
	w.lines.Fetch()
}

// goneNear is how many visits that were replaced stay in the second-level cache by
// themselves.
const goneNear = 4096

// nextCall takes the next call of the window, in the order of sending, then of
// visits; nil when there is none.
func (w *windows) nextCall() *call {
	first := 0
	for i := 1; i < len(w.heads); i++ {
		a, b := &w.heads[first], &w.heads[i]
		if b.sent < a.sent || b.sent == a.sent && b.sent != never && b.calls[0].visit < a.calls[0].visit {
			first = i
		}
	}
	q := &w.heads[first]
	if q.sent == never {
		return nil
	}
	if q.near == 0 {
		q.prefetch(w)
	}
	q.near--
	c := &q.calls[0]
	q.calls = q.calls[1:]
	q.look()
	return c
}

// take is what a shard handed over, at its moment.
func (w *windows) take(arg uint64) {
	e := w.e
	h := &w.hands[arg>>32][uint32(arg)]
	now := e.kernel.Now()
	user := booking.UserID(h.user)
	switch h.kind {
	case handGone:
		w.gone[1].add(h.visit, now)
		for _, o := range w.opens[w.told:] {
			if o.visit == h.visit && now < o.at { // it will not come to the catalogue
				w.hits[e.watch.indexOf(o.at+e.half)]--
			}
		}
	case handArrival:
		m := w.client(user, h)
		w.moved[m].touched = w.served
		w.moved[m].alive++
		e.begin(booking.VisitID(h.visit), user, m, now)
	case handFetched:
		m := w.client(user, h)
		ref, p := w.seat(&h.cold)
		p.client, p.stages = m, 1<<stageVisit
		w.moved[m].alive++
		p.v.Phase = policy.PhaseConfigReq
		e.move(ref, now, policy.Replied, policy.Reply{Outcome: booking.OK, Config: uint32(h.version)})
	case handClient:
		m := &w.moved[w.client(user, h)]
		visit, holds := m.visit, m.holds()
		m.client, m.bare = h.client, false
		m.visit = visit
		m.setHolds(holds)
		if m.alive == 0 {
			w.rest(w.movedOf[user])
		}
	case handWake:
		w.ways.woken++
		ref, p := w.seat(&h.cold)
		p.client = w.client(user, h)
		w.moved[p.client].touched = w.served
		w.moved[p.client].alive++
		e.move(ref, now, policy.Wake, policy.Reply{})
	case handSend:
		ref, p := w.seat(&h.cold)
		if p.lent = !h.moves; h.moves {
			p.client = w.client(user, h)
			w.moved[p.client].alive++
		}
		if h.step == booking.StepCheck {
			e.claim(p, now)
		}
		e.send(ref, uint32(h.version), policy.Move{Kind: policy.Send, Step: h.step, Attempt: h.attempt, Timeout: e.program.Timeout}, now)
	}
}

// seat gives a visit that a shard handed over a place.
func (w *windows) seat(c *cold) (uint32, *place) {
	e := w.e
	ref, p := e.seat()
	user := booking.UserID(c.user)
	p.v = e.program.New(booking.VisitID(c.visit), user, policy.ClassOf(e.sc.Population.Classes, user), e.lucky)
	c.into(&p.v)
	if c.holdsTicket() {
		p.v.Ticket = ticketOf(e.stock.held.row(user) - 1)
	}
	p.stages, p.group, p.version = c.stages(), c.group, c.version
	e.alive++
	w.handed++
	return ref, p
}

// client is where a moved user's client is kept, which a hand may bring along.
func (w *windows) client(user booking.UserID, h *hand) uint32 {
	if m, ok := w.movedOf[user]; ok {
		return m
	}
	if !h.carries {
		w.e.fail("user %d was moved and nobody has the client", user)
	}
	m := w.user(user)
	w.moved[m] = movedUser{client: h.client, user: user}
	return m
}

// user makes a place for a moved user.
func (w *windows) user(user booking.UserID) (m uint32) {
	if n := len(w.freed); n > 0 {
		m, w.freed = w.freed[n-1], w.freed[:n-1]
	} else {
		m = uint32(len(w.moved))
		w.moved = append(w.moved, movedUser{})
	}
	w.movedOf[user] = m
	return m
}

// tell tells a shard what became of a try.
func (w *windows) tell(t *try) {
	s := w.shards[booking.UserID(t.user)&w.mask]
	s.mail.told[w.served&1] = append(s.mail.told[w.served&1], *t)
}

// userOf is the client of a lent visit: all that matters of it is the config and
// whether a newer visit has taken its place.
func (w *windows) userOf(p *place) policy.User {
	u := policy.User{Visit: p.v.Visit + 1, ConfigVersion: uint32(p.version), HasConfig: true}
	if w.isGone(uint32(p.v.Visit)) {
		u.Visit = 0
	}
	return u
}

// isGone reports whether a shard has sent word that a newer visit has come.
func (w *windows) isGone(visit uint32) bool {
	return w.gone[1].has(visit) || w.gone[0].has(visit)
}

// open notes a visit that will be told that booking is open, and forgets those who
// were told.
func (w *windows) open(visit uint32, told, now time.Duration) {
	w.hits[w.e.watch.indexOf(told+w.e.half)]++
	for w.told < len(w.opens) && w.opens[w.told].at < now {
		w.told++
	}
	if w.told > 1024 && 2*w.told > len(w.opens) {
		w.opens, w.told = w.opens[:copy(w.opens, w.opens[w.told:])], 0
	}
	w.opens = append(w.opens, opened{told, visit})
}

// giveBack returns a lent visit to its shard until a moment.
func (w *windows) giveBack(ref uint32, p *place, at time.Duration) {
	e := w.e
	if at < time.Duration(w.served+2)<<w.shift {
		e.fail("visit %d goes on at %v, which its shard may have passed", p.v.Visit, at)
	}
	s := w.shards[p.v.User&w.mask]
	b := back{due: at}
	b.from(&p.v)
	b.reach(p.stages)
	b.group, b.version = p.group, p.version
	s.mail.backs[w.served&1] = append(s.mail.backs[w.served&1], b)
	e.alive--
	w.returned++
	p.used = false
	e.spare = append(e.spare, ref)
}

// waits reports whether a moved user's visit that waits until a moment may go home
// with its user at the end of the window; else the servers' part must wake it.
func (w *windows) waits(ref uint32, p *place, at time.Duration) bool {
	if p.v.Bot || at < time.Duration(w.served+3)<<w.shift {
		return false
	}
	m := &w.moved[p.client]
	if m.alive != 1 || m.touched == w.served || m.bare {
		return false
	}
	if p.v.Phase == policy.PhasePollWait {
		if !w.calm {
			return false
		}
	} else if p.v.Submits > 0 && p.v.Item != w.e.program.Item(p.v.Visit, w.e.lucky) {
		return false
	}
	m.waits, m.ref, m.due = true, ref, at
	w.rest(p.client)
	return true
}

// rest puts a moved user on the list of those who may go home.
func (w *windows) rest(m uint32) {
	if u := &w.moved[m]; !u.idle {
		u.idle = true
		w.idle = append(w.idle, m)
	}
}

// left notes the end of a visit that the servers' part has led.
func (w *windows) left(p *place) {
	switch {
	case p.v.Bot:
	case p.lent:
		s := w.shards[p.v.User&w.mask]
		s.mail.ended[w.served&1] = append(s.mail.ended[w.served&1], uint32(p.v.Visit))
	default:
		if m := &w.moved[p.client]; m.alive == 1 {
			m.alive = 0
			w.rest(p.client)
		} else {
			m.alive--
		}
	}
}

// cool offers the clients of idle users back to their shards, with the one visit
// that may wait. A shard takes one back unless another visit of the user was on its
// way here meanwhile; both sides can tell.
func (w *windows) cool(n int64) {
	e := w.e
	for _, m := range w.offered {
		u := &w.moved[m]
		if u.touched == n { // came back
			w.keep(u)
			continue
		}
		if u.waits {
			p := e.place(u.ref)
			e.alive--
			w.returned++
			p.used = false
			e.spare = append(e.spare, u.ref)
		}
		delete(w.movedOf, u.user)
		*u = movedUser{}
		w.freed = append(w.freed, m)
	}
	w.offered = w.offered[:0]
	for _, m := range w.idle {
		u := &w.moved[m]
		u.idle = false
		var visits int32
		if u.waits {
			visits = 1
		}
		if u.alive != visits || u.bare || u.waits && u.touched == n {
			w.keep(u)
			continue
		}
		c := cooled{user: uint32(u.user), client: u.client, waits: u.waits}
		if u.waits {
			p := e.place(u.ref)
			c.due = u.due
			c.cold.from(&p.v)
			c.cold.reach(p.stages)
			c.cold.group, c.cold.version = p.group, u.versionLow
		}
		s := w.shards[u.user&w.mask]
		s.mail.cooled[n&1] = append(s.mail.cooled[n&1], c)
		w.offered = append(w.offered, m)
	}
	w.idle = w.idle[:0]
}

// keep lets the servers' part wake the visit of a user who stays.
func (w *windows) keep(u *movedUser) {
	if u.waits {
		u.waits = false
		w.e.wakeAt(u.ref, w.e.place(u.ref), u.due)
	}
}

// close adds up what the shards have counted.
func (w *windows) close() {
	e := w.e
	for _, s := range w.shards {
		e.crowd.add(&s.crowd)
		e.tally.add(s.tally)
		e.requests.sent += s.sent
		e.requests.told += s.sent
		for step := range s.outcomes {
			for o, n := range s.outcomes[step] {
				e.requests.outcomes[step][o] += n
			}
		}
	}
	// From here on visits are counted in one place again.
	w.handed, w.returned = 0, 0
}

// hitsAt is how many copies the edge has served unasked since the look before.
func (w *windows) hitsAt(look int) (n uint64) {
	n = uint64(w.hits[look])
	for _, s := range w.shards {
		n += uint64(s.hits[look])
	}
	return n
}
