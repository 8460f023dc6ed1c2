package attack

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"time"

	"spillway/internal/booking"
	"spillway/internal/draw"
	"spillway/internal/policy"
	"spillway/internal/record"
	"spillway/scenarios"
)

// plan is what the runner needs of a scenario, so that tests can drive visitors
// without a file.
type plan struct {
	program  policy.Program
	luck     draw.Seed
	classes  []booking.Class
	arrivals iter.Seq2[booking.VisitID, time.Duration] // strictly increasing times
	userOf   func(booking.VisitID) booking.UserID
	bots     []scenarios.BotArrival
	// held tells which config a user's client holds from before the run; nil = none.
	held func(booking.UserID) (runtime policy.Runtime, fetchedAt time.Duration, ok bool)
}

// maxUsers bounds the table of users: at 32 bytes each, 2 GiB. Guangzhou's ten
// million fit six times.
const maxUsers = 1 << 26

// arrival is one visit to come.
type arrival struct {
	at    time.Duration
	visit booking.VisitID
	user  booking.UserID
}

// place is where one visitor under way is kept.
type place struct {
	v      policy.Visitor
	stages uint8 // bit i = stage i of record.Stages reached
	group  uint8
	used   bool
}

// client is one user's client between visits.
type client struct {
	policy.User
	known bool // what it held before the run has been looked up
}

// sessions is the driver of visitors: policy.Program fed with the events of the
// agenda. Not safe for concurrent use.
type sessions struct {
	plan
	tally *tally

	arrivals []arrival // people and bots, in order
	begun    int       // of arrivals

	clients  []client
	nobody   client // stands in for a bot's client, which remembers nothing
	runtimes []policy.Runtime
	versions map[policy.Runtime]uint32

	places []*[1 << chunkBits]place
	made   uint32
	free   []uint32

	groups   []record.Group
	pressers []record.Presser
	alive    int // visitors under way

	accepted func(booking.Ticket, booking.UserID, int)
	// trace, when set, is told every event and what followed; for tests.
	trace func(v *policy.Visitor, now time.Duration, kind eventKind, r policy.Reply, m policy.Move)
}

// Stage bits, in the order of record.Stages.
const (
	stageVisit uint8 = iota
	stageBooks
	stageForm
	stagePressed
	stagePassed
	stageSubmitted
	stageAccepted
	stageConfirmed
)

// defaultRuntime is what a client does that has never seen a config: the original
// program carried its own gate at 20 % (public copies of the client).
var defaultRuntime = policy.Runtime{Gate: policy.GateOriginal, Probability: 0.20, Results: true}

func newSessions(p plan, rec *record.Record) (*sessions, error) {
	s := &sessions{plan: p, versions: map[policy.Runtime]uint32{}}
	s.runtimes = []policy.Runtime{defaultRuntime}
	names := make([]string, 0, len(p.classes)+2)
	for _, c := range p.classes {
		names = append(names, c.Name)
	}
	if len(names) == 0 {
		names = append(names, "everybody")
	}
	if len(p.bots) > 0 {
		names = append(names, record.GroupBots)
	}
	if len(names) > 255 {
		return nil, fmt.Errorf("attack: %d classes: 254 at most", len(p.classes))
	}
	for _, n := range names {
		s.groups = append(s.groups, record.Group{Name: n, Stages: map[string]uint64{}, Finals: map[string]uint64{}})
	}
	s.tally = newTally(rec, names)

	last, users := time.Duration(-1), booking.UserID(0)
	for visit, at := range p.arrivals {
		if at <= last || visit >= scenarios.BotVisits {
			return nil, fmt.Errorf("attack: visit %d arrives at %v, not after the one before at %v: arrivals must increase", visit, at, last)
		}
		a := arrival{at: at, visit: visit, user: p.userOf(visit)}
		last, users = at, max(users, a.user+1)
		s.arrivals = append(s.arrivals, a)
	}
	if users > maxUsers {
		return nil, fmt.Errorf("%w: %d users: %d at most; use a smaller people scale", ErrInput, users, maxUsers)
	}
	s.clients = make([]client, users)
	for _, b := range p.bots {
		s.arrivals = append(s.arrivals, arrival{at: b.At, visit: b.Visit, user: b.User})
	}
	if len(p.bots) > 0 {
		slices.SortFunc(s.arrivals, func(a, b arrival) int {
			return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.visit, b.visit))
		})
	}
	return s, nil
}

// version is the number under which a config is kept: equal configs share it.
// 0 is the default that needs no config.
func (s *sessions) version(rt policy.Runtime) uint32 {
	rt.Version = 0
	if v, ok := s.versions[rt]; ok {
		return v
	}
	v := uint32(len(s.runtimes))
	s.versions[rt] = v
	rt.Version = v
	s.runtimes = append(s.runtimes, rt)
	return v
}

// next implements driver.
func (s *sessions) next() (event, bool) {
	if s.begun == len(s.arrivals) {
		return event{}, false
	}
	a := &s.arrivals[s.begun]
	return event{due: a.at, visit: a.visit, kind: evArrive}, true
}

// arrivedBy is how many visits have begun or are due to, by t.
func (s *sessions) arrivedBy(t time.Duration) int {
	n, _ := slices.BinarySearchFunc(s.arrivals, t+1, func(a arrival, t time.Duration) int {
		if a.at < t {
			return -1
		}
		return 1
	})
	return n
}

func (s *sessions) place(ref uint32) *place {
	return &s.places[ref>>chunkBits][ref&(1<<chunkBits-1)]
}

func (s *sessions) takePlace() uint32 {
	if n := len(s.free); n > 0 {
		ref := s.free[n-1]
		s.free = s.free[:n-1]
		return ref
	}
	ref := s.made
	if ref&(1<<chunkBits-1) == 0 {
		s.places = append(s.places, new([1 << chunkBits]place))
	}
	s.made++
	return ref
}

// client is the client of a visitor, with what it held from before the run.
func (s *sessions) client(v *policy.Visitor) *client {
	if v.Bot {
		return &s.nobody
	}
	c := &s.clients[v.User]
	if !c.known {
		c.known = true
		if s.held != nil {
			if rt, at, ok := s.held(v.User); ok {
				c.HasConfig, c.ConfigAt, c.ConfigVersion = true, at, s.version(rt)
			}
		}
	}
	return c
}

// handle implements driver.
func (s *sessions) handle(ev event, reply *exchange, out *exchange) (policy.Move, uint32) {
	var ref uint32
	var what policy.Event
	var r policy.Reply
	switch ev.kind {
	case evArrive:
		a := s.arrivals[s.begun]
		s.begun++
		ref, what = s.takePlace(), policy.Arrive
		s.begin(s.place(ref), a)
	case evReply:
		ref, what, r = reply.ref, policy.Replied, reply.reply
		if reply.step == booking.StepConfig && r.Outcome == booking.OK {
			r.Config = s.version(reply.runtime)
		}
	default:
		ref, what = ev.ref, policy.Wake
	}
	p := s.place(ref)
	v := &p.v
	c := s.client(v)
	if what == policy.Replied && reply.step == booking.StepSubmit &&
		(r.Outcome == booking.Queued || r.Outcome == booking.Confirmed) {
		s.reach(p, stageAccepted)
	}
	m := s.program.Next(v, &c.User, s.runtimes[c.ConfigVersion], ev.due, what, r, s.luck)
	if s.trace != nil {
		s.trace(v, ev.due, ev.kind, r, m)
	}
	s.mark(p, ev.due, m)
	switch m.Kind {
	case policy.Send:
		s.fill(out, p, c, m, ev.due)
	case policy.End:
		s.over(p, ev.due)
		s.free = append(s.free, ref)
	}
	return m, ref
}

func (s *sessions) begin(p *place, a arrival) {
	class := policy.ClassOf(s.classes, a.user)
	*p = place{used: true, group: uint8(max(class, 0))}
	if a.visit >= scenarios.BotVisits {
		p.v = s.program.NewBot(a.visit, a.user, class, s.luck)
		p.group = uint8(len(s.groups) - 1)
	} else {
		p.v = s.program.New(a.visit, a.user, class, s.luck)
	}
	s.alive++
	s.groups[p.group].Visitors++
	s.tally.rec.Count(record.CountVisits, a.at, 1)
	s.reach(p, stageVisit)
	if p.v.Bot {
		s.reach(p, stageBooks)
	}
}

var stageNames = record.Stages()

// reach counts a visit once in a stage of the funnel.
func (s *sessions) reach(p *place, stage uint8) {
	if p.stages&(1<<stage) != 0 {
		return
	}
	p.stages |= 1 << stage
	s.groups[p.group].Stages[stageNames[stage]]++
}

// mark counts what a move says happened.
func (s *sessions) mark(p *place, now time.Duration, m policy.Move) {
	rec := s.tally.rec
	if p.v.Phase == policy.PhaseNotice {
		s.reach(p, stageBooks)
	}
	if m.Marks&policy.MarkForm != 0 {
		s.reach(p, stageForm)
	}
	if m.Marks&policy.MarkPress != 0 {
		s.reach(p, stagePressed)
		rec.Count(record.CountPresses, now, 1)
	}
	if m.Marks&policy.MarkFirstPress != 0 {
		rec.Count(record.CountFirst, now, 1)
	}
	if m.Marks&policy.MarkCoinLost != 0 {
		rec.Count(record.CountCoinLost, now, 1)
	}
	if m.Marks&policy.MarkCoinPassed != 0 {
		s.reach(p, stagePassed)
		rec.Count(record.CountCoinPassed, now, 1)
	}
}

// fill describes the request of a Send.
func (s *sessions) fill(x *exchange, p *place, c *client, m policy.Move, now time.Duration) {
	v := &p.v
	x.user, x.ticket, x.item, x.bot, x.group = v.User, v.Ticket, v.Item, v.Bot, p.group
	x.step, x.attempt, x.timeout, x.base = m.Step, m.Attempt, m.Timeout, now
	switch m.Step {
	case booking.StepSubmit:
		x.base = v.PressedAt
		if !v.Bot && s.runtimes[c.ConfigVersion].Gate == policy.GateCoin {
			x.epoch, x.hasEpoch = v.Epoch, true
		}
	case booking.StepCatalogue:
		x.english = s.program.InEnglish(v.User, s.luck)
	}
}

// fold implements driver.
func (s *sessions) fold(x *exchange) {
	s.tally.fold(x)
	if x.unsent || x.step != booking.StepSubmit {
		return
	}
	s.reach(s.place(x.ref), stageSubmitted)
	if s.accepted != nil && !x.cut && (x.reply.Outcome == booking.Queued || x.reply.Outcome == booking.Confirmed) {
		s.accepted(x.reply.Ticket, x.user, int(x.item))
	}
}

// over closes the books on a visit that ended.
func (s *sessions) over(p *place, now time.Duration) {
	v := &p.v
	s.alive--
	s.groups[p.group].Finals[v.Final.String()]++
	var o booking.Outcome
	switch v.Final {
	case policy.GotConfirmed:
		o = booking.Confirmed
		s.reach(p, stageConfirmed)
	case policy.GotRefused:
		o = booking.Refused
	case policy.SawClosed:
		o = booking.Closed
	case policy.GotDuplicate:
		o = booking.Duplicate
	case policy.GaveUpWaiting, policy.GaveUpAtGate, policy.GaveUpRefused, policy.GaveUpError:
		s.tally.rec.Count(record.CountGaveUp, now, 1)
	}
	if v.Presses > 0 {
		if o != 0 {
			s.tally.hist(spanBooking, record.Response, o, p.group, v.FirstPress).Add(now - v.FirstPress)
		}
		if !v.Bot {
			s.pressers = append(s.pressers, record.Presser{At: v.FirstPress, Visit: v.Visit, Confirmed: v.Final == policy.GotConfirmed})
		}
	}
	p.used = false
}

// close ends the visits that are still under way as in-flight and writes groups
// and deciles into the record. It fails when visitors do not sum up.
func (s *sessions) close() error {
	for i := range s.made {
		if p := s.place(i); p.used {
			p.v.Final = policy.InFlight
			s.over(p, 0)
		}
	}
	rec := s.tally.rec
	rec.Groups = s.groups
	rec.Deciles = record.Deciles(s.pressers)
	var begun uint64
	for _, g := range s.groups {
		var ended uint64
		for _, n := range g.Finals {
			ended += n
		}
		if ended != g.Visitors {
			return fmt.Errorf("attack: group %s: %d visits began and %d ended: they must agree", g.Name, g.Visitors, ended)
		}
		begun += ended
	}
	if begun != uint64(s.begun) || s.alive != 0 {
		return fmt.Errorf("attack: %d visits arrived, %d are accounted for, %d are left: they must agree", s.begun, begun, s.alive)
	}
	return nil
}
