package model

import (
	"cmp"
	"errors"
	"math"
	"time"

	"spillway/internal/booking"
	"spillway/internal/policy"
	"spillway/internal/record"
	"spillway/sim/des"
	"spillway/sim/window"
)

// Before booking opens every status call is told to wait, once all is sold that it is
// closed, and in between, while stock is ample, that it is open: as long as a slot is
// free the answer and its moment follow from the moment of the question. So a shard
// leads a visit through its status calls, and through the presses that it loses, as soon
// as its program stands open, and only tells the servers when the calls will come. These
// serve them in their order, with every trace that a call leaves, and hold each against
// what was foreseen. Where that proves wrong once, the run is done again without
// foreseeing that answer: the record is the same either way.
//
// A newer visit of the same user may come between. Then the path is gone once more, from
// its draws, and what lies beyond that moment is taken back.

// foresight is what the servers' part tells the shards of the answers to come.
type foresight struct {
	openAt     time.Duration // before that calls are told to wait
	openUntil  time.Duration // calls that reach the servers before are told that booking is open
	closedFrom time.Duration // and from then on that it is closed; never = not known yet
}

// foreseen is an answer that may be foreseen, as a bit.
type foreseen uint8

const (
	foreseenWait   foreseen = 1 << tellsWait
	foreseenOpen   foreseen = 1 << tellsOpen
	foreseenClosed foreseen = 1 << tellsClosed
	foreseenAll             = foreseenWait | foreseenOpen | foreseenClosed
)

// paths are what a shard has counted of visits ahead of time, by second of the run: all
// of these answers take the same time.
type paths struct {
	may     foreseen
	answer  time.Duration            // from question to answer
	last    int64                    // no call reaches the servers in this window or later
	asked   [len(answers)][][]uint32 // status calls by answer (wait, open, closed) and group
	first   []uint32                 // those of them that are a visit's first
	browsed [][]uint32               // catalogues by group
	configs [][]uint32               // configs from the edge by group, not ahead of time
	calls   *window.Calendar[uint64]
	reach   [2][]uint64 // what reaches the servers in a window, by its parity: moments and visits
	other   []uint64
	cut     uint64 // visits whose path was cut off
}

// foreseenAhead is how many windows ahead a shard foresees: as far as its calendar of calls
// has them at hand. Seven minutes, for so long some wait for the opening; with a fourth of it
// a tenth of the calls were beyond.
const (
	foreseenAhead = callsAtHand * 3 / 4
	callsAtHand   = 2048
)

// longWait is how many windows a visit may wait once for its path to be remembered: a
// notice, the presses that are lost up to pathMost, and the last of them a wait more fit
// aheadMask.
const longWait = 3 << 10

// worthForesight is from how many visits in a run on a shard foresees: in a smaller one
// the servers have few slots, of which none may be free.
const worthForesight = 5_000_000

// tablesMost bounds the counters of one kind, by group and second: 4 MB of each.
const tablesMost = 1 << 20

// errMistaken ends a run in which something came otherwise than was foreseen.
var errMistaken = errors.New("foreseen wrongly")

// openPaths lets the shards foresee, if the scenario allows it.
func (w *windows) openPaths() {
	e := w.e
	may := foreseenAll &^ e.opt.unforeseen
	answer := 2*e.half + e.gateway.statusTakes + e.extra
	if e.sc.Prediction.Visits < worthForesight && !e.opt.foresee || w.hurried || !e.gateway.calm || len(e.sc.FaultsWithin()) > 0 ||
		answer >= e.program.Timeout || answer>>w.shift > longWait || (e.program.Lock*3/2+e.program.HumanMax)>>w.shift > longWait || e.end >= 1<<openedBits {
		may = 0
	}
	seconds := int(e.end/time.Second) + 1
	if len(e.groups)*seconds > tablesMost {
		may = 0
	}
	w.view.openAt, w.view.closedFrom = e.sc.OpenAt, never
	w.openFrom = e.sc.OpenAt
	if p := &e.sc.Prediction; p.PeakLoad > calmLoad {
		w.openFrom = max(w.openFrom, e.rec.Header.RunTime(max(p.PeakAt, p.PeakLoadAt)+pastPeak))
	}
	for _, s := range w.shards {
		s.view.foresight = w.view.foresight
		p := &s.paths
		p.may, p.answer = may, answer
		p.last = int64((e.end - answer - 2*e.half) >> w.shift)
		table := func() (byGroup [][]uint32) {
			for range e.groups {
				byGroup = append(byGroup, make([]uint32, seconds))
			}
			return byGroup
		}
		if p.configs = table(); may == 0 {
			continue
		}
		p.calls = window.NewCalendar[uint64](callsAtHand)
		for i := range p.asked {
			p.asked[i] = table()
		}
		p.browsed, p.first = table(), make([]uint32, seconds)
	}
}

// Places in answers, and in paths.asked; 1<<place is the answer as foreseen.
const (
	tellsWait = iota
	tellsOpen
	tellsClosed
)

// answers are the outcomes that may be foreseen.
var answers = [...]booking.Outcome{tellsWait: booking.Wait, tellsOpen: booking.Open, tellsClosed: booking.Closed}

// answerAt is the place in answers of what is told to a call that reaches the servers at
// a moment.
func (f *foresight) answerAt(at time.Duration) int {
	switch {
	case at < f.openAt:
		return tellsWait
	case at < f.closedFrom:
		return tellsOpen
	}
	return tellsClosed
}

// foreseenUntil is the window up to which a shard foresees the calls of a visit that asks
// from a moment on.
func (s *shard) foreseenUntil(from time.Duration) int64 {
	until := min(s.taken+foreseenAhead, s.paths.last)
	which := s.view.answerAt(from + s.half)
	switch which {
	case tellsWait:
		until = min(until, int64(s.view.openAt>>s.shift))
	case tellsOpen:
		until = min(until, int64(s.view.openUntil>>s.shift))
	}
	if s.paths.may>>which&1 == 0 {
		return 0
	}
	return until
}

// foresee leads a visit, whose program stands open since a moment and which has not asked
// before another, as far as its answers are known beforehand, and lets it wait for what
// comes then.
func (s *shard) foresee(v *cold, c *client, opened, from time.Duration) {
	until := s.foreseenUntil(from)
	if until <= int64(from>>s.shift) {
		s.pageOf(v.visit).waiting++
		s.schedule(v, opened+s.notice.Of(s.luck.U64(booking.DrawNotice, uint64(v.visit), 0))) // Program.NoticeRead
		return
	}
	// A press that is taken back may be a first one, and those who pressed first are
	// remembered one by one, until they are too many.
	p := path{opened: opened, asks: until, until: s.taken + s.pathAhead, presses: s.pressers.bins != nil}
	at, final, ends := s.walk(v, &p, -1, 1)
	if ends {
		s.alive--
		s.crowd.ended[v.group][final]++
		if gaveUp(final) {
			s.tally.count(countGaveUp, at)
		}
		if v.presses > 0 {
			s.pressers.add(v.first, v.visit, false)
		}
		c.flags &^= books
		p.asks, p.until = 0, int64(at>>s.shift)+1
	} else if v.phase() == policy.PhaseForm || v.presses > 0 {
		p.asks, p.until = 0, int64(at>>s.shift) // the press at that moment is not lost ahead of time, whyever
	}
	c.remembers(&p, s.shift)
	if ends {
		return
	}
	s.pageOf(v.visit).waiting++
	if v.phase() == policy.PhaseForm && !p.presses {
		s.pressAt(v, at)
	} else {
		s.schedule(v, at)
	}
}

// foresees leads a visit that goes on at a moment to ask for the first time, if the answer
// is known by now: it was not when its program opened, for the catalogues at the edge were
// about to end their lives.
func (s *shard) foresees(v *cold, now time.Duration) bool {
	if now+s.half >= time.Duration(s.foreseenUntil(now))<<s.shift {
		return false
	}
	c := &s.clients[v.user>>s.bits]
	if c.holdAhead&aheadMask == 0 || c.visit != v.visit+1 {
		return false // its path is not remembered
	}
	opened := c.path(s.shift).opened
	if (now-opened)>>s.shift > longWait {
		return false
	}
	s.forget(v.visit)
	s.foresee(v, c, opened, now)
	return true
}

// path is how a visit is led.
type path struct {
	opened  time.Duration // when its program stood open
	asks    int64         // its calls reach the servers before this window; 0 = all of them, for it waits for none
	until   int64         // its presses are lost before this one
	presses bool          // or are not of the path at all
}

// walk leads a visit along a path, and counts n for what it does after a moment: 1, or -1
// to take it back. It returns the moment for which the visit waits then, or when and how it
// ends; in flight as soon as it waits beyond the run's end.
func (s *shard) walk(v *cold, way *path, after time.Duration, n int32) (at time.Duration, final policy.Final, ends bool) {
	p := &s.paths
	limit := time.Duration(cmp.Or(way.asks, p.last)) << s.shift
	since := way.opened
	at = since + s.notice.Of(s.luck.U64(booking.DrawNotice, uint64(v.visit), 0)) // Program.NoticeRead
	for at+s.half < limit {
		if v.locks > 0 && s.givesUp(v.visit, uint32(v.locks)) {
			return at, policy.GaveUp(v.cause()), true
		}
		reach := at + s.half
		which := s.view.answerAt(reach)
		v.statuses++
		told := at + p.answer
		if at > after {
			second := at / time.Second
			p.asked[which][v.group][second] += uint32(n)
			if v.statuses == 1 {
				p.first[second] += uint32(n)
			}
			// Put a second time it is taken back: see reached.
			p.calls.Put(int64(reach>>s.shift), uint64(reach&(1<<s.shift-1))<<32|uint64(v.visit))
			s.events += uint64(int64(n) * 4)
		}
		if which == tellsClosed {
			return told, policy.SawClosed, true
		}
		if which == tellsOpen {
			since = told + 2*s.half
			if told > after { // the catalogue is at hand
				p.browsed[v.group][told/time.Second] += uint32(n)
				s.hits[s.lookOf(told+s.half)] += uint32(n)
				s.crowd.reached[v.group][stageForm] += uint64(int64(n))
				s.events += uint64(int64(n) * 3)
			}
			v.reached |= formReached
			v.state = uint8(policy.PhaseForm)
			at = since + s.form.Of(s.luck.U64(booking.DrawForm, uint64(v.visit), 0)) // Program.FormFilled
			if way.presses && s.gates[v.version].loses {
				var givesUp bool
				if at, givesUp = s.lose(v, at, math.MaxUint16, time.Duration(way.until)<<s.shift, after, n); givesUp {
					return at, policy.GaveUp(0), true
				}
			}
			break
		}
		v.lock(booking.StepStatus, booking.Wait)
		since, at = told, s.lostUntil(v.visit, uint32(v.locks), told)
	}
	if at >= s.runEnd {
		return since, policy.InFlight, true
	}
	return at, 0, false
}

// gaveUp reports whether a path's end is that the visitor gave up.
func gaveUp(f policy.Final) bool { return f != policy.SawClosed && f != policy.InFlight }

// cutPath takes back what was foreseen of the last visit of a user beyond a moment, at
// which a newer one comes or the run ends.
func (s *shard) cutPath(c *client, user uint32, final policy.Final, now time.Duration) {
	p := c.path(s.shift)
	c.holdAhead &^= aheadMask
	if now-s.paths.answer >= time.Duration(max(p.asks, p.until)+1)<<s.shift {
		return // all has come to pass
	}
	v := cold{visit: c.visit - 1, user: user, group: s.groupOf(c, user), version: c.versionLow, state: uint8(policy.PhaseNotice)}
	at, foreseen, ends := s.walk(&v, &p, now, -1)
	if at <= now {
		return // it has ended before, or goes on
	}
	s.paths.cut++
	switch {
	case ends:
		s.crowd.ended[v.group][foreseen]--
		if gaveUp(foreseen) {
			s.tally.takeBack(countGaveUp, at)
		}
		if v.presses > 0 && v.first > now {
			s.pressers.takeBack(v.first)
		}
	case v.presses > 0:
		s.alive--
		word, shift := s.bitsOf(v.visit)
		*word |= settled << shift
		if v.first <= now {
			s.pressers.add(v.first, v.visit, false)
		}
	default:
		return // it waits, and hears of it by itself
	}
	s.crowd.ended[v.group][final]++
}

// groupOf is the group of a client's user.
func (s *shard) groupOf(c *client, user uint32) uint8 {
	group := c.flags >> groupShift
	if group == groupUnknown {
		group = uint8(max(policy.ClassOf(s.sc.Population.Classes, booking.UserID(user)), 0))
		if group < groupUnknown {
			c.flags = c.flags&^(groupUnknown<<groupShift) | group<<groupShift
		}
	}
	return group
}

// reached tells the servers of the calls that reach them in a window, in order. What is
// there twice was taken back.
func (s *shard) reached(n int64) {
	p := &s.paths
	if p.may == 0 {
		return
	}
	keys := p.calls.Take(n, p.reach[n&1][:0])
	keys, p.other = window.Sort(keys, p.other)
	left := keys[:0]
	for i := 0; i < len(keys); i++ {
		if i+1 < len(keys) && keys[i] == keys[i+1] {
			i++
			continue
		}
		left = append(left, keys[i])
	}
	p.reach[n&1] = left
}

// countPaths counts in the record what was counted ahead of time.
func (s *shard) countPaths() {
	p := &s.paths
	count := func(step booking.Step, o booking.Outcome, byGroup [][]uint32, took time.Duration) {
		for group, bySecond := range byGroup {
			for second, n := range bySecond {
				if n == 0 {
					continue
				}
				at, n := time.Duration(second)*time.Second, uint64(n)
				s.tally.countN(countRequests, second, n)
				s.tally.hist(uint8(step), record.Response, o, uint8(group), at).AddN(took, n)
				s.tally.hist(uint8(step), record.Service, o, uint8(group), at).AddN(took, n)
				s.sent += n
				s.outcomes[step][o] += n
				if step != booking.StepStatus {
					s.tally.countN(countFirstTries, second, n)
				}
			}
		}
	}
	for i, o := range answers {
		count(booking.StepStatus, o, p.asked[i], p.answer)
	}
	count(booking.StepCatalogue, booking.OK, p.browsed, 2*s.half)
	count(booking.StepConfig, booking.OK, p.configs, 2*s.half)
	for second, n := range p.first {
		if n > 0 {
			s.tally.countN(countFirstTries, second, uint64(n))
		}
	}
	*p = paths{cut: p.cut}
}

// foretold are the foreseen calls of a window at the servers, those not yet served.
type foretold struct {
	from  time.Duration               // the window's start
	heads [1 << shardBitsMax]uint64   // of each shard the next; noKey = it has none
	keys  [1 << shardBitsMax][]uint64 // and those that follow
	n     int                         // shards
}

const noKey = ^uint64(0)

// first is the key of the next call and whose it is, noKey when there is none.
func (q *foretold) first() (key uint64, whose int) {
	key = noKey
	for i, k := range q.heads[:q.n] {
		if k < key {
			key, whose = k, i
		}
	}
	return key, whose
}

// pop takes the next call of a shard.
func (q *foretold) pop(whose int) {
	if k := q.keys[whose]; len(k) > 0 {
		q.heads[whose], q.keys[whose] = k[0], k[1:]
	} else {
		q.heads[whose] = noKey
	}
}

// foretell takes what the shards have foreseen of a window.
func (w *windows) foretell(n int64) {
	q := &w.foretold
	q.from, q.n = time.Duration(n)<<w.shift, len(w.shards)
	for i, s := range w.shards {
		q.keys[i] = s.paths.reach[n&1]
		q.pop(i)
	}
}

// serveForetold serves the foreseen calls that come before an event at a moment, of an
// order in it.
func (w *windows) serveForetold(at time.Duration, order uint64) {
	e, g, q := w.e, &w.e.gateway, &w.foretold
	before := func(key uint64) (now time.Duration, ok bool) {
		now = q.from + time.Duration(key>>32)
		return now, key != noKey && (now < at || now == at && des.OrderOf(servers, uint64(uint32(key))) < order)
	}
	for {
		key, whose := q.first()
		now, ok := before(key)
		if !ok {
			return
		}
		if !w.unhurried(now) {
			w.mistaken(foreseen(1) << w.view.answerAt(now))
			return
		}
		// As many as there are idle slots for are served at once. No fault ever takes an
		// instance from a run in which anything is foreseen.
		room := g.slots.idle
		if g.limit > 0 {
			room = min(room, g.limit-g.c.inside)
		}
		idle, next, took := room, g.next, 0
		ends := g.slots.laneOf(g.statusTakes, now+g.statusTakes)
		for ; ok && took < idle; took++ {
			if next++; int(next) == len(g.instances) {
				next = 0
			}
			which := w.view.answerAt(now)
			if which != tellsWait {
				o, in, known := w.state(next, now)
				if !known || o != answers[which] || which == tellsOpen && !w.catalogueAtHand(now+g.statusTakes+e.extra+e.half, e.end) {
					w.mistaken(foreseen(1) << which)
					return
				}
				if in != nil {
					in.read(now, e.soldOut())
				}
			}
			if ends != nil {
				ends.push(now + g.statusTakes)
			} else {
				g.slots.use(g.statusTakes, now+g.statusTakes)
			}
			g.foretold.push(now + g.statusTakes)
			w.ways.foretold[which]++
			q.pop(whose)
			key, whose = q.first()
			now, ok = before(key)
		}
		if ends != nil {
			g.slots.idle, g.slots.known = g.slots.idle-took, false
		}
		g.entersQuietly(next, took, e.sc.Gateway.Status)
	}
}

// mistaken ends a run in which something came otherwise than was foreseen.
func (w *windows) mistaken(kind foreseen) {
	w.wrong |= kind
	if w.e.err == nil {
		w.e.err = errMistaken
	}
}

// announce says what the shards may foresee after the servers have done a window.
func (w *windows) announce(done int64) {
	e, g := w.e, &w.e.gateway
	now := time.Duration(done+1) << w.shift
	f := &w.view.foresight
	if e.closedCheck && f.closedFrom == never && e.soldOut() && now >= e.sc.OpenAt {
		closed := true
		for i := range g.instances {
			closed = closed && g.instances[i].has && g.instances[i].soldOut
		}
		if closed {
			f.closedFrom = now
			if f.openUntil > now {
				w.mistaken(foreseenOpen)
			}
		}
	}
	busy := float64(g.c.inside) / float64(g.slots.n)
	width := float64(int64(1) << w.shift)
	w.load.short += (busy - w.load.short) * min(1, width/5e9)
	w.load.long += (busy - w.load.long) * min(1, width/30e9)
	if f.closedFrom != never || now < w.openFrom || w.load.short > calmLoad || w.load.short > w.load.long*1.1 {
		return
	}
	until := e.end
	for _, key := range [2]uint8{objectChinese, objectEnglish} {
		n := e.edge.entries[edgeKey{object: key}]
		if !e.edge.on || n == nil || !n.has {
			return
		}
		until = min(until, n.storedAt+n.life-2*e.half-e.extra-g.statusTakes)
	}
	if e.closedCheck {
		// No more is taken than the slots can serve of submits, and those at work.
		left := e.stock.total - g.slots.n
		if left <= 0 {
			return
		}
		until = min(until, now+time.Duration(float64(left)/float64(g.slots.n)*float64(g.submitTakes)))
	}
	f.openUntil = max(f.openUntil, until)
}

// calmLoad is up to which share of busy slots all are taken to find one free for the next
// minute, if it does not grow.
const calmLoad = 0.5

// pastPeak is how long after the predicted peak, in the scenario's time, the load of the
// gateways grows no more: people come back to them.
const pastPeak = time.Minute

// openedBits bounds the moment that a client remembers: 19 hours.
const openedBits = 46

const (
	withPresses uint16 = 1 << (15 - iota)
	waitsToAsk
)

// remembers keeps a path.
func (c *client) remembers(p *path, shift uint) {
	c.openedLow, c.openedHigh = uint32(p.opened), uint16(p.opened>>32)
	until := p.until
	if p.presses {
		c.openedHigh |= withPresses
	}
	if p.asks > 0 {
		c.openedHigh |= waitsToAsk
		until = p.asks
	}
	// Beyond the mask only a form can take, whose presses are not foreseen then: what is
	// counted of such a path has come to pass long before.
	c.holdAhead = c.holdAhead&^aheadMask | uint16(min(until-int64(p.opened>>shift), aheadMask))
}

// path is what the client remembers.
func (c *client) path(shift uint) path {
	p := path{opened: time.Duration(c.openedHigh&^(withPresses|waitsToAsk))<<32 | time.Duration(c.openedLow), presses: c.openedHigh&withPresses != 0}
	until := int64(p.opened>>shift) + int64(c.holdAhead&aheadMask)
	if c.openedHigh&waitsToAsk != 0 {
		p.asks = until
	} else {
		p.until = until
	}
	return p
}
