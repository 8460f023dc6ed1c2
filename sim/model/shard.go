package model

import (
	"fmt"
	"math"
	"time"
	"unsafe"

	"spillway/internal/booking"
	"spillway/internal/draw"
	"spillway/internal/policy"
	"spillway/internal/record"
	"spillway/scenarios"
	"spillway/sim/window"
)

// arrival is a visit that begins, at a moment within its window.
type arrival struct{ at, visit, user uint32 }

// fetch is a config on its way to a client.
type fetch struct {
	due     time.Duration
	visit   uint32
	user    uint32
	version uint8
	group   uint8
	books   bool
}

// hand is what a shard hands to the servers' part at a moment.
type hand struct {
	cold
	at      time.Duration
	key     uint32 // its place among what people do at that moment: a visit
	kind    uint8
	moves   bool // the user moves with the visit
	carries bool // the client comes along
	step    booking.Step
	attempt uint16
	client  client
}

const (
	handArrival uint8 = iota + 1 // a visit of a moved user begins
	handFetched                  // a config comes to a moved user's client
	handSend                     // a visit sends a request and is led from here on
	handGone                     // a newer visit has taken the place of a lent one
	handClient                   // the client of a user whom the servers' part has taken over
	handWake                     // a visit goes on whose user has been moved meanwhile
)

// back is a lent visit that comes back until due.
type back struct {
	cold
	due time.Duration
}

// cooled is a moved user's client that is offered back, with the visit that waits
// until due, if one does.
type cooled struct {
	cold
	user   uint32
	client client
	waits  bool
	due    time.Duration
}

// page is what a shard knows of 2^15 visits in a row, four bits each.
type page struct {
	bits    [1 << (pageBits - 4)]uint64
	waiting int32 // visits under way
}

const (
	pageBits        = 15
	dead     uint64 = 1 // a newer visit has taken its place
	away     uint64 = 2 // with the servers
	ahead    uint64 = 4 // has lost presses ahead of time
	settled  uint64 = 8 // has been replaced before what was foreseen of it, and counted
)

// bitsOf is the word that holds a visit's bits, and where in it they are. The visit's
// page must be in use.
func (s *shard) bitsOf(visit uint32) (word *uint64, shift uint32) {
	return &s.pages[visit>>pageBits].bits[visit>>4&(1<<(pageBits-4)-1)], visit & 15 * 4
}

// given are what a shard is told once. It has them to itself: a line of memory that
// it shared with what the servers' part writes would travel between the cores all the
// time, which once cost a third of the run.
type given struct {
	sc       *scenarios.Scaled
	half     time.Duration // network, one way
	runEnd   time.Duration
	look     time.Duration // between two samples
	shift    uint
	bits     uint
	count    int64
	hurried  bool
	calm     bool
	number   uint32 // of the shard
	formFrom uint64
	gates    []gate // by version
	outages  outages
	// Draws of 53 bits below these book and give up.
	booksBelow, givesUpBelow uint64
	notice, form             draw.Law
	luck                     draw.Seed
	lucky                    policy.Luck
	program                  policy.Program
	runtimes                 []policy.Runtime
}

// mail is what the servers' part has for a shard, by parity of the window.
type mail struct {
	backs  [2][]back
	calls  [2][]call
	told   [2][]try
	ended  [2][]uint32
	cooled [2][]cooled
	_      [64]byte

	// And what the shard leaves for the servers' part.
	stands [2]standing
	hists  [2]hists
	_      [64]byte
}

// standing is how far a shard is after a window.
type standing struct {
	begun, events, pressers uint64
	alive                   int
}

// shard is a part of the people: their clients, and their visits while these are
// nobody else's.
type shard struct {
	given
	crowd   // of what the shard leads
	mail    *mail
	view    view
	clients []client
	cal     *window.Calendar[cold]
	taken   int64 // the last window taken from the calendar

	arrivals [drawnKept][]arrival // of windows, modulo drawnKept
	comes    []uint8              // by user: the last window drawn in which they come, see expect
	expected int64                // the first window that is not in comes
	cleared  int64                // the window in hand when comes was last cleared
	calls    [3][]call            // status calls by the window in which they reach the servers
	asks     *[]call              // those that reach them in the window in hand
	asksNext *[]call              // and those of the next
	until    time.Duration
	hands    [2][]hand

	fetches   []fetch // in the order of their moments, from fetched on
	fetched   int
	late      []cold // due in the window in hand, found after it was taken; sorted
	pages     []*page
	spare     []*page
	paged     int                      // pages in use
	fresh     []page                   // made, and not yet anybody's
	replaced  map[uint32]time.Duration // visits that are away: when a newer one came
	cut       moments                  // the same of visits that have lost presses ahead of time
	lost      []uint32                 // presses lost ahead of time, by second
	most      uint32                   // presses to lose ahead of time at once
	pathAhead int64                    // windows in which presses are lost ahead of time
	paths     paths

	sent     uint64 // requests, all of them answered
	outcomes [booking.StepPoll + 1][outcomeMax]uint64
	hits     []uint32 // config copies from the edge, by look
	lookNo   int      // the look asked for last, and when it comes
	lookAt   time.Duration
	err      error
	lines    window.Lines
	events   uint64 // what it has done, arrivals aside

	due         []cold
	keys, other []uint64
}

func newShard(w *windows, number, users int) *shard {
	e := w.e
	t := newTally(record.New(e.rec.Header), e.groups)
	s := &shard{comes: make([]uint8, users), crowd: newCrowd(t, e.end, e.opt.exactPressers), clients: window.Make[client](users), taken: -1, mail: &mail{},
		cal: window.NewCalendar[cold](ring128s), replaced: map[uint32]time.Duration{}, lost: make([]uint32, e.end/time.Second+1),
		hits: make([]uint32, e.watch.indexOf(e.end)+2),
		given: given{sc: e.sc, half: e.half, runEnd: e.end, look: e.watch.every, shift: w.shift, bits: w.bits, count: w.count,
			hurried: w.hurried, calm: w.calm, number: uint32(number), formFrom: w.formFrom, gates: gatesOf(e.runtimes, &e.program), outages: e.outages, booksBelow: drawsBelow(e.program.BookingShare), givesUpBelow: drawsBelow(e.program.GiveUp),
			notice: draw.LawOf(e.program.Notice, e.program.ThinkCV), form: draw.LawOf(e.program.Form, e.program.ThinkCV), luck: e.luck, lucky: e.lucky, program: e.program, runtimes: e.runtimes}}
	return s
}

// comesMax is into how many windows a byte of comes may fall; 0 = none.
const comesMax = 255

// expect notes who comes in the windows that have been drawn, for the first to ask in
// the window in hand. What has passed is forgotten all at once, before its numbers come
// round again.
func (s *shard) expect() {
	if s.expected = max(s.expected, s.taken); s.taken-s.cleared >= comesMax-drawnAhead {
		clear(s.comes)
		s.cleared, s.expected = s.taken, s.taken
	}
	for ; s.expected <= s.taken+drawnAhead-2; s.expected++ {
		for _, a := range s.arrivals[s.expected%drawnKept] {
			s.comes[a.user>>s.bits] = uint8(s.expected%comesMax) + 1
		}
	}
}

// mayCome reports whether the user opens the program in the window in hand or one of
// those drawn after it. It is asked while visits go on, not while answers are heard: the
// window before is being drawn over.
func (s *shard) mayCome(user uint32) bool {
	if s.expected <= s.taken+drawnAhead-2 {
		s.expect()
	}
	n := s.comes[user>>s.bits]
	return n != 0 && uint8((int64(n-1)+comesMax-s.taken%comesMax)%comesMax) <= drawnAhead-2
}

func (s *shard) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("%w: "+format, append([]any{ErrBooks}, args...)...)
	}
}

// see takes what the servers' part has said.
func (s *shard) see(v *view) {
	if s.view = *v; s.view.rounded {
		s.pressers.round()
	}
}

// stand says how far the shard is after a window, and gives up histograms, or every
// shard would keep all of the evening's.
func (s *shard) stand(n int64) {
	s.mail.stands[n&1] = s.standing()
	if s.mail.hists[n&1] = nil; len(s.tally.hists) > histsKept {
		s.mail.hists[n&1] = s.tally.giveHists()
	}
}

func (s *shard) standing() standing { return standing{s.begun, s.events, s.pressers.n, s.alive} }

func (a *standing) add(b standing) {
	a.begun += b.begun
	a.events += b.events
	a.pressers += b.pressers
	a.alive += b.alive
}

// do plays one window.
func (s *shard) do(n int64) {
	s.hands[n&1] = s.hands[n&1][:0]
	s.collect(n - 2)
	if n >= s.count {
		return
	}
	start := time.Duration(n) << s.shift
	// What reaches the servers in the next window is the next window's call.
	s.asks, s.asksNext, s.until = &s.calls[n%3], &s.calls[(n+1)%3], start+1<<s.shift
	if n == s.count-1 {
		s.asksNext = s.asks
	}
	arrivals := s.arrivals[n%drawnKept]
	s.most, s.pathAhead = s.lookAhead(len(arrivals))
	s.due = s.cal.Take(n, s.due[:0])
	s.taken = n
	s.keys = s.keys[:0]
	for i := range s.due {
		s.keys = append(s.keys, window.Key(s.due[i].at, i))
	}
	s.keys, s.other = window.Sort(s.keys, s.other)
	s.orderTies()
	s.late = s.late[:0]
	for i := range 3 {
		s.prefetchArrivals(arrivals, (i-3)*batch)
		s.prefetchDue((i - 3) * batch)
	}
	var nextArrival, nextDue, nextLate int
	for {
		// Of one moment the smaller visit goes first, as the kernel has it.
		at, visit, which := uint64(math.MaxUint64), uint32(math.MaxUint32), 0
		dueAt, arriveAt := at, at
		if nextDue < len(s.keys) {
			dueAt = s.keys[nextDue] >> 32
		}
		if nextArrival < len(arrivals) {
			arriveAt = uint64(arrivals[nextArrival].at)
		}
		switch {
		case s.fetched == len(s.fetches) && nextLate == len(s.late) && dueAt != arriveAt: // mostly
			if at, which = dueAt, 1; arriveAt < dueAt {
				at, which = arriveAt, 2
			}
		default:
			if dueAt < math.MaxUint64 {
				at, visit, which = dueAt, s.due[uint32(s.keys[nextDue])].visit, 1
			}
			if arriveAt < at || arriveAt == at && arriveAt < math.MaxUint64 && arrivals[nextArrival].visit < visit {
				at, visit, which = arriveAt, arrivals[nextArrival].visit, 2
			}
			if s.fetched < len(s.fetches) {
				f := &s.fetches[s.fetched]
				if d := uint64(f.due - start); d>>s.shift == 0 && (d < at || d == at && f.visit < visit) {
					at, visit, which = d, f.visit, 3
				}
			}
			if nextLate < len(s.late) {
				if c := &s.late[nextLate]; uint64(c.at) < at || uint64(c.at) == at && c.visit < visit {
					at, which = uint64(c.at), 4
				}
			}
		}
		now := start + time.Duration(at)
		switch which {
		case 0:
			s.reached(n)
			return
		case 1:
			if nextDue%batch == 0 {
				s.prefetchDue(nextDue)
			}
			s.wake(s.due[uint32(s.keys[nextDue])], now)
			nextDue++
		case 2:
			if nextArrival%batch == 0 {
				s.prefetchArrivals(arrivals, nextArrival)
			}
			s.arrive(nextArrival, arrivals[nextArrival], now)
			nextArrival++
		case 3:
			f := s.fetches[s.fetched]
			if s.fetched++; s.fetched == len(s.fetches) {
				s.fetches, s.fetched = s.fetches[:0], 0
			} else if s.fetched > 1024 && 2*s.fetched > len(s.fetches) {
				s.fetches, s.fetched = s.fetches[:copy(s.fetches, s.fetches[s.fetched:])], 0
			}
			s.arrived(f)
		case 4:
			c := s.late[nextLate]
			nextLate++
			s.wake(c, now)
		}
	}
}

// lookOf is the number of the look that first sees what happens at a moment; most are
// asked in a row.
func (s *shard) lookOf(at time.Duration) int {
	if d := s.lookAt - at; d < 0 || d >= s.look {
		s.lookNo = int((at + s.look - 1) / s.look)
		s.lookAt = time.Duration(s.lookNo) * s.look
	}
	return s.lookNo
}

// orderTies puts what is due in the same nanosecond in the order of visits.
func (s *shard) orderTies() {
	for i := 1; i < len(s.keys); i++ {
		for j := i; j > 0 && s.keys[j]>>32 == s.keys[j-1]>>32 && s.due[uint32(s.keys[j])].visit < s.due[uint32(s.keys[j-1])].visit; j-- {
			s.keys[j], s.keys[j-1] = s.keys[j-1], s.keys[j]
		}
	}
}

// batch is how many visits, arrivals or calls fetch their memory at a time: as many as
// take longer than memory does.
const batch = 16

// prefetchArrivals fetches what arrivals after the i-th will ask for: it lies anywhere, and
// waiting for one after the other would be most of the cost. One thing leads to the next,
// so three blocks of arrivals are in hand: of the last their clients are fetched, of the
// one before these clients' last visits, and of the first when these were replaced.
func (s *shard) prefetchArrivals(as []arrival, i int) {
	block := func(k int) []arrival {
		if k = i + k*batch; k < 0 || k >= len(as) {
			return nil
		}
		return as[k:min(k+batch, len(as))]
	}
	for _, a := range block(3) {
		c := &s.clients[a.user>>s.bits] // its ends may lie in two lines
		s.lines.Add(unsafe.Pointer(&c.visit))
		s.lines.Add(unsafe.Pointer(&c.flags))
	}
	if s.paged > pagesNear {
		for _, a := range block(2) {
			c := &s.clients[a.user>>s.bits]
			old := c.visit - 1
			if i := int(old >> pageBits); i < len(s.pages) && s.pages[i] != nil {
				word, _ := s.bitsOf(old)
				s.lines.AddIf(unsafe.Pointer(word), int(c.flags/books&1)) // else it has no visit that waits
			}
		}
		if s.cut.n > cutNear {
			for _, a := range block(1) {
				if c := &s.clients[a.user>>s.bits]; c.flags&books != 0 {
					if word, shift := s.lastOf(c); word != nil && *word>>shift&ahead != 0 {
						s.lines.Add(s.cut.line(c.visit - 1))
					}
				}
			}
		}
	}
	s.lines.Fetch()
}

// lastOf is where the bits of the visit are whose place a new one of the client's user
// would take; nil = there is none.
func (s *shard) lastOf(c *client) (word *uint64, shift uint32) {
	if c.visit == 0 || c.holds() != policy.HoldNone || c.flags&books == 0 {
		return nil, 0
	}
	old := c.visit - 1
	if int(old>>pageBits) >= len(s.pages) || s.pages[old>>pageBits] == nil {
		return nil, 0 // nobody of that page is under way
	}
	return s.bitsOf(old)
}

// asksFor says by a visit's state what it will ask for when it goes on: bit 0 = its client,
// bit 1 = whether its user comes again.
var asksFor = func() (t [256]uint8) {
	for i := range t {
		c := cold{state: uint8(i)}
		switch phase := c.phase(); {
		case phase == policy.PhasePollWait:
			t[i] = 3
		case phase == policy.PhaseForm, phase == policy.PhaseLocked && c.again() == booking.StepSubmit:
			t[i] = 2
		}
	}
	return t
}()

// prefetchDue does the same for visits that go on after the i-th: their bits, what they
// will ask for, and when they were replaced.
func (s *shard) prefetchDue(i int) {
	block := func(k int) []uint64 {
		if k = i + k*batch; k < 0 || k >= len(s.keys) {
			return nil
		}
		return s.keys[k:min(k+batch, len(s.keys))]
	}
	for _, k := range block(2) {
		c := &s.due[uint32(k)]
		word, _ := s.bitsOf(c.visit)
		s.lines.Add(unsafe.Pointer(word))
		user, what := c.user>>s.bits, asksFor[c.state]
		s.lines.AddIf(unsafe.Pointer(&s.clients[user].flags), int(what&1))
		s.lines.AddIf(unsafe.Pointer(&s.comes[user]), int(what>>1))
	}
	if s.paged > pagesNear {
		for _, k := range block(1) {
			visit := s.due[uint32(k)].visit
			if word, shift := s.bitsOf(visit); *word>>shift&(dead|ahead) == dead|ahead {
				s.lines.Add(s.cut.line(visit))
			}
		}
	}
	s.lines.Fetch()
}

// schedule lets a visit wait until a moment.
func (s *shard) schedule(c *cold, due time.Duration) {
	if due >= s.runEnd { // what is due after the end is not of this run
		s.over(c, policy.InFlight, 0)
		return
	}
	n := int64(due >> s.shift)
	c.at = uint32(due - time.Duration(n)<<s.shift)
	if n > s.taken {
		s.cal.Put(n, *c)
		return
	}
	if n < s.taken {
		s.fail("visit %d goes on at %v, which has passed", c.visit, due)
		return
	}
	s.late = append(s.late, *c)
	for i := len(s.late) - 1; i > 0; i-- {
		a, b := &s.late[i-1], &s.late[i]
		if a.at < b.at || a.at == b.at && a.visit < b.visit {
			break
		}
		*a, *b = *b, *a
	}
}

// arrive begins a visit: the i-th arrival of the window in hand.
func (s *shard) arrive(i int, a arrival, now time.Duration) {
	c := &s.clients[a.user>>s.bits]
	if c.flags&(moved|known) != known {
		if c.flags&moved != 0 {
			c.setConfigAt(time.Duration(s.taken)) // the window of the last arrival
			s.hand(hand{kind: handArrival, at: now, key: a.visit, cold: cold{visit: a.visit, user: a.user}})
			return
		}
		c.recall(s.sc, booking.UserID(a.user))
	}
	if c.holdAhead&aheadMask != 0 {
		s.cutPath(c, a.user, policy.Superseded, now)
	}
	fetches := c.flags&hasConfig == 0 || now-c.configAt() >= s.program.ConfigLife // Program.Fetches
	if fetches {
		if x := now + s.half; !s.view.has || x-s.view.storedAt >= s.view.life || x+s.half >= s.runEnd || 2*s.half >= s.program.Timeout || s.outages.at(x) {
			s.replace(c, a.visit, now)
			h := hand{kind: handArrival, at: now, key: a.visit, cold: cold{visit: a.visit, user: a.user}}
			s.move(c, &h, s.taken)
			s.hand(h)
			return
		}
	}
	group := s.groupOf(c, a.user)
	s.start(group, now)
	if c.flags&books != 0 {
		s.replace(c, a.visit, now)
		c.flags &^= books
	}
	if c.holds() == policy.HoldNone { // User.Open
		c.visit = a.visit + 1
	}
	willBook := s.luck.U64(booking.DrawBooks, uint64(a.visit), 0)>>(64-unitBits) < s.booksBelow
	if willBook {
		c.flags |= books
	}
	if fetches {
		due := now + 2*s.half
		s.paths.configs[group][now/time.Second]++
		s.events += 3
		s.hits[s.lookOf(now+s.half)]++
		if c.holds() != policy.HoldNone || s.comesBefore(due, i, a.user) {
			s.fetches = append(s.fetches, fetch{due, a.visit, a.user, uint8(s.view.version), group, willBook})
			return
		}
		// Nobody looks at the client until it is there.
		c.setConfigAt(due)
		c.versionLow = uint8(s.view.version)
		c.flags |= hasConfig
		now = due
	}
	s.opened(c, a.visit, a.user, group, willBook, now)
}

// comesBefore reports whether the user of the i-th arrival of the window in hand comes
// again before a moment, soon after.
func (s *shard) comesBefore(due time.Duration, i int, user uint32) bool {
	i++
	for n := s.taken; ; n++ {
		start := time.Duration(n) << s.shift
		if start >= due {
			return false
		}
		for as := s.arrivals[n%drawnKept]; i < len(as); i++ {
			if start+time.Duration(as[i].at) >= due {
				return false
			}
			if as[i].user == user {
				return true
			}
		}
		i = 0
	}
}

// arrived is a config that has come to its client.
func (s *shard) arrived(f fetch) {
	c := &s.clients[f.user>>s.bits]
	if c.flags&moved != 0 {
		s.fail("a config for user %d, who was moved", f.user)
		return
	}
	if f.due > c.configAt() { // else a newer visit's, which nobody looks at yet, is there already
		c.setConfigAt(f.due)
		c.versionLow = f.version
		c.flags |= hasConfig
	}
	s.opened(c, f.visit, f.user, f.group, f.books, f.due)
}

// opened is a program that stands open with its config.
func (s *shard) opened(c *client, visit, user uint32, group uint8, books bool, now time.Duration) {
	if !books || c.holds() != policy.HoldNone || c.visit != visit+1 {
		u := policy.User{Visit: booking.VisitID(c.visit), Holds: c.holds()}
		s.alive--
		s.crowd.ended[group][u.Start(booking.VisitID(visit), books)]++
		return
	}
	v := cold{visit: visit, user: user, group: group, version: c.versionLow, state: uint8(policy.PhaseNotice)}
	s.crowd.reached[group][stageBooks]++
	s.foresee(&v, c, now, now)
}

// replace notes that a newer visit takes the place of the user's last.
func (s *shard) replace(c *client, by uint32, now time.Duration) {
	word, shift := s.lastOf(c)
	if word == nil {
		return
	}
	old := c.visit - 1
	*word |= dead << shift
	if *word>>shift&away != 0 {
		if _, known := s.replaced[old]; !known {
			s.replaced[old] = now
			s.hand(hand{kind: handGone, at: now, key: by, cold: cold{visit: old}})
		}
	} else if *word>>shift&ahead != 0 {
		s.cut.add(old, now)
	}
}

// pagesNear is how many pages in use stay in the second-level cache by themselves, and
// cutNear how many moments of those who were replaced.
const (
	pagesNear = 32
	cutNear   = 4096
)

// pagesMade is how many pages are made at once, at the most: 4 MiB.
const pagesMade = 256

// pageOf is the page of a visit, made when there is none.
func (s *shard) pageOf(visit uint32) *page {
	i := int(visit >> pageBits)
	for len(s.pages) <= i {
		s.pages = append(s.pages, nil)
	}
	if s.pages[i] == nil {
		s.paged++
		if n := len(s.spare); n > 0 {
			s.pages[i], s.spare = s.spare[n-1], s.spare[:n-1]
			*s.pages[i] = page{}
		} else {
			if len(s.fresh) == 0 {
				s.fresh = window.Make[page](min(max(s.paged, pagesNear), pagesMade))
			}
			s.pages[i], s.fresh = &s.fresh[0], s.fresh[1:]
		}
	}
	return s.pages[i]
}

// forget takes a visit off its page, which is given up with its last one. A page
// that still fills is kept: its next visit would need it again.
func (s *shard) forget(visit uint32) {
	i := int(visit >> pageBits)
	p := s.pages[i]
	if p.waiting--; p.waiting == 0 && i < len(s.pages)-1 {
		s.spare, s.pages[i] = append(s.spare, p), nil
		s.paged--
	}
}

// wake lets a visit go on.
func (s *shard) wake(c cold, now time.Duration) {
	s.events++
	word, shift := s.bitsOf(c.visit)
	if *word>>shift&(dead|settled) != 0 {
		if *word>>shift&settled != 0 {
			s.forget(c.visit)
		} else if *word>>shift&ahead != 0 {
			s.overtaken(&c, word, shift, now)
		} else {
			s.over(&c, policy.Superseded, now)
		}
		return
	}
	*word &^= ahead << shift // whoever ends here is not replaced any more
	// What most visits do is done on the spot, with the policy's own parts.
	phase := c.phase()
	presses := phase == policy.PhaseForm || phase == policy.PhaseLocked && c.again() == booking.StepSubmit
	if phase == policy.PhaseNotice && s.foresees(&c, now) {
		s.events-- // it is among those of the answer
		return
	}
	if presses || phase == policy.PhaseNotice || phase == policy.PhaseLocked && c.again() == booking.StepStatus {
		if phase == policy.PhaseLocked {
			if s.givesUp(c.visit, uint32(c.locks)) {
				s.over(&c, policy.GaveUp(c.cause()), now)
				return
			}
		}
		if presses {
			*c.lost() = 0
			s.press(&c, now)
			return
		}
		c.state = uint8(policy.PhaseStatusReq)
		c.statuses++
		if s.hurried || s.luckyForm(c.visit) {
			s.handOver(&c, policy.Move{Step: booking.StepStatus, Attempt: c.statuses}, true, now)
			return
		}
		*word |= away << shift
		s.ask(&c, booking.StepStatus, now)
		return
	}
	if phase == policy.PhasePollWait {
		x := &s.clients[c.user>>s.bits]
		if x.flags&moved != 0 {
			s.handWake(&c, x, now)
			return
		}
		c.version = x.versionLow // a newer visit may have fetched another
		if s.runtimes[c.version].Results {
			*c.polls()++
			c.state = uint8(policy.PhasePollReq) | c.state&^0xf
			if s.calm && !s.mayCome(c.user) {
				s.ask(&c, booking.StepPoll, now)
			} else {
				s.handOver(&c, policy.Move{Step: booking.StepPoll, Attempt: *c.polls()}, true, now)
			}
			return
		}
	}
	var v policy.Visitor
	c.into(&v)
	u := policy.User{Visit: v.Visit + 1, ConfigVersion: uint32(c.version), HasConfig: c.version > 0}
	m := s.program.Next(&v, &u, s.runtimes[c.version], now, policy.Wake, policy.Reply{}, s.lucky)
	s.follow(&c, &v, m, now)
}

// press presses the button.
func (s *shard) press(c *cold, now time.Duration) {
	marks := policy.MarkPress
	if c.presses == 0 {
		marks |= policy.MarkFirstPress
		c.first = now
	}
	c.presses++
	id := booking.VisitID(c.visit)
	passed, _, epochEnds := s.program.Toss(id, booking.UserID(c.user), c.presses, &s.runtimes[c.version], now, s.lucky)
	if passed {
		marks |= policy.MarkCoinPassed
	} else {
		marks |= policy.MarkCoinLost
	}
	stages := c.stages()
	if c.presses == 1 {
		stages &^= 1 << stagePressed // not yet counted
	}
	s.mark(&stages, c.group, policy.PhaseLocked, now, marks)
	c.reach(stages)
	if passed {
		c.state = uint8(policy.PhaseCheckReq) | c.state&^0xf
		if s.calm && !s.mayCome(c.user) {
			s.ask(c, booking.StepCheck, now)
			return
		}
		s.handOver(c, policy.Move{Step: booking.StepCheck, Attempt: c.presses}, true, now)
		return
	}
	c.lock(booking.StepSubmit, 0)
	s.pressAt(c, s.program.LostUntil(id, c.locks, now, epochEnds, s.lucky))
}

// follow does what the policy decided for a visit.
func (s *shard) follow(c *cold, v *policy.Visitor, m policy.Move, now time.Duration) {
	if m.Marks != 0 {
		stages := c.stages()
		s.mark(&stages, c.group, v.Phase, now, m.Marks)
		c.reach(stages)
	}
	c.from(v)
	switch m.Kind {
	case policy.Wait:
		s.schedule(c, max(m.At, now))
	case policy.End:
		s.finish(c, v, now)
	case policy.Send:
		if m.Step == booking.StepPoll {
			if s.calm && !s.mayCome(c.user) {
				s.ask(c, booking.StepPoll, now)
				return
			}
			s.handOver(c, m, true, now)
			return
		}
		if moves := m.Step == booking.StepCheck || s.hurried || s.luckyForm(c.visit); moves || m.Step != booking.StepStatus {
			s.handOver(c, m, moves, now)
			return
		}
		word, shift := s.bitsOf(c.visit)
		*word |= away << shift
		s.ask(c, booking.StepStatus, now)
	}
}

// handOver gives a visit that sends a request to the servers' part, with its user
// or without.
func (s *shard) handOver(c *cold, m policy.Move, moves bool, now time.Duration) {
	s.alive--
	h := hand{kind: handSend, at: now, key: c.visit, cold: *c, step: m.Step, attempt: m.Attempt, moves: moves}
	if moves {
		s.move(&s.clients[c.user>>s.bits], &h, s.taken)
		s.forget(c.visit)
	} else {
		word, shift := s.bitsOf(c.visit)
		*word |= away << shift
	}
	s.hand(h)
}

// handWake lets a visit that holds a ticket go on where its user's client is.
func (s *shard) handWake(c *cold, x *client, now time.Duration) {
	s.alive--
	s.forget(c.visit)
	x.setConfigAt(time.Duration(s.taken))
	s.hand(hand{kind: handWake, at: now, key: c.visit, cold: *c})
}

// ask sends a call.
func (s *shard) ask(c *cold, step booking.Step, now time.Duration) {
	calls := s.asks
	if now+s.half >= s.until {
		calls = s.asksNext
	}
	*calls = append(*calls, call{cold: *c, sent: now, step: step})
	if step != booking.StepStatus {
		s.sends(policy.Move{Step: step, Attempt: (*calls)[len(*calls)-1].attempt()}, now)
		return
	}
	s.tally.count(countRequests, now)
	if c.statuses == 1 {
		s.tally.count(countFirstTries, now)
	}
}

// luckyForm reports whether the visit's form takes so short that its shard could
// not be told in time.
func (s *shard) luckyForm(visit uint32) bool {
	return s.formFrom == math.MaxUint64 || s.luck.U64(booking.DrawForm, uint64(visit), 0) < s.formFrom
}

// home notes that a visit is back from the servers.
func (s *shard) home(visit uint32) {
	word, shift := s.bitsOf(visit)
	*word &^= away << shift
	if len(s.replaced) > 0 {
		delete(s.replaced, visit)
	}
}

// moveAfter sends the client of a user after whose visit the servers' part leads on.
func (s *shard) moveAfter(v *cold, window int64) {
	s.alive--
	s.forget(v.visit)
	if window >= s.count {
		return // nobody asks for it any more
	}
	h := hand{kind: handClient, at: time.Duration(window) << s.shift, key: v.visit, cold: *v}
	s.move(&s.clients[v.user>>s.bits], &h, window)
	s.hands[window&1] = append(s.hands[window&1], h)
}

// move gives a user's client to the servers' part in a window, with the hand that
// needs it there.
func (s *shard) move(c *client, h *hand, window int64) {
	c.holdAhead &^= aheadMask // what was foreseen of its visit has come to pass
	c.openedLow = 0
	h.carries, h.client = true, *c
	c.flags |= moved
	c.setConfigAt(time.Duration(window))
	// A config that is on its way to the client finds it there.
	for i := s.fetched; i < len(s.fetches); i++ {
		f := s.fetches[i]
		if f.user != h.user {
			continue
		}
		s.alive--
		s.hands[window&1] = append(s.hands[window&1], hand{kind: handFetched, at: f.due, key: f.visit, carries: true, client: h.client,
			cold: cold{visit: f.visit, user: f.user, group: f.group, version: f.version}})
		s.fetches = append(s.fetches[:i], s.fetches[i+1:]...)
		i--
	}
}

func (s *shard) hand(h hand) { s.hands[s.taken&1] = append(s.hands[s.taken&1], h) }

// answer counts a request, due at base, and its answer.
func (s *shard) answer(step booking.Step, o booking.Outcome, group uint8, base, sent, now time.Duration) {
	s.sent++
	s.events += 3 // sent, at the servers, answered
	s.outcomes[step][o]++
	s.tally.answered(step, o, group, base, sent, now)
}

// over ends a visit that has no more to say.
func (s *shard) over(c *cold, f policy.Final, now time.Duration) {
	if c.presses == 0 && (f == policy.Superseded || f == policy.SawClosed || f == policy.InFlight) {
		s.alive--
		s.crowd.ended[c.group][f]++
		s.forget(c.visit)
		return
	}
	var v policy.Visitor
	c.into(&v)
	v.Final = f
	s.finish(c, &v, now)
}

func (s *shard) finish(c *cold, v *policy.Visitor, now time.Duration) {
	stages := c.stages()
	s.crowd.end(v, &stages, c.group, now)
	s.forget(c.visit)
}

// collect takes what the servers have for the shard from a window: answers, visits
// that were lent, clients.
func (s *shard) collect(n int64) {
	if n < 0 {
		return
	}
	s.hearAll(s.calls[n%3], n)
	s.calls[n%3] = s.calls[n%3][:0]
	s.hearAll(s.mail.calls[n&1], n)
	s.mail.calls[n&1] = s.mail.calls[n&1][:0]
	told := s.mail.told[n&1]
	for i := range told {
		if i%batch == 0 {
			for j := i + batch; j < min(i+2*batch, len(told)); j++ {
				t := &told[j]
				word, _ := s.bitsOf(t.visit)
				s.lines.Add(unsafe.Pointer(word))
				if t.outcome == booking.Queued { // its user will hold a ticket
					s.lines.Add(unsafe.Pointer(&s.clients[t.user>>s.bits].holdAhead))
				}
			}
			s.lines.Fetch()
		}
		if t := &told[i]; t.outcome != 0 {
			s.told(t)
		} else {
			s.moveAfter(&t.cold, n+2)
		}
	}
	s.mail.told[n&1] = s.mail.told[n&1][:0]
	for i := range s.mail.backs[n&1] {
		b := &s.mail.backs[n&1][i]
		s.alive++
		s.home(b.visit)
		s.schedule(&b.cold, b.due)
	}
	s.mail.backs[n&1] = s.mail.backs[n&1][:0]
	for _, visit := range s.mail.ended[n&1] {
		s.home(visit)
		s.forget(visit)
	}
	s.mail.ended[n&1] = s.mail.ended[n&1][:0]
	for i := range s.mail.cooled[n&1] {
		x := &s.mail.cooled[n&1][i]
		c := &s.clients[x.user>>s.bits]
		if c.configAt() == time.Duration(n+1) {
			continue // another visit went there meanwhile
		}
		*c = x.client
		if x.waits {
			c.flags |= books
			s.alive++
			s.pageOf(x.visit).waiting++
			s.schedule(&x.cold, x.due)
		}
	}
	s.mail.cooled[n&1] = s.mail.cooled[n&1][:0]
}

// replyAgain is the answer to a check or a poll.
func (s *shard) replyAgain(c *call) {
	if c.step == booking.StepCheck && c.outcome == booking.Open {
		return // told what became of its submit, too
	}
	done := c.sent + time.Duration(c.took)
	s.answer(c.step, c.outcome, c.group, c.sent, c.sent, done)
	u := policy.User{}
	if c.step == booking.StepPoll {
		if c.outcome == booking.Pending {
			c.state = uint8(policy.PhasePollWait)
			s.schedule(&c.cold, s.program.PollsAgain(booking.VisitID(c.visit), *c.polls(), done, 0, s.lucky))
			return
		}
		u.Holds = policy.HoldTicket
	} else if retries(c.outcome) {
		s.locked(&c.cold, booking.StepSubmit, c.outcome, done)
		return
	}
	s.replied(&c.cold, &u, c.outcome, done)
}

// told is what became of a press that passed: the answers to its check and its submit.
func (s *shard) told(t *try) {
	s.answer(booking.StepCheck, booking.Open, t.group, t.pressed, t.pressed, t.sent)
	stages := t.stages()
	s.crowd.reach(&stages, t.group, stageSubmitted)
	t.submits++
	s.sends(policy.Move{Step: booking.StepSubmit, Attempt: t.submits}, t.sent)
	s.answer(booking.StepSubmit, t.outcome, t.group, t.pressed, t.sent, t.heard)
	if retries(t.outcome) {
		s.locked(&t.cold, booking.StepSubmit, t.outcome, t.heard)
		return
	}
	if t.outcome == booking.Queued {
		s.crowd.reach(&stages, t.group, stageAccepted)
	}
	t.state = uint8(policy.PhaseSubmitReq)
	s.replied(&t.cold, &policy.User{Holds: policy.HoldSubmitting}, t.outcome, t.heard)
}

// locked locks a visit's button after an answer that was no, until it does a step again.
func (s *shard) locked(c *cold, again booking.Step, o booking.Outcome, now time.Duration) {
	c.lock(again, o)
	var due time.Duration
	if p := &s.program; p.HonoursRetryAfter {
		retryAfter, _ := advice(s.sc, o)
		due = p.LockEnds(booking.VisitID(c.visit), c.locks, now, retryAfter, s.lucky)
	} else {
		due = s.lostUntil(c.visit, uint32(c.locks), now)
	}
	if again == booking.StepSubmit {
		s.pressAt(c, due)
		return
	}
	s.schedule(c, due)
}

// replied lets a visit go on after an answer that it alone knows of; u is what its
// user holds.
func (s *shard) replied(c *cold, u *policy.User, o booking.Outcome, now time.Duration) {
	var v policy.Visitor
	c.into(&v)
	u.Visit, u.ConfigVersion, u.HasConfig = v.Visit+1, uint32(c.version), true
	var r policy.Reply
	r.Outcome = o
	r.RetryAfter, r.NoRetry = advice(s.sc, o)
	m := s.program.Next(&v, u, s.runtimes[c.version], now, policy.Replied, r, s.lucky)
	if u.Holds != policy.HoldNone {
		s.clients[c.user>>s.bits].setHolds(u.Holds)
	}
	s.follow(c, &v, m, now)
}

// hearAll takes what the servers say of calls in a window.
func (s *shard) hearAll(calls []call, n int64) {
	for i := range calls {
		if i%batch == 0 {
			for j := i + batch; j < min(i+2*batch, len(calls)); j++ {
				c := &calls[j]
				word, _ := s.bitsOf(c.visit)
				s.lines.Add(unsafe.Pointer(word))
				if c.step == booking.StepPoll && c.outcome != booking.Pending { // its user holds a ticket no more
					s.lines.Add(unsafe.Pointer(&s.clients[c.user>>s.bits].holdAhead))
				}
			}
			s.lines.Fetch()
		}
		s.hear(&calls[i], n)
	}
}

// hear takes what the servers say of a call in a window.
func (s *shard) hear(c *call, n int64) {
	switch {
	case c.outcome == toldLater:
	case c.outcome != 0 && c.step == booking.StepStatus:
		s.reply(c)
	case c.outcome != 0:
		s.replyAgain(c)
	case c.step == booking.StepStatus:
		s.alive-- // lent
	default:
		s.moveAfter(&c.cold, n+2)
	}
}

// reply is the answer to a status call.
func (s *shard) reply(c *call) {
	done := c.sent + time.Duration(c.took)
	s.answer(booking.StepStatus, c.outcome, c.group, c.sent, c.sent, done)
	word, shift := s.bitsOf(c.visit)
	*word &^= away << shift
	replaced := never
	if *word>>shift&dead != 0 {
		replaced = s.replaced[c.visit]
		delete(s.replaced, c.visit)
	}
	// What most are told is done on the spot, with the policy's own parts.
	switch {
	case replaced < done:
	case c.outcome == booking.Wait || retries(c.outcome):
		s.locked(&c.cold, booking.StepStatus, c.outcome, done)
		return
	case c.outcome == booking.Closed:
		s.over(&c.cold, policy.SawClosed, done)
		return
	case c.outcome == booking.Open && replaced >= done+2*s.half:
		s.formAtHand(&c.cold, done)
		return
	}
	var v policy.Visitor
	c.into(&v)
	told := func(now time.Duration, r policy.Reply) policy.Move {
		u := policy.User{Visit: v.Visit + 1, ConfigVersion: uint32(c.version), HasConfig: true}
		if replaced < now {
			u.Visit = 0
		}
		return s.program.Next(&v, &u, s.runtimes[c.version], now, policy.Replied, r, s.lucky)
	}
	m := told(done, policy.Reply{Outcome: c.outcome, NoRetry: c.outcome == booking.Closed})
	if m.Kind != policy.Send {
		s.follow(&c.cold, &v, m, done)
		return
	}
	// Booking is open, and the catalogue is at hand.
	stages := c.stages()
	s.mark(&stages, c.group, v.Phase, done, m.Marks)
	c.reach(stages)
	s.sends(m, done)
	now := done + 2*s.half
	s.answer(booking.StepCatalogue, booking.OK, c.group, done, done, now)
	m = told(now, policy.Reply{Outcome: booking.OK})
	s.follow(&c.cold, &v, m, now)
}

// formAtHand lets a visit go on that was told at a moment that booking is open, and
// whose catalogue is at the edge.
func (s *shard) formAtHand(c *cold, told time.Duration) {
	stages := c.stages()
	s.crowd.reach(&stages, c.group, stageForm)
	c.reach(stages)
	s.sends(policy.Move{Step: booking.StepCatalogue, Attempt: 1}, told)
	now := told + 2*s.half
	s.answer(booking.StepCatalogue, booking.OK, c.group, told, told, now)
	c.state = uint8(policy.PhaseForm) | c.state&^0xf
	s.pressAt(c, now+s.form.Of(s.luck.U64(booking.DrawForm, uint64(c.visit), 0))) // Program.FormFilled
}

// close ends whoever is under way as in-flight, and gives the tables up: adding the
// shards up needs room too.
func (s *shard) close() {
	end := time.Duration(s.taken+1) << s.shift // before the run's when that was cut short
	if end < s.runEnd {
		for i := range s.clients {
			if c := &s.clients[i]; c.holdAhead&aheadMask != 0 {
				s.cutPath(c, uint32(i)<<s.bits|s.number, policy.InFlight, end-1)
			}
		}
	}
	s.cal.All(func(n int64, c *cold) { s.cutShort(c, time.Duration(n)<<s.shift+time.Duration(c.at), end) })
	s.countPaths()
	for _, f := range s.fetches[s.fetched:] {
		s.alive--
		s.crowd.ended[f.group][policy.InFlight]++
	}
	s.fetches, s.fetched = nil, 0
	if s.cut.n > 0 {
		s.fail("%d visits were replaced ahead of time and never heard of it", s.cut.n)
	}
	s.clients, s.comes, s.cut, s.pages, s.spare, s.fresh = nil, nil, moments{}, nil, nil, nil
	s.cal, s.arrivals, s.calls, s.due, s.keys, s.other = nil, [drawnKept][]arrival{}, [3][]call{}, nil, nil, nil
	for sec, n := range s.lost {
		if n > 0 {
			s.tally.countN(countPresses, sec, uint64(n))
			s.tally.countN(countCoinLost, sec, uint64(n))
		}
	}
}
