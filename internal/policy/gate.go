package policy

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"time"

	"github.com/dchest/siphash"

	"spillway/internal/booking"
)

// Gate is the kind of admission gate.
type Gate uint8

// The gates.
const (
	// GateOff lets every press pass.
	GateOff Gate = iota + 1
	// GateOriginal is the client gate of January 2020, bit for bit.
	GateOriginal
	// GateCoin is the checkable coin: server and client compute the same draw.
	GateCoin
)

var gates = [...]string{"", "off", "original", "coin"}

// String returns the gate's name as scenario files write it.
func (g Gate) String() string {
	if g == 0 || int(g) >= len(gates) {
		return fmt.Sprintf("invalid(%d)", g)
	}
	return gates[g]
}

// ParseGate is the inverse of String.
func ParseGate(s string) (Gate, error) {
	for i := 1; i < len(gates); i++ {
		if gates[i] == s {
			return Gate(i), nil
		}
	}
	return 0, fmt.Errorf("unknown gate %.40q: one of off, original, coin", s)
}

// OriginalPasses is the test of the public client copy: a press passes when
// percent >= floor(u*100), u uniform in [0,1). So 20 lets 21 % pass, 99 and 100
// everybody; and a value of 0 is taken for missing and becomes the default 20,
// so it does not close the gate.
func OriginalPasses(percent int, u float64) bool {
	if percent == 0 {
		percent = 20
	}
	return percent >= int(math.Floor(u*100))
}

// OriginalShare is the share of presses that OriginalPasses lets through.
func OriginalShare(percent int) float64 {
	switch {
	case percent == 0:
		return 0.21
	case percent < 0:
		return 0
	case percent >= 99:
		return 1
	}
	return float64(percent+1) / 100
}

// Coin is the checkable coin. Time is cut into epochs of Period, shifted by a
// phase of each user's own so that losers do not come back as a comb. In each
// epoch a user has one draw, SipHash-2-4 of (user, epoch) under the salt of the
// config (Aumasson and Bernstein, INDOCRYPT 2012), which the client computes
// alone and the server re-checks. Pressing again within an epoch changes nothing.
type Coin struct {
	K0, K1 uint64        // the salt from the config
	Period time.Duration // > 0
	Origin time.Duration // offset of epoch 0's start, phase aside
}

// Turn is the number of the epoch in which the user is at time now, and when it
// ends: the earliest useful press.
func (c Coin) Turn(user booking.UserID, now time.Duration) (epoch int64, end time.Duration) {
	phase := c.phase(user)
	d := now - c.Origin + phase
	epoch = int64(d / c.Period)
	if d%c.Period < 0 {
		epoch--
	}
	return epoch, c.Origin - phase + time.Duration(epoch+1)*c.Period
}

// Epoch is the number of the epoch in which the user is at time now.
func (c Coin) Epoch(user booking.UserID, now time.Duration) int64 {
	epoch, _ := c.Turn(user, now)
	return epoch
}

// EpochEnd is when the user's present epoch ends.
func (c Coin) EpochEnd(user booking.UserID, now time.Duration) time.Duration {
	_, end := c.Turn(user, now)
	return end
}

func (c Coin) phase(user booking.UserID) time.Duration {
	return time.Duration(c.hash(user, math.MinInt64) % uint64(c.Period))
}

// Draw is the user's draw in an epoch: 64 uniform bits.
func (c Coin) Draw(user booking.UserID, epoch int64) uint64 { return c.hash(user, epoch) }

func (c Coin) hash(user booking.UserID, epoch int64) uint64 {
	var msg [16]byte
	binary.LittleEndian.PutUint64(msg[:8], uint64(user))
	binary.LittleEndian.PutUint64(msg[8:], uint64(epoch))
	return siphash.Hash(c.K0, c.K1, msg[:])
}

// CoinLines are a coin's users' lines of draws, for whoever needs many of them: what
// they have in common is reckoned once. Make them with Coin.Lines.
type CoinLines struct {
	v0, v1, v2, v3 uint64 // SipHash's state before it takes anything
	origin, period time.Duration
	perPeriod      float64
}

// Lines are the coin's.
func (c Coin) Lines() CoinLines {
	// The words of the name "somepseudorandomlygeneratedbytes", see the paper.
	return CoinLines{c.K0 ^ 0x736f6d6570736575, c.K1 ^ 0x646f72616e646f6d, c.K0 ^ 0x6c7967656e657261, c.K1 ^ 0x7465646279746573,
		c.Origin, c.Period, 1 / float64(c.Period)}
}

// CoinLine is one user's line of draws.
type CoinLine struct {
	v0, v1, v2, v3 uint64        // SipHash's state once it has taken the user
	start          time.Duration // of epoch 0
	period         time.Duration
	perPeriod      float64
}

// Of is a user's line.
func (c *CoinLines) Of(user booking.UserID) CoinLine {
	m := uint64(user)
	l := CoinLine{period: c.period, perPeriod: c.perPeriod}
	l.v0, l.v1, l.v2, l.v3 = sipRound(c.v0, c.v1, c.v2, c.v3^m)
	l.v0, l.v1, l.v2, l.v3 = sipRound(l.v0, l.v1, l.v2, l.v3)
	l.v0 ^= m
	phase, _ := l.Draws(math.MinInt64, 0)
	l.start = c.origin - time.Duration(phase%uint64(c.period))
	return l
}

// Epoch is the number of the user's epoch at a moment.
func (l *CoinLine) Epoch(now time.Duration) int64 {
	d := now - l.start
	n := time.Duration(float64(d) * l.perPeriod) // one off at the most, for moments of a hundred days
	if rest := d - n*l.period; rest < 0 {
		n--
	} else if rest >= l.period {
		n++
	}
	return int64(n)
}

// Draws are the user's draws in two epochs: side by side they take hardly longer than
// one of them.
func (l *CoinLine) Draws(a, b int64) (x, y uint64) {
	const end = 16 << 56 // the message's length, which SipHash takes last
	p0, p1, p2, p3 := l.v0, l.v1, l.v2, l.v3^uint64(a)
	q0, q1, q2, q3 := l.v0, l.v1, l.v2, l.v3^uint64(b)
	p0, p1, p2, p3 = sipRound(p0, p1, p2, p3)
	q0, q1, q2, q3 = sipRound(q0, q1, q2, q3)
	p0, p1, p2, p3 = sipRound(p0, p1, p2, p3)
	q0, q1, q2, q3 = sipRound(q0, q1, q2, q3)
	p0, p3 = p0^uint64(a), p3^end
	q0, q3 = q0^uint64(b), q3^end
	p0, p1, p2, p3 = sipRound(p0, p1, p2, p3)
	q0, q1, q2, q3 = sipRound(q0, q1, q2, q3)
	p0, p1, p2, p3 = sipRound(p0, p1, p2, p3)
	q0, q1, q2, q3 = sipRound(q0, q1, q2, q3)
	p0, p2 = p0^end, p2^0xff
	q0, q2 = q0^end, q2^0xff
	for range 4 {
		p0, p1, p2, p3 = sipRound(p0, p1, p2, p3)
		q0, q1, q2, q3 = sipRound(q0, q1, q2, q3)
	}
	return p0 ^ p1 ^ p2 ^ p3, q0 ^ q1 ^ q2 ^ q3
}

func sipRound(a, b, c, d uint64) (uint64, uint64, uint64, uint64) {
	a += b
	c += d
	b = bits.RotateLeft64(b, 13) ^ a
	d = bits.RotateLeft64(d, 16) ^ c
	a = bits.RotateLeft64(a, 32) + d
	c += b
	b = bits.RotateLeft64(b, 17) ^ c
	d = bits.RotateLeft64(d, 21) ^ a
	return a, b, bits.RotateLeft64(c, 32), d
}

// Passes reports whether the user's draw in the epoch is below probability
// (0..1): 0 lets nobody pass, 1 everybody.
func (c Coin) Passes(user booking.UserID, epoch int64, probability float64) bool {
	if probability >= 1 {
		return true
	}
	return probability > 0 && float64(c.Draw(user, epoch)>>11)*(1.0/(1<<53)) < probability
}

// Check is the server's side: the claimed epoch must be the user's present one
// or the one before (the press was on its way when the epoch turned), and the
// draw must pass under the largest probability that a client may still hold.
func (c Coin) Check(user booking.UserID, claimed int64, now time.Duration, probability float64) bool {
	present := c.Epoch(user, now)
	return (claimed == present || claimed == present-1) && c.Passes(user, claimed, probability)
}

// Controller moves the admission probability. Fixed is the one there is; a
// feedback controller over queue depth and refusals fits the same seam.
type Controller interface {
	// Probability is the admission probability (0..1) from now on, given the
	// queue's depth as a share of its bound and the refusals since the last call.
	Probability(now time.Duration, depthShare float64, refusals int) float64
}

// Fixed is a Controller that never moves.
type Fixed float64

var _ Controller = Fixed(0)

// Probability implements Controller.
func (f Fixed) Probability(time.Duration, float64, int) float64 { return float64(f) }
