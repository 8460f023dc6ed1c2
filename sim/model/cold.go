package model

import (
	"time"

	"spillway/internal/booking"
	"spillway/internal/policy"
)

// cold is a visit between two contacts with the servers: 32 bytes, for millions of
// them wait.
type cold struct {
	first    time.Duration // of the first press
	at       uint32        // when it goes on, within its window, ns
	visit    uint32
	user     uint32
	presses  uint16
	locks    uint16
	statuses uint16
	submits  uint16
	state    uint8 // phase, and from the fourth bit on what is done again
	reached  uint8 // cause of the lock, form and passed
	group    uint8
	version  uint8 // of the config that its client holds
}

const (
	formReached   uint8 = 1 << 6
	passedReached uint8 = 1 << 7
	causeMask     uint8 = 1<<6 - 1
	versionsMax         = 1 << 8 // configs of a scenario that the window engine can tell apart
)

func (c *cold) phase() policy.Phase    { return policy.Phase(c.state & 0xf) }
func (c *cold) again() booking.Step    { return booking.Step(c.state >> 4) }
func (c *cold) cause() booking.Outcome { return booking.Outcome(c.reached & causeMask) }

func (c *cold) lock(again booking.Step, cause booking.Outcome) {
	c.state = uint8(policy.PhaseLocked) | uint8(again)<<4
	c.reached = c.reached&^causeMask | uint8(cause)
	c.locks++
}

// polls is how often a visit has polled that holds a ticket: its button is never
// locked again, so the two share a place.
func (c *cold) polls() *uint16 { return &c.locks }

// lost is how many presses before the moment for which a visit waits it has lost ahead
// of time, see shard.runAhead: with an open form nobody asks for the status again, so
// the two share a place.
func (c *cold) lost() *uint16 { return &c.statuses }

func (c *cold) holdsTicket() bool {
	return c.phase() == policy.PhasePollWait || c.phase() == policy.PhasePollReq
}

// from packs a visitor whose item is its first choice, or no longer matters, and
// whose ticket, if it holds one, is its user's row.
func (c *cold) from(v *policy.Visitor) {
	c.visit, c.user, c.first = uint32(v.Visit), uint32(v.User), v.FirstPress
	c.presses, c.locks, c.statuses, c.submits = v.Presses, v.Locks, v.Statuses, v.Submits
	c.state = uint8(v.Phase) | uint8(v.Again)<<4
	c.reached = c.reached&^causeMask | uint8(v.Cause)
	if c.holdsTicket() {
		*c.polls() = v.Polls
	}
}

func (c *cold) into(v *policy.Visitor) {
	v.Visit, v.User, v.FirstPress = booking.VisitID(c.visit), booking.UserID(c.user), c.first
	v.Presses, v.Locks, v.Statuses, v.Submits = c.presses, c.locks, c.statuses, c.submits
	v.Phase, v.Again, v.Cause = c.phase(), c.again(), c.cause()
	if c.holdsTicket() {
		v.Polls, v.Locks = *c.polls(), 0
	}
}

// stages are the stages of the funnel that the visit has reached.
func (c *cold) stages() uint8 {
	s := uint8(1<<stageVisit | 1<<stageBooks)
	if c.reached&formReached != 0 {
		s |= 1 << stageForm
	}
	if c.presses > 0 {
		s |= 1 << stagePressed
	}
	if c.reached&passedReached != 0 {
		s |= 1 << stagePassed
	}
	if c.submits > 0 {
		s |= 1 << stageSubmitted
	}
	return s
}

func (c *cold) reach(stages uint8) {
	if stages&(1<<stageForm) != 0 {
		c.reached |= formReached
	}
	if stages&(1<<stagePassed) != 0 {
		c.reached |= passedReached
	}
}
