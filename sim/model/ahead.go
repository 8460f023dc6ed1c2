package model

import (
	"math"
	"time"

	"spillway/internal/booking"
	"spillway/internal/draw"
	"spillway/internal/policy"
)

// Between two contacts with the servers a visit tosses its coin, loses, waits for the
// button and tosses again, until it passes, gives up or is replaced by a newer visit.
// All but the last follows from its draws, so a shard counts lost presses at once and
// lets the visit wait for the moment that is none of them. A newer visit only notes
// when it came: whoever wakes and finds itself replaced takes back what it has counted
// beyond. Nobody else hears of a lost press.

// gate is a config's gate as a visit meets it that runs ahead of time.
type gate struct {
	loses  bool   // some press may be lost, and its moment follows from the end of its lock
	coin   bool   // the draw is the coin's, by user and epoch; else the visit's, by press
	passes uint64 // a draw of 53 bits below this passes
	lines  policy.CoinLines
}

// unitBits is how many bits of a draw draw.Unit uses.
const unitBits = 53

// drawsBelow is how many draws of 53 bits are below a share, as draw.Unit compares them.
func drawsBelow(share float64) uint64 {
	return uint64(math.Ceil(min(max(share, 0), 1) * (1 << unitBits))) // exact: scaled by a power of two
}

// gatesOf are the gates of the configs, by version. A press that is lost locks the
// button; of the coin it must not hold it longer than that, or a moment would not
// follow from the next.
func gatesOf(runtimes []policy.Runtime, p *policy.Program) []gate {
	out := make([]gate, len(runtimes))
	for i, rt := range runtimes {
		switch rt.Gate {
		case policy.GateOriginal:
			percent := int(rt.Probability*100 + 0.5)
			low, high := uint64(0), uint64(1<<unitBits) // all below low pass, none from high on
			for low < high {
				if mid := low + (high-low)/2; policy.OriginalPasses(percent, draw.Unit(mid<<(64-unitBits))) {
					low = mid + 1
				} else {
					high = mid
				}
			}
			out[i] = gate{loses: low < 1<<unitBits, passes: low}
		case policy.GateCoin:
			out[i] = gate{coin: true, passes: drawsBelow(rt.Probability), loses: rt.Probability < 1 && rt.Coin.Period <= p.Lock, lines: rt.Coin.Lines()}
		}
	}
	return out
}

// aheadMost bounds the presses that a visit is led ahead at once, and comesAgain the
// share of the mean time between a user's visits that they may take: whoever is replaced
// meanwhile stays in the calendar until its moment, which costs more than a few presses.
// In the rush a user comes again within a minute; there 3 to 8 presses took as long, 2
// and 24 a fifth more. pathMost and comesBack are the same in windows for what is foreseen
// of a visit, where nobody waits: 0.7 and 4 of the mean time took some per cent longer.
const (
	aheadMost  = 24
	comesAgain = 0.4
	pathMost   = 1 << 13 // with what follows it fits aheadMask
	comesBack  = 1.5
)

// lookAhead is how many presses to go ahead while so many visits begin in a window, and how
// many windows along a path, which nobody has to wait for who is replaced.
func (s *shard) lookAhead(arrivals int) (presses uint32, windows int64) {
	p := &s.program
	between := float64(len(s.clients)) / float64(arrivals+1)
	presses = uint32(max(1, min(aheadMost, comesAgain*between*float64(int64(1)<<s.shift)/float64(p.Lock+(p.HumanMin+p.HumanMax)/2))))
	return presses, int64(max(1, min(pathMost, comesBack*between)))
}

// pressAt lets a visit wait that presses at a moment unless it gives up then: past all
// the presses that it loses.
func (s *shard) pressAt(c *cold, due time.Duration) {
	if !s.gates[c.version].loses || due >= s.runEnd {
		s.schedule(c, due)
		return
	}
	word, shift := s.bitsOf(c.visit)
	if *word>>shift&dead != 0 {
		s.schedule(c, due)
		return
	}
	before := c.presses
	due, _ = s.lose(c, due, uint32(before)+s.most, s.runEnd, -1, 1)
	if n := c.presses - before; n > 0 {
		*c.lost() = n
		*word |= ahead << shift
	}
	s.schedule(c, due)
}

// lose leads a visit that presses at a moment past the presses that it loses before a
// limit, so many of them at the most, and counts n for each after a moment: 1, or -1 to
// take it back. It returns when the visit presses that does not lose as far as is known
// here, or gives up.
//
// What is taken back must end at the limit, at which it ended before, or by giving up.
func (s *shard) lose(c *cold, due time.Duration, most uint32, limit, after time.Duration, n int32) (at time.Duration, givesUp bool) {
	g, p := &s.gates[c.version], &s.program
	var (
		id      = uint64(c.visit)
		presses = uint32(c.presses)
		locks   = uint32(c.locks)
		locked  = c.phase() == policy.PhaseLocked
		gives   = s.luck.Series(booking.DrawGiveUp, id) // givesUp
		human   = s.luck.Series(booking.DrawHuman, id)  // lostUntil
		line    policy.CoinLine
		later   uint64 // the draw at next, if it was drawn with the one before
		drawn   bool
	)
	again := n < 0 // what is taken back was lost: nobody need ask once more
	if g.coin && !again {
		line = g.lines.Of(booking.UserID(c.user))
	}
	for presses < most && due < limit {
		if givesUp = locked && gives.U64(locks)>>(64-unitBits) < s.givesUpBelow; givesUp {
			break
		}
		next := due + p.Lock + human.Between(locks+1, p.HumanMin, p.HumanMax)
		if p.Jitter {
			next = s.lostUntil(c.visit, locks+1, due)
		}
		if next >= s.runEnd {
			break // it is this press that waits beyond the end
		}
		var u uint64
		switch {
		case again:
			u = math.MaxUint64
		case !g.coin:
			u = s.luck.U64(booking.DrawCoin, id, presses+1)
		case drawn:
			u, drawn = later, false
		default: // two at once take hardly longer than one
			u, later = line.Draws(line.Epoch(due), line.Epoch(next))
			drawn = true
		}
		if u>>(64-unitBits) < g.passes {
			break
		}
		if presses == 0 {
			c.first = due
		}
		if due > after {
			s.lost[due/time.Second] += uint32(n)
			s.events += uint64(int64(n))
			if presses == 0 {
				s.countFirst(c.group, due, n)
			}
		}
		presses++
		locks++
		locked = true
		due = next
	}
	if presses > uint32(c.presses) {
		c.presses, c.locks = uint16(presses), uint16(locks-1)
		c.lock(booking.StepSubmit, 0)
	}
	return due, givesUp
}

// countFirst counts a visit's first press, or takes it back.
func (s *shard) countFirst(group uint8, at time.Duration, n int32) {
	s.crowd.reached[group][stagePressed] += uint64(int64(n))
	if n > 0 {
		s.tally.count(countFirst, at)
	} else {
		s.tally.takeBack(countFirst, at)
	}
}

// givesUp is whether Program.GivesUp says so.
func (s *shard) givesUp(visit, locks uint32) bool {
	return s.luck.U64(booking.DrawGiveUp, uint64(visit), locks)>>(64-unitBits) < s.givesUpBelow
}

// lostUntil is Program.LostUntil, for locks that outlast any epoch, and LockEnds without
// advice.
func (s *shard) lostUntil(visit, n uint32, now time.Duration) time.Duration {
	p := &s.program
	d := p.Lock + s.luck.Between(booking.DrawHuman, uint64(visit), n, p.HumanMin, p.HumanMax)
	if p.Jitter {
		d += s.luck.Between(booking.DrawJitter, uint64(visit), n, 0, p.Lock/2)
	}
	return now + d
}

// takeBack makes a visit that waits until due, and has lost presses ahead of time, what
// it was at a moment, and returns until when it waited then.
func (s *shard) takeBack(c *cold, due, then time.Duration) time.Duration {
	for ; *c.lost() > 0; *c.lost()-- {
		at := due - s.lostUntil(c.visit, uint32(c.locks), 0)
		if at <= then {
			break
		}
		due = at
		c.presses--
		c.locks--
		s.events--
		s.lost[at/time.Second]--
		if c.presses == 0 {
			s.countFirst(c.group, at, -1)
		}
	}
	return due
}

// overtaken ends a visit that has lost presses ahead of time and waits until due, but
// was replaced before.
func (s *shard) overtaken(c *cold, word *uint64, shift uint32, due time.Duration) {
	then, _ := s.cut.take(c.visit)
	s.takeBack(c, due, then)
	*word &^= ahead << shift
	s.over(c, policy.Superseded, due)
}

// cutShort ends a visit that waits until due, beyond the end of a run that was cut
// short at a moment.
func (s *shard) cutShort(c *cold, due, at time.Duration) {
	final := policy.InFlight
	word, shift := s.bitsOf(c.visit)
	if *word>>shift&settled != 0 {
		return
	}
	if *word>>shift&ahead != 0 {
		then, replaced := s.cut.take(c.visit)
		if !replaced {
			then = at - 1
		}
		if due = s.takeBack(c, due, then); replaced && due < at {
			final = policy.Superseded
		}
		*word &^= ahead << shift
	}
	s.over(c, final, 0)
}
