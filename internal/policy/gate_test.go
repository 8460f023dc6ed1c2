package policy

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/dchest/siphash"
	"pgregory.net/rapid"

	"spillway/internal/booking"
	"spillway/internal/draw"
)

// The original gate, value by value: U walks the middle of every per cent, so
// the share is exact, no luck involved.
func TestOriginalGateBitForBit(t *testing.T) {
	for percent := range 101 {
		passes := 0
		for i := range 100 {
			if OriginalPasses(percent, (float64(i)+0.5)/100) {
				passes++
			}
		}
		want := min(percent+1, 100)
		if percent == 0 {
			want = 21 // 0 is taken for missing and becomes 20
		}
		if passes != want {
			t.Errorf("probability %d lets %d %% pass, want %d", percent, passes, want)
		}
		if got := OriginalShare(percent); math.Abs(got-float64(want)/100) > 1e-12 {
			t.Errorf("OriginalShare(%d) = %v", percent, got)
		}
	}
	// Edges of floor(U*100).
	if !OriginalPasses(20, math.Nextafter(0.21, 0)) || OriginalPasses(20, 0.21) {
		t.Error("the edge at U = 0.21 is off")
	}
}

// The waits that FACTS gives for the fixed 5 s lock at 21 %: mean 18.8 s, 90 %
// through after about 49 s, 99 % after about 98 s. Derived, not drawn.
func TestOriginalGateDelays(t *testing.T) {
	q := 1 - OriginalShare(20)
	mean := 5 * q / (1 - q)
	p90 := 5 * math.Log(0.1) / math.Log(q)
	p99 := 5 * math.Log(0.01) / math.Log(q)
	if math.Abs(mean-18.8) > 0.05 || math.Abs(p90-49) > 1 || math.Abs(p99-98) > 1 {
		t.Errorf("mean %.1f s, p90 %.1f s, p99 %.1f s", mean, p90, p99)
	}
}

// The first of SipHash-2-4's published vectors (reference implementation's
// vectors.h: key 00..0f, empty input, and input 00..07, 00..0e).
func TestSipHashVectors(t *testing.T) {
	k0, k1 := uint64(0x0706050403020100), uint64(0x0f0e0d0c0b0a0908)
	in := make([]byte, 15)
	for i := range in {
		in[i] = byte(i)
	}
	for n, want := range map[int]uint64{0: 0x726fdb47dd0e0e31, 8: 0x93f5f5799a932462, 15: 0xa129ca6149be45e5} {
		if got := siphash.Hash(k0, k1, in[:n]); got != want {
			t.Errorf("SipHash of %d bytes = %#x, want %#x", n, got, want)
		}
	}
}

// Published vectors of the coin, for anybody who writes a client:
// salt 000102..0f, period 5 s, origin 0.
func ExampleCoin() {
	c := Coin{K0: 0x0001020304050607, K1: 0x08090a0b0c0d0e0f, Period: 5 * time.Second}
	for _, user := range []booking.UserID{0, 1, 4999999} {
		e := c.Epoch(user, 20*time.Second)
		fmt.Printf("user %d: epoch %d ends at %v, draw %016x, passes at 20 %%: %v\n",
			user, e, c.EpochEnd(user, 20*time.Second).Round(time.Microsecond), c.Draw(user, e), c.Passes(user, e, 0.2))
	}
	// Output:
	// user 0: epoch 4 ends at 22.41515s, draw 12d69536d863306d, passes at 20 %: true
	// user 1: epoch 4 ends at 21.345534s, draw 60b44b2edaf7fc78, passes at 20 %: false
	// user 4999999: epoch 4 ends at 22.994741s, draw 623af15fd71fa621, passes at 20 %: false
}

func TestCoinProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Coin{K0: rapid.Uint64().Draw(t, "k0"), K1: rapid.Uint64().Draw(t, "k1"),
			Period: time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "period")),
			Origin: time.Duration(rapid.Int64Range(-int64(time.Hour), int64(time.Hour)).Draw(t, "origin"))}
		u := booking.UserID(rapid.Uint64().Draw(t, "user"))
		now := time.Duration(rapid.Int64Range(-int64(time.Hour), int64(5*time.Hour)).Draw(t, "now"))
		p := rapid.Float64Range(0, 1).Draw(t, "p")
		e, end := c.Epoch(u, now), c.EpochEnd(u, now)
		if end <= now || end-now > c.Period {
			t.Fatalf("epoch of %v ends at %v, period %v", now, end, c.Period)
		}
		if c.Epoch(u, end) != e+1 || c.Epoch(u, end-1) != e {
			t.Fatal("the epoch does not turn where it ends")
		}
		if c.Passes(u, e, p) != c.Check(u, e, now, p) {
			t.Fatal("client and server disagree")
		}
		if c.Check(u, e+1, now, 1) || c.Check(u, e-2, now, 1) {
			t.Fatal("an epoch that is not the present or last one was taken")
		}
		if c.Passes(u, e, 0) || !c.Passes(u, e, 1) {
			t.Fatal("0 must close and 1 must open")
		}
	})
}

// A bot that presses ten times as often gains nothing: one draw an epoch. Over
// 2,000 users and 50 epochs the share is binomial with n = 100,000; five
// standard errors, fixed salt.
func TestCoinShare(t *testing.T) {
	c := Coin{K0: 1, K1: 2, Period: 5 * time.Second}
	wins, n := 0, 0
	for u := range booking.UserID(2000) {
		for e := range int64(50) {
			n++
			if c.Passes(u, e, 0.2) {
				wins++
			}
		}
	}
	if got := float64(wins) / float64(n); math.Abs(got-0.2) > 5*math.Sqrt(0.16/float64(n)) {
		t.Errorf("share %v", got)
	}
}

func TestLadder(t *testing.T) {
	l := Ladder{NoResults: 0.5, NoLow: 0.75, TopOnly: 0.95, Hold: 2 * time.Second}
	if got := l.Next(booking.RungFull, 0.8, 0, false, 0); got != booking.RungNoLow {
		t.Errorf("at 80 %% rung %v", got)
	}
	if got := l.Next(booking.RungTopOnly, 0.6, 0, l.Low(booking.RungTopOnly, 0.6), 10*time.Second); got != booking.RungTopOnly {
		t.Errorf("came down at 60 %% fill: %v", got)
	}
	if got := l.Next(booking.RungTopOnly, 0.1, 0, true, time.Second); got != booking.RungTopOnly {
		t.Errorf("came down before the hold was over: %v", got)
	}
	if got := l.Next(booking.RungTopOnly, 0.1, 0, true, 2*time.Second); got != booking.RungNoLow {
		t.Errorf("one rung at a time: %v", got)
	}
	if got := (Ladder{}).Next(booking.RungFull, 1, 0, false, 0); got != booking.RungFull {
		t.Errorf("the zero ladder moved to %v", got)
	}
	if Serves(booking.RungNoLow, 3, 3) || !Serves(booking.RungNoLow, 2, 3) || Serves(booking.RungTopOnly, 2, 3) || !Serves(booking.RungTopOnly, 1, 3) {
		t.Error("classes served on the rungs are off")
	}
}

func TestBudget(t *testing.T) {
	b := Budget{Ratio: 0.1, Cap: 2}
	for range 100 {
		b.Allow(1)
	}
	for i, want := range []bool{true, true, false} {
		if b.Allow(2) != want {
			t.Errorf("retry %d: "+"a cap of 2 must allow two retries and no third", i)
		}
	}
	free := Budget{}
	for range 5 {
		if !free.Allow(9) {
			t.Error("no budget means retries are free")
		}
	}
}

func TestDropAndLimits(t *testing.T) {
	d := Drop{After: 2 * time.Second}
	for _, c := range []struct {
		entered, deadline, now time.Duration
		want                   bool
	}{{0, 0, 2 * time.Second, false}, {0, 0, 2*time.Second + 1, true}, {0, time.Second, time.Second, true}, {0, time.Second, time.Second - 1, false}} {
		if d.Dead(c.entered, c.deadline, c.now) != c.want {
			t.Errorf("%+v", c)
		}
	}
	if !(QueueLimit{}).Allows(1<<40) || (QueueLimit{Depth: 2}).Allows(2) || !(QueueLimit{Depth: 2}).Allows(1) {
		t.Error("queue limit")
	}
	if !StaticLimit(0).Allow(0, 1<<40) || StaticLimit(3).Allow(0, 3) || !StaticLimit(3).Allow(0, 2) {
		t.Error("in-flight limit")
	}
	c := ClosedCheck{OpenAt: 10, CloseAt: 20, Life: 5}
	for now, want := range map[time.Duration]booking.State{9: booking.StateWait, 10: booking.StatePreorder, 20: booking.StateFinish} {
		if got := c.State(now, false); got != want {
			t.Errorf("state at %d = %v", now, got)
		}
	}
	if c.State(15, true) != booking.StateFinish || c.Fresh(0, 5) || !c.Fresh(0, 4) {
		t.Error("sold out or freshness")
	}
}

// The shares of a million users; six standard errors.
func TestClassShares(t *testing.T) {
	classes := []booking.Class{{Share: 0.1, Priority: 1}, {Share: 0.6, Priority: 2, From: 0, Until: time.Hour}, {Share: 0.3, Priority: 3}}
	const n = 1_000_000
	var got [3]int
	for u := range booking.UserID(n) {
		got[ClassOf(classes, u)]++
	}
	for i, c := range classes {
		if s := float64(got[i]) / n; math.Abs(s-c.Share) > 6*math.Sqrt(c.Share*(1-c.Share)/n) {
			t.Errorf("class %d has share %v, want %v", i, s, c.Share)
		}
	}
	if ClassOf(nil, 1) != -1 || Priority(nil, -1, 0) != 1 {
		t.Error("no classes must mean one priority")
	}
	if Priority(classes, 1, time.Minute) != 2 || Priority(classes, 1, 2*time.Hour) != 3 || Priority(classes, 1, -1) != 3 {
		t.Error("outside its hours a class has the lowest priority")
	}
}

func BenchmarkCoin(b *testing.B) {
	c := Coin{K0: 1, K1: 2, Period: 5 * time.Second}
	n := 0
	for i := range b.N {
		if c.Passes(booking.UserID(i), int64(i), 0.2) {
			n++
		}
	}
	_ = n
}

var _ Luck = draw.Seed(0)

// A line of draws gives the coin's own, epoch by epoch.
func TestCoinLineIsTheCoin(t *testing.T) {
	for i := range uint64(300) {
		seed := draw.Seed(11)
		c := Coin{K0: seed.U64(1, i, 0), K1: seed.U64(1, i, 1), Period: time.Duration(1 + seed.U64(1, i, 2)%uint64(20*time.Second)),
			Origin: time.Duration(seed.U64(1, i, 3)%uint64(time.Hour)) - 30*time.Minute}
		user := booking.UserID(seed.U64(1, i, 4) >> (i % 64))
		now := time.Duration(seed.U64(1, i, 5)%uint64(time.Hour)) - 20*time.Minute
		lines := c.Lines()
		line := lines.Of(user)
		for n := range uint32(50) {
			epoch := line.Epoch(now)
			if want := c.Epoch(user, now); epoch != want {
				t.Fatalf("%+v: at %v user %d is in epoch %d, want %d", c, now, user, epoch, want)
			}
			x, y := line.Draws(epoch, -epoch)
			if x != c.Draw(user, epoch) || y != c.Draw(user, -epoch) {
				t.Fatalf("%+v: user %d draws %#x and %#x in epochs ±%d, want %#x and %#x", c, user, x, y, epoch, c.Draw(user, epoch), c.Draw(user, -epoch))
			}
			if n%5 == 0 { // the edge of an epoch
				now = c.EpochEnd(user, now) - time.Duration(n%2)
				if epoch, want := line.Epoch(now), c.Epoch(user, now); epoch != want {
					t.Fatalf("%+v: at %v, an edge, user %d is in epoch %d, want %d", c, now, user, epoch, want)
				}
			}
			now += time.Duration(seed.U64(2, i, n) % uint64(1+30*time.Second>>(n%32)))
		}
	}
}
