package scenarios

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"spillway/internal/booking"
	"spillway/internal/draw"
)

// The numbers that the shares of the evening force, solved on paper.
func TestCurveOfTheEvening(t *testing.T) {
	c, err := NewCurve(load(t, "suikang-2020-01-31").Arrivals)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "a", c.A, 3_697, 5e-4)
	near(t, "b", c.B, 12_313, 2e-4)
	near(t, "B", c.Ebb, 16_010, 2e-4)
	near(t, "P", c.Rush, 154_517, 2e-4)
	near(t, "the day", c.Integral(-2*time.Hour, 4*time.Hour), 170e6, 1e-12)
	near(t, "before 20:00", c.Integral(-2*time.Hour, 0), 34e6, 1e-12)
	near(t, "ten minutes", c.Integral(0, rush), 42.5e6, 1e-12)
	near(t, "the evening", c.Integral(0, 4*time.Hour), 136e6, 1e-12)
	at, rate := c.Peak()
	near(t, "peak", rate, 155_500, 1e-3)
	near(t, "moment of the peak", at.Seconds(), 19, 0.03)
	near(t, "just before the opening", c.Rate(-1), c.Rate(0), 1e-9)
	if c.Rate(-3*time.Hour) != 0 || c.Rate(5*time.Hour) != 0 || c.Integral(time.Hour, 0) != 0 {
		t.Error("the curve does not end with the day")
	}
}

// For any shares: either refused, or never negative, continuous, and the closed
// integral is the numeric one.
func TestCurveProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		span := func(name string, lo, hi time.Duration) time.Duration {
			return time.Duration(rapid.Int64Range(int64(lo), int64(hi)).Draw(t, name))
		}
		evening := rapid.Float64Range(0, 1).Draw(t, "evening")
		s := ArrivalSpec{Visits: 1e6, DayFrom: -span("before", time.Minute, 20*time.Hour), DayTo: span("after", 11*time.Minute, 20*time.Hour),
			EveningShare: evening, RushShare: evening * rapid.Float64Range(0, 1).Draw(t, "rush"),
			BuildUp: span("build-up", time.Second, time.Hour), Rise: span("rise", time.Second, time.Minute),
			Decay: span("decay", time.Second, time.Hour), Ebb: span("ebb", time.Minute, 10*time.Hour)}
		c, err := NewCurve(s)
		if err != nil {
			return
		}
		if got := c.Integral(s.DayFrom, s.DayTo); math.Abs(got-1e6) > 1 {
			t.Fatalf("the day holds %v visits", got)
		}
		if got := c.Integral(0, rush); math.Abs(got-1e6*s.RushShare) > 1 {
			t.Fatalf("ten minutes hold %v visits, want %v", got, 1e6*s.RushShare)
		}
		at := span("at", 0, s.DayTo-s.DayFrom) + s.DayFrom
		width := min(100*time.Millisecond, s.DayTo-at)
		for i := range 8 {
			if r := c.Rate(at + time.Duration(i)*width/8); r < 0 || math.IsNaN(r) {
				t.Fatalf("rate %v at %v", r, at)
			}
		}
		if at < 0 && at+width > 0 {
			return // the kink
		}
		mid := (c.Rate(at) + 4*c.Rate(at+width/2) + c.Rate(at+width)) / 6 * width.Seconds() // Simpson
		if got := c.Integral(at, at+width); math.Abs(got-mid) > 1e-6*mid+1e-6 {
			t.Fatalf("integral %v, by Simpson %v", got, mid)
		}
	})
}

func TestCurveRefusesNegativeRates(t *testing.T) {
	good := load(t, "suikang-2020-01-31").Arrivals
	for name, change := range map[string]func(*ArrivalSpec){
		"background": func(s *ArrivalSpec) { s.RushShare = 0.79 },
		"rush":       func(s *ArrivalSpec) { s.RushShare = 0.01 },
		"before":     func(s *ArrivalSpec) { s.EveningShare = 0.99; s.RushShare = 0.3 },
	} {
		s := good
		change(&s)
		if _, err := NewCurve(s); err == nil || !strings.Contains(err.Error(), "these shares need") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestArrivals(t *testing.T) {
	sc := scale(t, "suikang-2020-01-31").WithSeed(7)
	const n = 50
	var counts [n]float64
	last, next := time.Duration(-1), booking.VisitID(0)
	h := sha256.New()
	var buf [8]byte
	for id, at := range sc.Arrivals() {
		if id != next || at <= last || at < 0 || at >= sc.Length {
			t.Fatalf("visit %d at %v after %v", id, at, last)
		}
		last = at
		next++
		counts[at/time.Second]++
		binary.LittleEndian.PutUint64(buf[:], uint64(at))
		h.Write(buf[:])
	}
	// Chi-square over seconds; with 50 degrees of freedom over 110 has a chance of
	// 2 in 10^6, and the seed is fixed.
	var chi float64
	for i, got := range counts {
		from := sc.Window.From + time.Duration(i)*time.Second
		want := sc.S * sc.curve.Integral(from, from+time.Second)
		chi += (got - want) * (got - want) / want
	}
	if chi > 110 {
		t.Errorf("chi-square of counts a second: %.1f with %d degrees of freedom", chi, n)
	}
	// The bytes that every machine must draw.
	golden(t, "arrivals-seed-7.txt", []byte(hex.EncodeToString(h.Sum(nil))+"\n"))
}

// A longer window with the same start begins with the same visits, a quickened run
// has the same visits at quickened moments, and ranging twice gives the same.
func TestArrivalsAreShared(t *testing.T) {
	collect := func(sc *Scaled) []time.Duration {
		var out []time.Duration
		for _, at := range sc.Arrivals() {
			out = append(out, at)
		}
		return out
	}
	s := load(t, "suikang-2020-01-31")
	base, err := Scale(s, 0.001, 1)
	if err != nil {
		t.Fatal(err)
	}
	one := collect(base)
	if two := collect(base); !slices.Equal(one, two) {
		t.Error("a second pass differs")
	}
	longer := *s
	longer.own()
	if err := longer.Set("window.to", "100s"); err != nil {
		t.Fatal(err)
	}
	sc, err := Scale(&longer, 0.001, 1)
	if err != nil {
		t.Fatal(err)
	}
	if two := collect(sc); !slices.Equal(one, two[:len(one)]) || len(two) <= len(one) {
		t.Error("a longer window does not begin with the same visits")
	}
	quick, err := Scale(s, 0.001, 10)
	if err != nil {
		t.Fatal(err)
	}
	two := collect(quick)
	if len(two) != len(one) {
		t.Fatalf("%d visits at k = 10, %d at k = 1", len(two), len(one))
	}
	for i := range one {
		if d := two[i]*10 - one[i]; d < -20 || d > 20 {
			t.Fatalf("visit %d at %v, quickened at %v", i, one[i], two[i])
		}
	}
}

// So many visits that moments collide: still strictly increasing.
func TestArrivalsStrictlyIncrease(t *testing.T) {
	s := load(t, "suikang-2020-01-31", "arrivals.visits", "1e12 visits", "window.from", "0s")
	sc, err := ScaleWithin(s, 1, 1000, Unbounded)
	if err != nil {
		t.Fatal(err)
	}
	last, n, tight := time.Duration(-1), 0, 0
	for _, at := range sc.Arrivals() {
		if at <= last {
			t.Fatalf("%v after %v", at, last)
		}
		if at == last+1 {
			tight++
		}
		last = at
		if n++; n == 1_000_000 {
			break
		}
	}
	if tight == 0 {
		t.Error("no two visits were 1 ns apart: the test tests nothing")
	}
}

func TestUsersAreUniform(t *testing.T) {
	sc := scale(t, "suikang-2020-01-31").WithSeed(3)
	const n, parts = 1 << 18, 64
	var counts [parts]float64
	for i := range n {
		u := sc.UserOf(booking.VisitID(i))
		if u >= 50_000 {
			t.Fatalf("user %d of 50,000", u)
		}
		counts[int(u)*parts/50_000]++
	}
	var chi float64
	for _, c := range counts {
		chi += (c - n/parts) * (c - n/parts) / (n / parts)
	}
	if chi > 130 { // 63 degrees of freedom: chance 2 in 10^6; the seed is fixed
		t.Errorf("chi-square %.1f", chi)
	}
}

// Openings before the window follow the closed form, and the copies the renewal
// equation. Six standard errors, fixed seed.
func TestConfigCopies(t *testing.T) {
	for _, name := range []string{"suikang-2020-01-31", "suikang-sweep"} {
		sc := scale(t, name).WithSeed(11)
		s := &sc.Full
		life := s.Visitor.ConfigLife
		const n = 40_000
		var opened, lives, ever float64
		for u := range booking.UserID(n) {
			o := sc.openings(u, nil)
			if !slices.IsSortedFunc(o, func(a, b time.Duration) int { return int(b - a) }) {
				t.Fatalf("user %d: openings out of order: %v", u, o)
			}
			if len(o) > 0 && s.Window.From-o[0] < life {
				opened++
			}
			at, ok := sc.ConfigCopy(u)
			if ok != (len(o) > 0) || at > 0 {
				t.Fatalf("user %d: copy at %v, %v; openings %v", u, at, ok, o)
			}
			if ok {
				ever++
				if -at < sc.Visitor.ConfigLife {
					lives++
				}
			}
		}
		binomial := func(what string, got, p float64) {
			if se := math.Sqrt(p * (1 - p) * n); math.Abs(got-p*n) > 6*se {
				t.Errorf("%s: %s: %v of %v, want %v ± %.0f", name, what, got, n, p*n, 6*se)
			}
		}
		users := s.Population.Users
		binomial("opened within a copy's life", opened, -math.Expm1(-sc.curve.Integral(s.Window.From-life, s.Window.From)/users))
		binomial("opened that day", ever, -math.Expm1(-sc.curve.Integral(s.Arrivals.DayFrom, s.Window.From)/users))
		c := sc.copies()
		binomial("holds a copy that lives", lives, 1-c.at(c.fetch, s.Window.From))
	}
}

// The history's shortcut (backwards, to the first long gap) must find the copy
// that playing every opening forwards finds.
func TestConfigCopyAgreesWithAllOpenings(t *testing.T) {
	sc := scale(t, "suikang-2020-01-31").WithSeed(5)
	life := sc.Full.Visitor.ConfigLife
	for u := range booking.UserID(5_000) {
		var all []time.Duration // every opening, latest first
		left := sc.history.passed[len(sc.history.passed)-1]
		for j := uint32(0); ; j++ {
			if left -= draw.FastExp(sc.Seed.U64(booking.DrawHistory, uint64(u), j)); left <= 0 {
				break
			}
			all = append(all, sc.history.moment(left))
		}
		have, at := false, time.Duration(0)
		for _, open := range slices.Backward(all) {
			if !have || open-at >= life {
				have, at = true, open
			}
		}
		got, ok := sc.ConfigCopy(u)
		if ok != have || have && got != at-sc.Window.From {
			t.Fatalf("user %d: %v %v, want %v %v", u, got, ok, at-sc.Window.From, have)
		}
	}
}

func TestBots(t *testing.T) {
	sc := scale(t, "suikang-bots").WithSeed(9)
	bots := sc.Bots()
	if len(bots) != 50 {
		t.Fatalf("%d bots, want 50", len(bots))
	}
	seen := map[booking.UserID]bool{}
	for _, b := range bots {
		// They began before the window, so each posts within its first beat.
		if b.At < 0 || b.At >= sc.Spec.Bots.Every || b.User < 50_000 || seen[b.User] || b.Visit < BotVisits {
			t.Errorf("bot %+v", b)
		}
		seen[b.User] = true
	}
	late := scale(t, "suikang-bots", "bots.from", "5s")
	for _, b := range late.Bots() {
		if b.At < 15*time.Second || b.At >= 17*time.Second {
			t.Errorf("a bot that starts at +5 s of a window from -10 s posts first at %v", b.At)
		}
	}
}

func BenchmarkArrivals(b *testing.B) {
	s := load(b, "suikang-2020-01-31")
	s.Window.From, s.Window.To = -2*time.Hour, 4*time.Hour
	sc, err := ScaleWithin(s, 1, 1, Unbounded)
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	n := 0
	for n < b.N {
		for range sc.Arrivals() {
			if n++; n >= b.N {
				break
			}
		}
	}
}

func BenchmarkConfigCopy(b *testing.B) {
	sc := scale(b, "suikang-2020-01-31")
	for i := range b.N {
		sc.ConfigCopy(booking.UserID(i % 50_000))
	}
}
