package model

import (
	"fmt"
	"math"
	"time"

	"spillway/internal/booking"
	"spillway/internal/policy"
	"spillway/internal/record"
	"spillway/scenarios"
)

// maxVisits and maxUsers bound what the tables can name. The day has 170 million
// visits and 5 million users.
const (
	maxVisits = math.MaxUint32 - 1
	maxUsers  = 1 << 28
)

// client is what one user's client remembers between visits: policy.User in 16
// bytes, for five million of them are kept.
type client struct {
	configAt time.Duration
	visit    uint32 // the open visit, plus one; 0 = none
	version  uint16
	holds    policy.Hold
	flags    uint8
}

const (
	hasConfig uint8 = 1 << iota
	known           // what it held before the run has been looked up
)

// placesMade is how many places are made at once, so that growing copies nothing.
const placesMade = 1 << 10

// place is where one visit under way is kept.
type place struct {
	v      policy.Visitor
	stages uint8 // bit i = stage i of record.Stages reached
	group  uint8
	used   bool
}

// visitors are the people and the bots.
type visitors struct {
	clients  []client
	runtimes []policy.Runtime // by version; 0 = a client that never saw a config
	places   []*[placesMade]place
	made     uint32
	spare    []uint32
	begun    uint64
	alive    int
	groups   []string
	reached  [][]uint64 // by group and stage
	ended    [][]uint64 // by group and final
	started  []uint64   // by group
	pressers []record.Presser
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

func (e *evening) openVisitors() error {
	if n := e.sc.Population.Users; n > maxUsers {
		return fmt.Errorf("%.0f users: %d at most; thin people", n, maxUsers)
	}
	if n := e.sc.Prediction.Visits; n > maxVisits*0.99 {
		return fmt.Errorf("%.3g visits: %.3g at most; thin people", n, float64(maxVisits))
	}
	e.clients = make([]client, int(e.sc.Population.Users))
	e.runtimes = []policy.Runtime{defaultRuntime}
	for _, c := range e.sc.Population.Classes {
		e.groups = append(e.groups, c.Name)
	}
	if len(e.groups) == 0 {
		e.groups = append(e.groups, "everybody")
	}
	bots := e.sc.Bots()
	if len(bots) > 0 {
		e.groups = append(e.groups, record.GroupBots)
	}
	if len(e.groups) > 255 {
		return fmt.Errorf("%d classes: 254 at most", len(e.sc.Population.Classes))
	}
	for range e.groups {
		e.reached = append(e.reached, make([]uint64, len(record.Stages())))
		e.ended = append(e.ended, make([]uint64, len(policy.Finals())))
	}
	e.started = make([]uint64, len(e.groups))
	begin := func(i uint64) { e.begin(bots[i].Visit, bots[i].User, bots[i].At) }
	for i, b := range bots {
		e.kernel.AtKey(b.At, people, uint64(b.Visit), begin, uint64(i))
	}
	return nil
}

func (v *visitors) place(ref uint32) *place { return &v.places[ref/placesMade][ref%placesMade] }

// learn keeps a config under its version and returns that.
func (e *evening) learn(rt policy.Runtime) uint32 {
	for len(e.runtimes) <= int(rt.Version) {
		e.runtimes = append(e.runtimes, policy.Runtime{})
	}
	if e.runtimes[rt.Version].Version == 0 {
		rt.Coin = e.admission.coin
		e.runtimes[rt.Version] = rt
	}
	return rt.Version
}

// user is the visitor's client, with what it held from before the run. A bot
// remembers nothing.
func (e *evening) user(v *policy.Visitor) policy.User {
	if v.Bot {
		return policy.User{}
	}
	c := &e.clients[v.User]
	if c.flags&known == 0 {
		c.flags |= known
		if at, ok := e.sc.ConfigCopy(v.User); ok {
			c.flags |= hasConfig
			c.configAt, c.version = at, uint16(e.learn(e.sc.RuntimeAt(at)))
		}
	}
	return policy.User{Visit: booking.VisitID(c.visit), ConfigAt: c.configAt, ConfigVersion: uint32(c.version),
		HasConfig: c.flags&hasConfig != 0, Holds: c.holds}
}

func (e *evening) remember(v *policy.Visitor, u policy.User) {
	if v.Bot {
		return
	}
	c := &e.clients[v.User]
	c.visit, c.configAt, c.version, c.holds = uint32(u.Visit), u.ConfigAt, uint16(u.ConfigVersion), u.Holds
	if u.HasConfig {
		c.flags |= hasConfig
	}
}

// begin starts a visit.
func (e *evening) begin(visit booking.VisitID, user booking.UserID, now time.Duration) {
	if now >= e.end {
		return
	}
	var ref uint32
	if n := len(e.spare); n > 0 {
		ref = e.spare[n-1]
		e.spare = e.spare[:n-1]
	} else {
		ref = e.made
		if ref%placesMade == 0 {
			e.places = append(e.places, new([placesMade]place))
		}
		e.made++
	}
	class := policy.ClassOf(e.sc.Population.Classes, user)
	p := e.place(ref)
	*p = place{used: true, group: uint8(max(class, 0))}
	if visit >= scenarios.BotVisits {
		p.v = e.program.NewBot(visit, user, class, e.lucky)
		p.group = uint8(len(e.groups) - 1)
	} else {
		if visit >= maxVisits {
			e.fail("visit %d: more than the tables can name", visit)
			return
		}
		p.v = e.program.New(visit, user, class, e.lucky)
	}
	e.begun++
	e.alive++
	e.started[p.group]++
	e.tally.count(countVisits, now)
	e.reach(p, stageVisit)
	if p.v.Bot {
		e.reach(p, stageBooks)
	}
	e.move(ref, now, policy.Arrive, policy.Reply{})
}

func (e *evening) wake(ref uint64) {
	e.move(uint32(ref), e.kernel.Now(), policy.Wake, policy.Reply{})
}

// move lets a visitor decide what to do next, and does it.
func (e *evening) move(ref uint32, now time.Duration, what policy.Event, r policy.Reply) {
	p := e.place(ref)
	u := e.user(&p.v)
	m := e.program.Next(&p.v, &u, e.runtimes[u.ConfigVersion], now, what, r, e.lucky)
	e.remember(&p.v, u)
	e.mark(p, now, m)
	switch m.Kind {
	case policy.Wait:
		// What is due after the end is not of this run: the visit stays in flight.
		if at := max(m.At, now); at < e.end {
			e.kernel.AtKey(at, people, uint64(p.v.Visit), e.onWake, uint64(ref))
		}
	case policy.Send:
		e.send(ref, u.ConfigVersion, m, now)
	case policy.End:
		e.over(p, now)
		e.spare = append(e.spare, ref)
	}
}

// reach counts a visit once in a stage of the funnel.
func (e *evening) reach(p *place, stage uint8) {
	if p.stages&(1<<stage) == 0 {
		p.stages |= 1 << stage
		e.reached[p.group][stage]++
	}
}

// mark counts what a move says happened.
func (e *evening) mark(p *place, now time.Duration, m policy.Move) {
	if p.v.Phase == policy.PhaseNotice {
		e.reach(p, stageBooks)
	}
	if m.Marks == 0 {
		return
	}
	if m.Marks&policy.MarkForm != 0 {
		e.reach(p, stageForm)
	}
	if m.Marks&policy.MarkPress != 0 {
		e.reach(p, stagePressed)
		e.tally.count(countPresses, now)
	}
	if m.Marks&policy.MarkFirstPress != 0 {
		e.tally.count(countFirst, now)
	}
	if m.Marks&policy.MarkCoinLost != 0 {
		e.tally.count(countCoinLost, now)
	}
	if m.Marks&policy.MarkCoinPassed != 0 {
		e.reach(p, stagePassed)
		e.tally.count(countCoinPassed, now)
	}
}

// over closes the books on a visit that ended.
func (e *evening) over(p *place, now time.Duration) {
	v := &p.v
	e.alive--
	e.ended[p.group][v.Final]++
	var o booking.Outcome
	switch v.Final {
	case policy.GotConfirmed:
		o = booking.Confirmed
		e.reach(p, stageConfirmed)
	case policy.GotRefused:
		o = booking.Refused
	case policy.SawClosed:
		o = booking.Closed
	case policy.GotDuplicate:
		o = booking.Duplicate
	case policy.GaveUpWaiting, policy.GaveUpAtGate, policy.GaveUpRefused, policy.GaveUpError:
		e.tally.count(countGaveUp, now)
	}
	if v.Presses > 0 {
		if o != 0 {
			e.tally.hist(spanBooking, record.Response, o, p.group, v.FirstPress).Add(now - v.FirstPress)
		}
		if !v.Bot {
			e.pressers = append(e.pressers, record.Presser{At: v.FirstPress, Visit: v.Visit, Confirmed: v.Final == policy.GotConfirmed})
		}
	}
	p.used = false
}

// closeVisitors ends the visits that are under way as in-flight and writes groups
// and deciles.
func (e *evening) closeVisitors() {
	for i := range e.made {
		if p := e.place(i); p.used {
			p.v.Final = policy.InFlight
			e.over(p, 0)
		}
	}
	stages, finals := record.Stages(), policy.Finals()
	for i, name := range e.groups {
		g := record.Group{Name: name, Visitors: e.started[i], Stages: map[string]uint64{}, Finals: map[string]uint64{}}
		for s, n := range e.reached[i] {
			if n > 0 {
				g.Stages[stages[s]] = n
			}
		}
		for f, n := range e.ended[i] {
			if n > 0 {
				g.Finals[finals[f].String()] = n
			}
		}
		e.rec.Groups = append(e.rec.Groups, g)
	}
	e.rec.Deciles = record.Deciles(e.pressers)
}
