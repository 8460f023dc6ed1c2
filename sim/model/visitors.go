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

// client is what one user's client remembers between visits: policy.User, and what a
// shard has foreseen of the last visit, in 20 bytes, for five million of them are kept.
type client struct {
	visit      uint32 // the open visit, plus one; 0 = none
	configLow  uint32 // see configAt
	openedLow  uint32 // see remembers; where nothing is foreseen the version beyond 255
	configHigh int16
	openedHigh uint16
	holdAhead  uint16 // hold, and how many windows the path is remembered for; 0 = not at all
	versionLow uint8
	flags      uint8
}

// Bits of holdAhead.
const (
	holdShift = 14
	aheadMask = 1<<holdShift - 1
)

// configAt is when the config came, to which 48 bits are kept: 39 hours. Of a moved client
// it is a window.
func (c *client) configAt() time.Duration {
	return time.Duration(c.configHigh)<<32 | time.Duration(c.configLow)
}

func (c *client) setConfigAt(at time.Duration) {
	c.configLow, c.configHigh = uint32(at), int16(at>>32)
}

func (c *client) holds() policy.Hold { return policy.Hold(c.holdAhead >> holdShift) }

func (c *client) setHolds(h policy.Hold) {
	c.holdAhead = c.holdAhead&aheadMask | uint16(h)<<holdShift
}

// version is that of a client of which nothing is foreseen: in the plain engine, or moved.
func (c *client) version() uint32 { return uint32(c.versionLow) | c.openedLow<<8 }

func (c *client) setVersion(v uint32) { c.versionLow, c.openedLow = uint8(v), v>>8 }

const (
	hasConfig uint8 = 1 << iota
	known           // what it held before the run has been looked up
	moved           // the servers' part has it, see windows
	books           // its last visit tries to book, if a shard leads it

	// The group, looked up once, in the bits above; unknown when it does not fit.
	groupShift         = 4
	groupUnknown uint8 = 0xf
)

// placesMade is how many places are made at once, so that growing copies nothing.
const placesMade = 1 << 10

// place is where one visit under way is kept.
type place struct {
	v       policy.Visitor
	stages  uint8 // bit i = stage i of record.Stages reached
	group   uint8
	used    bool
	lent    bool   // by a shard, which keeps its user's client; see windows
	version uint8  // of the config that the client of a lent one holds
	client  uint32 // in the window engine, where the client of any other is kept
}

// visitors are the people and the bots.
type visitors struct {
	crowd
	clients  []client
	runtimes []policy.Runtime // by version; 0 = a client that never saw a config
	places   []*[placesMade]place
	made     uint32
	spare    []uint32
	groups   []string
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
	e.runtimes = append([]policy.Runtime{defaultRuntime}, e.sc.Runtimes()...)
	for i := range e.runtimes[1:] {
		e.runtimes[1+i].Coin = e.admission.coin
	}
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
	e.crowd = newCrowd(newTally(e.rec, e.groups), e.end, e.opt.exactPressers)
	begin := func(i uint64) { e.begin(bots[i].Visit, bots[i].User, 0, bots[i].At) }
	for i, b := range bots {
		e.kernel.AtKey(b.At, people, uint64(b.Visit), begin, uint64(i))
	}
	return nil
}

func (v *visitors) place(ref uint32) *place { return &v.places[ref/placesMade][ref%placesMade] }

// user is the visitor's client, with what it held from before the run. A bot
// remembers nothing.
func (e *evening) user(p *place) policy.User {
	switch {
	case p.v.Bot:
		return policy.User{}
	case p.lent:
		return e.windows.userOf(p)
	}
	c := e.client(p)
	c.recall(e.sc, p.v.User)
	return c.user()
}

// client is what the client of a visit's user remembers.
func (e *evening) client(p *place) *client {
	if e.windows != nil {
		return &e.windows.moved[p.client].client
	}
	return &e.clients[p.v.User]
}

// recall looks up what the client held from before the run, once.
func (c *client) recall(sc *scenarios.Scaled, user booking.UserID) {
	if c.flags&known != 0 {
		return
	}
	c.flags |= known | groupUnknown<<groupShift
	if at, ok := sc.ConfigCopy(user); ok {
		c.flags |= hasConfig
		c.setConfigAt(at)
		c.setVersion(uint32(sc.RuntimeAt(at).Version))
	}
}

// user is the client as the policy sees it.
func (c *client) user() policy.User {
	return policy.User{Visit: booking.VisitID(c.visit), ConfigAt: c.configAt(), ConfigVersion: c.version(),
		HasConfig: c.flags&hasConfig != 0, Holds: c.holds()}
}

// remember keeps what the policy made of the client.
func (c *client) remember(u policy.User) {
	c.visit = uint32(u.Visit)
	c.setConfigAt(u.ConfigAt)
	c.setVersion(u.ConfigVersion)
	c.setHolds(u.Holds)
	if u.HasConfig {
		c.flags |= hasConfig
	}
}

// seat gives a visit a place.
func (e *evening) seat() (ref uint32, p *place) {
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
	p = e.place(ref)
	*p = place{used: true}
	return ref, p
}

// begin starts a visit; in the window engine client is where its user's is kept.
func (e *evening) begin(visit booking.VisitID, user booking.UserID, client uint32, now time.Duration) {
	if now >= e.end {
		return
	}
	class := policy.ClassOf(e.sc.Population.Classes, user)
	ref, p := e.seat()
	p.group, p.client = uint8(max(class, 0)), client
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
	e.start(p.group, now)
	p.stages = 1 << stageVisit
	if p.v.Bot {
		e.reach(&p.stages, p.group, stageBooks)
	}
	e.move(ref, now, policy.Arrive, policy.Reply{})
}

func (e *evening) wake(ref uint64) {
	e.move(uint32(ref), e.kernel.Now(), policy.Wake, policy.Reply{})
}

// move lets a visitor decide what to do next, and does it.
func (e *evening) move(ref uint32, now time.Duration, what policy.Event, r policy.Reply) {
	p := e.place(ref)
	u := e.user(p)
	m := e.program.Next(&p.v, &u, e.runtimes[u.ConfigVersion], now, what, r, e.lucky)
	if !p.v.Bot && !p.lent {
		e.client(p).remember(u)
	}
	e.mark(&p.stages, p.group, p.v.Phase, now, m.Marks)
	switch m.Kind {
	case policy.Wait:
		// What is due after the end is not of this run: the visit stays in flight.
		switch at := max(m.At, now); {
		case p.lent:
			e.windows.giveBack(ref, p, at)
		case at >= e.end:
		case e.windows != nil && e.windows.waits(ref, p, at):
		default:
			e.wakeAt(ref, p, at)
		}
	case policy.Send:
		e.send(ref, u.ConfigVersion, m, now)
	case policy.End:
		e.over(ref, p, now)
	}
}

// wakeAt lets a visit go on at a moment.
func (e *evening) wakeAt(ref uint32, p *place, at time.Duration) {
	e.kernel.AtKey(at, people, uint64(p.v.Visit), e.onWake, uint64(ref))
}

// over ends a visit and frees its place.
func (e *evening) over(ref uint32, p *place, now time.Duration) {
	e.crowd.end(&p.v, &p.stages, p.group, now)
	if e.windows != nil {
		e.windows.left(p)
	}
	p.used = false
	e.spare = append(e.spare, ref)
}

// closeVisitors ends the visits that are under way as in-flight and writes groups
// and deciles.
func (e *evening) closeVisitors() {
	for i := range e.made {
		if p := e.place(i); p.used {
			p.v.Final = policy.InFlight
			e.over(i, p, 0)
		}
	}
	e.rec.Groups = e.groupsOf()
	e.rec.Deciles = e.pressers.deciles()
}
