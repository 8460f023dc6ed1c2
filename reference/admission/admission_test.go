package admission

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"spillway/internal/booking"
	"spillway/internal/policy"
	"spillway/internal/wire"
)

func coinOptions(p float64) Options {
	return Options{Seed: 7, Gate: policy.GateCoin, Probability: p, Period: 5 * time.Second, Results: true,
		ClientLife: 600 * time.Second, EdgeLife: 60 * time.Second}
}

func open(t *testing.T, o Options) *Admission {
	t.Helper()
	a, err := New(o, 1_000_000, 0)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func ptr[T any](v T) *T { return &v }

// share is the share of users whose honest claim, drawn under p, is let pass.
func share(a *Admission, now time.Duration, p float64) (won, admitted int) {
	coin := a.now.Load().coin
	for u := range booking.UserID(2000) {
		e := coin.Epoch(u, now)
		if coin.Passes(u, e, p) {
			won++
			if a.Check(u, &e, now) == booking.OK {
				admitted++
			}
		} else if a.Check(u, &e, now) == booking.OK {
			admitted++
		}
	}
	return won, admitted
}

// Lowering the probability refuses nobody who still holds the older config; when
// its life is over, only the new one counts.
func TestLargestProbabilityStillHeldCounts(t *testing.T) {
	a := open(t, coinOptions(0.5))
	if err := a.Change(100*time.Second, wire.Change{Probability: ptr(0.1)}); err != nil {
		t.Fatal(err)
	}
	c, _ := a.Config()
	if c.Version != 2 || c.Probability != 0.1 {
		t.Errorf("%+v", c)
	}
	last := 100*time.Second + 600*time.Second + 60*time.Second + 5*time.Second - 1
	for _, now := range []time.Duration{101 * time.Second, last} {
		if won, admitted := share(a, now, 0.5); won != admitted || won < 900 || won > 1100 {
			t.Errorf("at %v: %d won under the older config, %d admitted", now, won, admitted)
		}
	}
	if won, admitted := share(a, last+1, 0.1); won != admitted || won < 140 || won > 260 {
		t.Errorf("later: %d won, %d admitted", won, admitted)
	}
}

func TestClaims(t *testing.T) {
	a := open(t, coinOptions(1))
	coin := a.now.Load().coin
	now, user := 1000*time.Second, booking.UserID(3)
	present := coin.Epoch(user, now)
	for d, want := range map[int64]booking.Outcome{0: booking.OK, -1: booking.OK, 1: booking.BadCoin, -2: booking.BadCoin} {
		if got := a.Check(user, ptr(present+d), now); got != want {
			t.Errorf("epoch %+d: %v, want %v", d, got, want)
		}
	}
	if got := a.Check(user, nil, now); got != booking.BadCoin {
		t.Errorf("no claim: %v", got)
	}
	if c := a.Counts(); c.Passed != 2 || c.Refused != 3 || c.Unchecked != 0 {
		t.Errorf("%+v", c)
	}
	o := coinOptions(0)
	o.Off = true
	if got := open(t, o).Check(user, nil, now); got != booking.OK {
		t.Errorf("switched off: %v", got)
	}
}

// When the gate changes to the coin, clients with an older config send no claim
// and are not refused for it until their copies have expired.
func TestGateChange(t *testing.T) {
	o := coinOptions(0.2)
	o.Gate = policy.GateOriginal
	a := open(t, o)
	if got := a.Check(1, nil, 0); got != booking.OK {
		t.Errorf("the original gate is checked: %v", got)
	}
	if err := a.Change(10*time.Second, wire.Change{Gate: ptr("coin"), Probability: ptr(0.0)}); err != nil {
		t.Fatal(err)
	}
	if got := a.Check(1, nil, 600*time.Second); got != booking.OK {
		t.Errorf("an older config's submit: %v", got)
	}
	if got := a.Check(1, nil, 676*time.Second); got != booking.BadCoin {
		t.Errorf("later: %v", got)
	}
}

func TestConfigOnTheWire(t *testing.T) {
	a := open(t, coinOptions(0.25))
	_, body := a.Config()
	var c wire.Config
	if err := json.Unmarshal(body, &c); err != nil {
		t.Fatal(err)
	}
	if c.Gate != "coin" || c.Version != 1 || c.LifeMillis != 600_000 || c.Coin == nil || len(c.Coin.Salt) != 32 ||
		c.Coin.PeriodMillis != 5000 || c.Coin.OriginUnixMs != 1_000_000 {
		t.Errorf("%s", body)
	}
	_, same := open(t, coinOptions(0.25)).Config()
	o := coinOptions(0.25)
	o.Seed = 8
	_, other := open(t, o).Config()
	if string(same) != string(body) || string(other) == string(body) {
		t.Error("the salt does not follow the seed")
	}
	a.Rebase(2_000_000, -500*time.Microsecond)
	if c, _ := a.Config(); c.Version != 2 || c.Coin.OriginUnixMs != 2_000_000 || c.Coin.Salt != mustCoin(body) {
		t.Errorf("rebased: %+v", c)
	}
}

func mustCoin(body []byte) string {
	var c wire.Config
	_ = json.Unmarshal(body, &c) // checked by the caller's test
	return c.Coin.Salt
}

func TestBadChanges(t *testing.T) {
	a := open(t, coinOptions(0.25))
	for _, c := range []wire.Change{{Probability: ptr(1.1)}, {Probability: ptr(-0.1)}, {Gate: ptr("moat")}, {Gate: ptr("")}} {
		if err := a.Change(0, c); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := a.Change(0, wire.Change{Probability: ptr(0.25), Results: ptr(true)}); err != nil {
		t.Error(err)
	}
	if c, _ := a.Config(); c.Version != 1 {
		t.Errorf("nothing changed, version %d", c.Version)
	}
	o := coinOptions(0.25)
	o.Gate, o.Period = policy.GateOff, 0
	if err := open(t, o).Change(0, wire.Change{Gate: ptr("coin")}); err == nil {
		t.Error("a coin without a period")
	}
	for range 3 * pastMax {
		_ = a.Change(time.Second, wire.Change{Results: ptr(!a.Results())})
	}
	if n := len(a.now.Load().past); n != pastMax {
		t.Errorf("%d configs remembered", n)
	}
}

// steep is a controller that follows the queue.
type steep struct{}

func (steep) Probability(_ time.Duration, depthShare float64, refusals int) float64 {
	return 1 - depthShare - float64(refusals)/100
}

func TestControllerMovesTheProbability(t *testing.T) {
	o := coinOptions(1)
	o.Controller = steep{}
	a := open(t, o)
	a.Steer(time.Second, 0.5, 25)
	if c, _ := a.Config(); c.Probability != 0.25 || c.Version != 2 {
		t.Errorf("%+v", c)
	}
	a.Steer(time.Second, 5, 0) // out of range: not taken over
	if c, _ := a.Config(); c.Probability != 0.25 {
		t.Errorf("%+v", c)
	}
	fixed := open(t, coinOptions(0.5))
	fixed.Steer(time.Second, 1, 1000)
	if c, _ := fixed.Config(); c.Version != 1 {
		t.Error("the fixed controller moved")
	}
}
