package scenarios

import (
	"fmt"
	"iter"
	"math"
	"math/bits"
	"time"

	"spillway/internal/booking"
	"spillway/internal/draw"
)

// rush is the part of the evening that ArrivalSpec.RushShare speaks of.
const rush = 10 * time.Minute

// Curve is the rate of visits over the day, in visits per second of scenario
// time at full size:
//
//	a + b·e^(t/build_up)                                      before the opening
//	B·e^(-t/ebb) + P·(1-e^(-t/rise))·e^(-t/decay)             from the opening on
//
// t in seconds from the opening. It is continuous at 0 and 0 outside the day.
type Curve struct {
	A, B float64 // a and b before the opening, visits/s
	Ebb  float64 // B: background at the opening, visits/s
	Rush float64 // P: scale of the rush, visits/s

	from, to                        float64 // the day, s
	buildUp, rise, decay, ebb, both float64 // time constants, s; 1/both = 1/rise + 1/decay
}

// NewCurve solves a, b, B and P from the shares: so many visits before the
// opening, in the first ten minutes and in the whole evening, and no step at the
// opening. It fails when they would make a rate negative.
func NewCurve(s ArrivalSpec) (*Curve, error) {
	c := &Curve{from: s.DayFrom.Seconds(), to: s.DayTo.Seconds(), buildUp: s.BuildUp.Seconds(),
		rise: s.Rise.Seconds(), decay: s.Decay.Seconds(), ebb: s.Ebb.Seconds()}
	for _, x := range []float64{c.buildUp, c.rise, c.decay, c.ebb, -c.from, c.to - rush.Seconds()} {
		if x <= 0 {
			return nil, fmt.Errorf("a time constant or an end of the day has the wrong sign")
		}
	}
	c.both = 1 / (1/c.rise + 1/c.decay)
	early := float64(s.Visits * (1 - s.EveningShare)) // rounded here: no machine may fuse it with a later sum
	ten, all := s.Visits*s.RushShare, s.Visits*s.EveningShare

	// The evening: two equations, linear in B and P.
	e1, e2 := c.ebbUpTo(rush.Seconds()), c.ebbUpTo(c.to)
	p1, p2 := c.rushUpTo(rush.Seconds()), c.rushUpTo(c.to)
	det := float64(e1*p2) - float64(e2*p1)
	if math.Abs(det) < 1e-9*math.Abs(float64(e1*p2)) {
		return nil, fmt.Errorf("rush and ebb have the same shape: make decay and ebb differ")
	}
	c.Ebb = (float64(ten*p2) - float64(all*p1)) / det
	c.Rush = (float64(e1*all) - float64(e2*ten)) / det
	// Before it: a + b = B, and the integral is what is left of the day.
	day, grown := -c.from, float64(c.buildUp*(1-draw.Exponential(c.from/c.buildUp)))
	c.B = (float64(c.Ebb*day) - early) / (day - grown)
	c.A = c.Ebb - c.B

	// A share of exactly nothing may come out as a rounding error below it.
	slack := -1e-9 * s.Visits / day
	switch {
	case c.Ebb < slack:
		return nil, fmt.Errorf("these shares need a background of %.4g visits/s at the opening: lower rush_share (or raise evening_share)", c.Ebb)
	case c.Rush < slack:
		return nil, fmt.Errorf("these shares need a rush of %.4g visits/s: raise rush_share (or lower evening_share)", c.Rush)
	case c.A < slack || c.A+float64(c.B*draw.Exponential(c.from/c.buildUp)) < slack:
		return nil, fmt.Errorf("these shares need %.4g visits/s long before the opening: lower evening_share or rush_share, or make build_up longer", c.A)
	}
	return c, nil
}

// ebbUpTo and rushUpTo integrate the two parts of the evening from 0 to t, for
// B = P = 1, in seconds.
func (c *Curve) ebbUpTo(t float64) float64 {
	return float64(c.ebb * (1 - draw.Exponential(-t/c.ebb)))
}

func (c *Curve) rushUpTo(t float64) float64 {
	return float64(c.decay*(1-draw.Exponential(-t/c.decay))) - float64(c.both*(1-draw.Exponential(-t/c.both)))
}

// Rate is the rate at a moment of scenario time, in visits per second.
func (c *Curve) Rate(at time.Duration) float64 {
	t := at.Seconds()
	var r float64
	switch {
	case t < c.from || t > c.to:
		return 0
	case t < 0:
		r = c.A + float64(c.B*draw.Exponential(t/c.buildUp))
	default:
		rise := float64((1 - draw.Exponential(-t/c.rise)) * draw.Exponential(-t/c.decay))
		r = float64(c.Ebb*draw.Exponential(-t/c.ebb)) + float64(c.Rush*rise)
	}
	return max(r, 0)
}

// Integral is the expected number of visits between two moments of scenario
// time, in closed form; 0 when to is not after from.
func (c *Curve) Integral(from, to time.Duration) float64 {
	if to <= from {
		return 0
	}
	return max(c.upTo(to.Seconds())-c.upTo(from.Seconds()), 0)
}

// upTo integrates from the opening to t; negative before it.
func (c *Curve) upTo(t float64) float64 {
	t = min(max(t, c.from), c.to)
	if t < 0 {
		return float64(c.A*t) - float64(float64(c.B*c.buildUp)*(1-draw.Exponential(t/c.buildUp)))
	}
	return float64(c.Ebb*c.ebbUpTo(t)) + float64(c.Rush*c.rushUpTo(t))
}

// Peak is the highest rate from the opening on and its moment, to 10 ms.
func (c *Curve) Peak() (at time.Duration, rate float64) {
	// One local maximum: the rise times a falling function plus a falling one.
	// Coarse to fine over the rise's reach.
	step := time.Second
	lo, hi := time.Duration(0), time.Duration(min(c.to, 20*c.rise+2*c.decay)*1e9)
	for step = max(step, (hi-lo)/2000); ; step /= 10 {
		for t := lo; t <= hi; t += step {
			if r := c.Rate(t); r > rate {
				at, rate = t, r
			}
		}
		if step <= 10*time.Millisecond {
			return at, rate
		}
		lo, hi = max(at-step, 0), at+step
	}
}

// bin is the step of scenario time within which the arrival rate is constant.
const bin = 100 * time.Millisecond

// binOf is the number of the bin that holds a moment.
func binOf(at time.Duration) int64 {
	b := int64(at / bin)
	if at%bin < 0 {
		b--
	}
	return b
}

// Arrivals yields every visit of the window in order: ids from 0, moments in run
// time, strictly increasing by at least 1 ns. It is a Poisson process with the
// thinned rate, constant within bins of 100 ms of scenario time: the same seed
// gives the same moments on every machine, and a longer window with the same
// start begins with the same visits. The sequence may be ranged over again.
func (sc *Scaled) Arrivals() iter.Seq2[booking.VisitID, time.Duration] {
	return func(yield func(booking.VisitID, time.Duration) bool) {
		st := sc.Stream()
		for at, ok := st.Next(); ok; at, ok = st.Next() {
			if !yield(st.visit-1, at) {
				return
			}
		}
	}
}

// Stream is Arrivals one by one, for whoever cannot range over them: the n-th call
// of Next is about visit n-1. It belongs to one goroutine.
type Stream struct {
	sc       *Scaled
	visit    booking.VisitID
	last     time.Duration
	due      float64            // expected visits still to pass before the next one
	gaps     [gapsDrawn]float64 // of visits, modulo their number
	bin      int64
	start    time.Duration
	mass     float64 // expected visits of the bin
	passed   float64 // of these, behind us
	perVisit float64 // nanoseconds
}

// Stream starts the arrivals from the beginning.
func (sc *Scaled) Stream() *Stream {
	st := &Stream{sc: sc, last: -1, bin: binOf(sc.Window.From) - 1}
	st.due = st.gap(0)
	return st
}

// gapsDrawn is how many gaps are drawn at a time: none of them waits for another.
const gapsDrawn = 64

// gap is Scaled.gap, asked for one visit after the other.
func (st *Stream) gap(visit booking.VisitID) float64 {
	i := visit % gapsDrawn
	if i == 0 {
		for j := range st.gaps {
			st.gaps[j] = st.sc.gap(visit + booking.VisitID(j))
		}
	}
	return st.gaps[i]
}

// gap is how many visits are expected between a visit and the one before it.
func (sc *Scaled) gap(visit booking.VisitID) float64 {
	return draw.FastExp(sc.Seed.U64(booking.DrawArrival, uint64(visit), 0))
}

// Next is the run time of the next visit; false when there is none left.
func (st *Stream) Next() (time.Duration, bool) {
	sc := st.sc
	for st.passed+st.due >= st.mass {
		if !st.nextBin() {
			return 0, false
		}
	}
	st.passed += st.due
	at := st.start + time.Duration(float64(st.passed*st.perVisit))
	run := max(sc.runTime(at), st.last+1)
	if at >= sc.Window.To || run >= sc.Length {
		st.passed, st.mass, st.bin = 0, 0, math.MaxInt64 // over for good
		return 0, false
	}
	st.last = run
	st.visit++
	st.due = st.gap(st.visit)
	return run, true
}

// nextBin goes on to the next bin in which somebody may come; false when the
// window is over.
func (st *Stream) nextBin() bool {
	sc := st.sc
	st.due -= st.mass - st.passed
	st.passed, st.mass = 0, 0
	for st.bin < math.MaxInt64 {
		st.bin++
		st.start = time.Duration(st.bin) * bin
		if st.start >= sc.Window.To {
			st.bin = math.MaxInt64
			break
		}
		st.mass = float64(sc.S * sc.curve.Integral(st.start, st.start+bin))
		if st.mass <= 0 {
			st.mass = 0
			continue
		}
		if st.start < sc.Window.From {
			st.passed = float64(st.mass * float64(sc.Window.From-st.start) / float64(bin))
		}
		st.perVisit = float64(bin) / st.mass
		return true
	}
	return false
}

// runTime is a moment of scenario time as an offset of the run.
func (sc *Scaled) runTime(at time.Duration) time.Duration {
	return divide(at-sc.Window.From, sc.K)
}

// divide is d/k, exact for k = 1.
func divide(d time.Duration, k float64) time.Duration {
	if k == 1 {
		return d
	}
	return time.Duration(math.Round(float64(d) / k))
}

// BotVisits is the visit id of the first bot: bots have ids of their own, far
// above those of people.
const BotVisits booking.VisitID = 1 << 40

// BotArrival is one bot: its visit, its user (from the population's size
// upwards) and the run time of its first post within the window.
type BotArrival struct {
	Visit booking.VisitID
	User  booking.UserID
	At    time.Duration
}

// Bots lists the bots, by number. Each keeps its own phase within the beat, so
// together they post evenly; one that began before the window posts at its first
// beat in it.
func (sc *Scaled) Bots() []BotArrival {
	out := make([]BotArrival, 0, int(sc.Spec.Bots.Count))
	every := sc.Spec.Bots.Every
	for i := range uint64(sc.Spec.Bots.Count) {
		at := sc.runTime(sc.Full.Bots.From) + sc.Seed.Between(booking.DrawBot, i, 0, 0, every)
		if at < 0 {
			at += (-at + every - 1) / every * every
		}
		if at < sc.Length {
			out = append(out, BotArrival{BotVisits + booking.VisitID(i), sc.users() + booking.UserID(i), at})
		}
	}
	return out
}

func (sc *Scaled) users() booking.UserID { return booking.UserID(sc.Population.Users) }

// UserOf is whose visit it is: a keyed draw among the users of the run.
func (sc *Scaled) UserOf(visit booking.VisitID) booking.UserID {
	hi, _ := bits.Mul64(sc.Seed.U64(booking.DrawUser, uint64(visit), 0), uint64(sc.users()))
	return booking.UserID(hi)
}

// ConfigCopy tells when the user fetched the config copy that its client holds
// at the start of the window (run time, so 0 or less); ok is false when it has
// never opened the program that day. The copy may have expired since. The user's
// openings are a Poisson process with its share of the arrival rate; a copy is
// fetched at an opening that finds none or one older than visitor.config_life.
func (sc *Scaled) ConfigCopy(user booking.UserID) (fetchedAt time.Duration, ok bool) {
	var buf [32]time.Duration
	opened := sc.openings(user, buf[:0])
	if len(opened) == 0 {
		return 0, false
	}
	// opened runs backwards; its last element starts a copy for certain.
	at := opened[len(opened)-1]
	for i := len(opened) - 2; i >= 0; i-- {
		if opened[i]-at >= sc.Full.Visitor.ConfigLife {
			at = opened[i]
		}
	}
	return -divide(sc.Window.From-at, sc.K), true
}

// openings appends the user's openings before the window in scenario time,
// latest first, back to the first gap of at least a copy's life: the opening
// after such a gap fetches, whatever came before.
func (sc *Scaled) openings(user booking.UserID, out []time.Duration) []time.Duration {
	h := sc.history
	if h == nil {
		return out
	}
	total := h.passed[len(h.passed)-1]
	left := total // expected openings between day_from and the moment reached
	for j := uint32(0); ; j++ {
		left -= draw.FastExp(sc.Seed.U64(booking.DrawHistory, uint64(user), j))
		if left <= 0 {
			return out
		}
		at := h.moment(left)
		if n := len(out); n > 0 && out[n-1]-at >= sc.Full.Visitor.ConfigLife {
			return out
		}
		out = append(out, at)
	}
}

// history is one user's expected number of openings from the day's first moment,
// tabled in steps of about a second.
type history struct {
	from   time.Duration
	step   time.Duration
	passed []float64 // passed[i] = openings expected in the first i steps
}

// newHistory tables the curve up to the window; nil when there is nothing before.
func newHistory(c *Curve, from, to time.Duration, users float64) *history {
	if to <= from || c.Integral(from, to) <= 0 {
		return nil
	}
	n := (to - from + time.Second - 1) / time.Second
	h := &history{from: from, step: (to - from) / n, passed: make([]float64, 1, n+1)}
	var sum float64
	for i := range n {
		sum += c.Integral(from+i*h.step, from+(i+1)*h.step) / users
		h.passed = append(h.passed, sum)
	}
	return h
}

// moment inverts the table, linear within a step.
func (h *history) moment(passed float64) time.Duration {
	lo, hi := 0, len(h.passed)-1 // passed[lo] < passed <= passed[hi]
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; h.passed[mid] < passed {
			lo = mid
		} else {
			hi = mid
		}
	}
	share := (passed - h.passed[lo]) / (h.passed[hi] - h.passed[lo])
	return h.from + time.Duration(lo)*h.step + time.Duration(float64(share*float64(h.step)))
}
