package model

import (
	"cmp"
	"slices"
	"time"

	"spillway/internal/booking"
	"spillway/internal/policy"
	"spillway/internal/record"
)

// crowd counts what visits do and how they end. There is one for those that the
// sequential engine or the servers' part of the window engine leads, and one for
// each shard; crowds add up.
type crowd struct {
	tally    *tally
	begun    uint64
	alive    int
	started  []uint64                     // by group
	reached  [][stageConfirmed + 1]uint64 // by group and stage; the first stage is started
	ended    [][finalsMax]uint64          // by group and final
	pressers pressers
}

func newCrowd(t *tally, length time.Duration, exact int) crowd {
	n := len(t.groups)
	// A line to spare, so that no two crowds count in the same one.
	return crowd{tally: t, started: make([]uint64, n, n+8), reached: make([][stageConfirmed + 1]uint64, n, n+1),
		ended: make([][finalsMax]uint64, n, n+1), pressers: pressers{width: pressWidth(length), exact: cmp.Or(exact, pressersMax)}}
}

// finalsMax is more than there are finals, and a power of two.
const finalsMax = 16

// start counts a visit that begins.
func (c *crowd) start(group uint8, now time.Duration) {
	c.begun++
	c.alive++
	c.started[group]++
	c.tally.count(countVisits, now)
}

// reach counts a visit once in a stage of the funnel.
func (c *crowd) reach(stages *uint8, group, stage uint8) {
	if *stages&(1<<stage) == 0 {
		*stages |= 1 << stage
		c.reached[group][stage]++
	}
}

// mark counts what a move says happened.
func (c *crowd) mark(stages *uint8, group uint8, phase policy.Phase, now time.Duration, marks policy.Marks) {
	if phase == policy.PhaseNotice {
		c.reach(stages, group, stageBooks)
	}
	if marks == 0 {
		return
	}
	if marks&policy.MarkForm != 0 {
		c.reach(stages, group, stageForm)
	}
	if marks&policy.MarkPress != 0 {
		c.reach(stages, group, stagePressed)
		c.tally.count(countPresses, now)
	}
	if marks&policy.MarkFirstPress != 0 {
		c.tally.count(countFirst, now)
	}
	if marks&policy.MarkCoinLost != 0 {
		c.tally.count(countCoinLost, now)
	}
	if marks&policy.MarkCoinPassed != 0 {
		c.reach(stages, group, stagePassed)
		c.tally.count(countCoinPassed, now)
	}
}

// sends counts a request that goes out.
func (c *crowd) sends(m policy.Move, now time.Duration) {
	if m.Step == booking.StepPoll {
		c.tally.count(countPolls, now)
		return
	}
	c.tally.count(countRequests, now)
	if m.Attempt == 1 {
		c.tally.count(countFirstTries, now)
	}
	if m.Step == booking.StepSubmit {
		c.tally.count(countOffered, now)
	}
}

// end closes the books on a visit that ended.
func (c *crowd) end(v *policy.Visitor, stages *uint8, group uint8, now time.Duration) {
	c.alive--
	c.ended[group][v.Final]++
	var o booking.Outcome
	switch v.Final {
	case policy.GotConfirmed:
		o = booking.Confirmed
		c.reach(stages, group, stageConfirmed)
	case policy.GotRefused:
		o = booking.Refused
	case policy.SawClosed:
		o = booking.Closed
	case policy.GotDuplicate:
		o = booking.Duplicate
	case policy.GaveUpWaiting, policy.GaveUpAtGate, policy.GaveUpRefused, policy.GaveUpError:
		c.tally.count(countGaveUp, now)
	}
	if v.Presses > 0 {
		if o != 0 {
			c.tally.hist(spanBooking, record.Response, o, group, v.FirstPress).Add(now - v.FirstPress)
		}
		if !v.Bot {
			c.pressers.add(v.FirstPress, uint32(v.Visit), v.Final == policy.GotConfirmed)
		}
	}
}

// add adds another crowd's counts; its tally is the caller's to add.
func (c *crowd) add(o *crowd) {
	c.begun += o.begun
	c.alive += o.alive
	for g := range c.started {
		c.started[g] += o.started[g]
		for i, n := range o.reached[g] {
			c.reached[g][i] += n
		}
		for i, n := range o.ended[g] {
			c.ended[g][i] += n
		}
	}
	c.pressers.merge(&o.pressers)
}

// groupsOf is the funnel of every group.
func (c *crowd) groupsOf() (out []record.Group) {
	stages, finals := record.Stages(), policy.Finals()
	for i, name := range c.tally.groups {
		g := record.Group{Name: name, Visitors: c.started[i], Stages: map[string]uint64{}, Finals: map[string]uint64{}}
		c.reached[i][stageVisit] = c.started[i]
		for s, n := range c.reached[i] {
			if n > 0 {
				g.Stages[stages[s]] = n
			}
		}
		for f, n := range c.ended[i] {
			if n > 0 {
				g.Finals[finals[f].String()] = n
			}
		}
		out = append(out, g)
	}
	return out
}

// pressers remembers who pressed first when, for the tenths. Up to pressersMax of
// them it does so exactly; beyond, their moments are rounded to one in 2^18 of the
// run (82 ms of six hours), so that fifty million of them cost no more than a million.
type pressers struct {
	width time.Duration
	exact int // so many are remembered exactly
	list  []presser
	bins  [][2]uint32 // not confirmed, confirmed; nil = exact
	n     uint64
}

type presser struct {
	at        time.Duration
	visit     uint32
	confirmed bool
}

const (
	pressersMax  = 1 << 20
	pressersBins = 1 << 18
)

// pressWidth is the width of a bin for a run of a length.
func pressWidth(length time.Duration) time.Duration { return length/pressersBins + 1 }

func (p *pressers) add(at time.Duration, visit uint32, confirmed bool) {
	p.n++
	if p.bins != nil {
		p.bin(at, confirmed)
		return
	}
	p.list = append(p.list, presser{at, visit, confirmed})
	if len(p.list) > p.exact {
		p.round()
	}
}

func (p *pressers) bin(at time.Duration, confirmed bool) {
	i := min(max(int(at/p.width), 0), pressersBins)
	if confirmed {
		p.bins[i][1]++
	} else {
		p.bins[i][0]++
	}
}

// takeBack takes one back who was not confirmed, when moments are not exact any more.
func (p *pressers) takeBack(at time.Duration) {
	p.n--
	p.bins[min(max(int(at/p.width), 0), pressersBins)][0]--
}

// round gives up exact moments.
func (p *pressers) round() {
	if p.bins != nil {
		return
	}
	p.bins = make([][2]uint32, pressersBins+1)
	for _, x := range p.list {
		p.bin(x.at, x.confirmed)
	}
	p.list = nil
}

func (p *pressers) merge(o *pressers) {
	p.n += o.n
	if p.n > uint64(p.exact) || o.bins != nil {
		p.round()
		o.round()
		for i, b := range o.bins {
			p.bins[i][0] += b[0]
			p.bins[i][1] += b[1]
		}
		return
	}
	p.list = append(p.list, o.list...)
}

// deciles are the tenths. Rounded, a bin belongs to the tenth of its first.
func (p *pressers) deciles() []record.Decile {
	if p.n == 0 {
		return nil
	}
	out := make([]record.Decile, 10)
	count := func(before, all, confirmed uint64) {
		d := &out[before*10/p.n]
		d.Pressers += all
		d.Confirmed += confirmed
	}
	if p.bins != nil {
		var before uint64
		for _, b := range p.bins {
			if all := uint64(b[0]) + uint64(b[1]); all > 0 {
				count(before, all, uint64(b[1]))
				before += all
			}
		}
		return out
	}
	slices.SortFunc(p.list, func(a, b presser) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.visit, b.visit))
	})
	for i, x := range p.list {
		var confirmed uint64
		if x.confirmed {
			confirmed = 1
		}
		count(uint64(i), 1, confirmed)
	}
	return out
}
