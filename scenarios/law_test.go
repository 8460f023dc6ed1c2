package scenarios

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"spillway/internal/booking"
	"spillway/internal/fault"
	"spillway/internal/policy"
)

// Every time of the grammar is quickened, but for the service time, which is the
// machine's own; and what the law names exists.
func TestLawCoversEveryTime(t *testing.T) {
	named := map[string]rule{}
	for _, l := range law {
		if named[l.path] != 0 {
			t.Errorf("%s is named twice", l.path)
		}
		named[l.path] = l.rule
	}
	var s Spec
	s.each(func(p, unit string, _ reflect.Value) {
		switch {
		case unit == "time" && p != "gateway.unit_time" && named[p] != byTime:
			t.Errorf("%s is a time that the law does not quicken", p)
		case strings.HasSuffix(unit, "/s") && named[p] != byRate:
			t.Errorf("%s is a rate that the law does not scale", p)
		}
		delete(named, p)
	})
	for p := range named {
		t.Errorf("the law names %s, which is no key", p)
	}
}

func TestScaleOfTheSweep(t *testing.T) {
	sc := scale(t, "suikang-sweep")
	if sc.Length != 7*time.Second || sc.OpenAt != 400*time.Millisecond {
		t.Errorf("length %v, opening at %v", sc.Length, sc.OpenAt)
	}
	p := sc.Program()
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"users", sc.Population.Users, 10_000.0}, {"stock", sc.Stock.Reservations, 151.0}, {"depth", sc.Queue.Depth, 40.0},
		{"writer", sc.Ledger.Rate, 40.0}, {"beat", sc.Ledger.Every, 10 * time.Millisecond}, {"capacity", sc.PooledCapacity(), 1600.0},
		{"room", sc.RoomUnits(), 160.0}, {"drop", sc.Gateway.DropAfter, 400 * time.Millisecond},
		{"timeout", p.Timeout, 3 * time.Second}, {"lock", p.Lock, time.Second}, {"life", p.ConfigLife, 2 * time.Minute},
		{"notice", p.Notice, 600 * time.Millisecond}, {"poll", p.PollEvery, time.Second}, {"flag", sc.Stock.ClosedLife, 200 * time.Millisecond},
		{"give-up", p.GiveUp, 0.2}, {"booking share", p.BookingShare, 0.4}, {"attempts", sc.Queue.Attempts, 5.0},
		{"unit time", sc.Gateway.UnitTime, 5 * time.Millisecond}, {"bias", sc.Prediction.BiasK, 0.005},
		{"items", p.Items, 7}, {"window", sc.Window.To, 33 * time.Second},
	} {
		a, okA := c.got.(float64)
		b, okB := c.want.(float64)
		if okA && okB && math.Abs(a-b) < 1e-9*b {
			continue
		}
		if c.got != c.want {
			t.Errorf("%s is %v, want %v", c.what, c.got, c.want)
		}
	}
	if len(sc.Rounded) != 1 || !strings.Contains(sc.Rounded[0], "stock.reservations: 151") {
		t.Errorf("rounded: %q", sc.Rounded)
	}
	if sc.Full.Visitor.Lock != 5*time.Second || sc.Full.Queue.Depth != 20_000 {
		t.Error("the full-size values were changed")
	}
}

func TestScaleRefuses(t *testing.T) {
	s := load(t, "suikang-2020-01-31")
	for _, c := range []struct {
		people, time float64
		want         string
	}{
		{2, 1, "people scale 2"}, {-1, 1, "people scale"}, {math.NaN(), 1, "people scale"}, {0.01, -1, "time scale"}, {0.01, math.Inf(1), "time scale"},
		{1e-7, 1, "population.users is 0.5"}, {1e-5, 1, "stock.reservations is 0.756"},
		{0.001, 60, "k·S/timeout = 0.06, at most 0.05): use at most k = 50"}, {1, 1, "over the bound of 4000 for one machine: use at most 1:48"},
	} {
		if _, err := Scale(s, c.people, c.time); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c, err, c.want)
		}
	}
	if _, err := ScaleWithin(s, 0.1, 1, Bounds{MaxHTTP: 20_000}); err != nil {
		t.Error(err)
	}
	if _, err := ScaleWithin(s, 1, 1, Unbounded); err != nil {
		t.Error(err)
	}
	broken := *s
	broken.Stock.Reservations = math.NaN()
	if _, err := Scale(&broken, 0, 0); err == nil {
		t.Error("a NaN was scaled")
	}
}

func TestItems(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shops := rapid.IntRange(1, 200).Draw(t, "shops")
		stock := rapid.IntRange(1, 100_000).Draw(t, "stock")
		sc := &Scaled{}
		sc.Stock = StockSpec{Reservations: float64(stock), Shops: float64(shops)}
		if shops > 1 {
			sc.Stock.ExpressShare = rapid.Float64Range(0, 0.99).Draw(t, "express")
		}
		items, sum := sc.Items(), 0
		for _, n := range items {
			if n < 0 {
				t.Fatalf("%v", items)
			}
			sum += n
		}
		if len(items) != shops || sum != stock {
			t.Fatalf("%d items hold %d", len(items), sum)
		}
		rest := items
		if sc.Stock.ExpressShare > 0 {
			rest = items[1:]
		}
		if slices.Max(rest)-slices.Min(rest) > 1 {
			t.Fatalf("uneven: %v", items)
		}
	})
}

func TestRuntime(t *testing.T) {
	sc := scale(t, "suikang-gate-opened").WithSeed(4)
	before, after := sc.RuntimeAt(-5*time.Minute), sc.RuntimeAt(0)
	if before.Version != 1 || before.Probability != 0.2 || after.Version != 2 || after.Probability != 1 || after.Gate != policy.GateOriginal {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if sc.RuntimeAt(-290*time.Second) != after || sc.RuntimeAt(-290*time.Second-1) != before {
		t.Error("the change is not at 19:55")
	}
	if sc.Admission.Probability != 1 || sc.Full.Admission.Probability != 0.2 {
		t.Errorf("the run starts with %v", sc.Admission.Probability)
	}
	if len(sc.ChangesWithin()) != 0 {
		t.Error("a change before the window counts as within it")
	}
	s := load(t, "suikang-sweep")
	s.Changes = []Change{{At: -time.Second, Key: ChangeResults, To: "off"}, {At: 13 * time.Second, Key: ChangeGate, To: "coin"}, {At: 13 * time.Second, Key: ChangeProbability, To: "12.5 %"}}
	quick, err := Scale(s, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	within := quick.ChangesWithin()
	if len(within) != 3 || within[0].At != 200*time.Millisecond || within[2].At != 3*time.Second || within[2].Runtime.Version != 4 ||
		within[2].Runtime.Probability != 0.125 || within[2].Runtime.Gate != policy.GateCoin || within[2].Runtime.Results {
		t.Errorf("%+v", within)
	}
	if got := quick.RuntimeAt(3 * time.Second); got != within[2].Runtime {
		t.Errorf("%+v", got)
	}
	if rt := scale(t, "suikang-2020-01-31", "layers.admission", "off").RuntimeAt(0); rt.Gate != policy.GateOff {
		t.Errorf("admission off leaves the gate %v", rt.Gate)
	}
	if rt := sc.RuntimeAt(0); rt.Coin.Period != 5*time.Second || rt.Coin.K0 == rt.Coin.K1 || rt.Coin.K0 == scale(t, "suikang-coin").RuntimeAt(0).Coin.K0 {
		t.Errorf("coin %+v", rt.Coin)
	}
}

func TestFaultsWithin(t *testing.T) {
	s := load(t, "suikang-sweep")
	s.Faults = []Fault{{At: 13 * time.Second, Kind: fault.SlowStore, For: 60 * time.Second, Amount: 0.5},
		{At: -12 * time.Second, Kind: fault.WriterStop, For: 15 * time.Second}}
	sc, err := Scale(s, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := []Fault{{At: 0, Kind: fault.WriterStop, For: time.Second},
		{At: 3 * time.Second, Kind: fault.SlowStore, For: 4 * time.Second, Amount: 0.1}}
	if got := sc.FaultsWithin(); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

// Seconds are quickened, counts thinned but never to none, shares and instances stay.
func TestFaultAmounts(t *testing.T) {
	text := "extends: suikang-2020-01-31\nname: mine\nscale: {people: 1:100, time: 2 x}\nfaults:\n"
	for _, f := range []string{"clock-step, amount: -1h", "slow, target: gateway-redis, amount: 300ms", "poison, amount: 301 messages",
		"duplicate, amount: 2 entries", "ack-lost, target: redis, amount: 20 %", "kill, target: gateway", "instance-loss, amount: 3 x"} {
		text += "  - {at: 5s, for: 1s, kind: " + f + "}\n"
	}
	s, err := Parse([]byte(text), "f.yaml")
	if err != nil {
		t.Fatal(err)
	}
	sc, err := ScaleWithin(s, 0, 0, Unbounded)
	if err != nil {
		t.Fatal(err)
	}
	var got []float64
	for _, f := range sc.FaultsWithin() {
		got = append(got, f.Amount)
	}
	if want := []float64{-1800, 0.15, 4, 1, 0.2, 1, 3}; !slices.Equal(got, want) {
		t.Errorf("amounts %v, want %v", got, want)
	}
}

func TestHeader(t *testing.T) {
	h := scale(t, "suikang-2020-01-31", "layers.ladder", "off").WithSeed(42).Header()
	if h.Scenario != "suikang-2020-01-31" || h.Seed != 42 || h.Mode != "queued" || h.People != 0.01 || h.TimeScale != 1 ||
		len(h.Digest) != 64 || len(h.Windows) != 4 || h.Shards != 1 || !slices.Equal(h.Switched, []string{"ladder"}) || h.Baseline {
		t.Errorf("%+v", h)
	}
	if h.Capacity["gateway.units/s"] != 1600 || h.Capacity["ledger.rows/s"] != 40 || h.Capacity["queue.depth"] != 200 || h.Capacity["stock.reservations"] != 756 {
		t.Errorf("%v", h.Capacity)
	}
	if len(h.Assumptions) < 40 || h.Assumptions[0].Key != "population.users" || h.Assumptions[0].Base != "5_000_000 users" {
		t.Errorf("%+v", h.Assumptions)
	}
	if at := h.RunTime(0); at != 10*time.Second {
		t.Errorf("the opening is at %v of the run", at)
	}
	l := scale(t, "suikang-lossless").Header()
	if !l.Baseline || l.Capacity["ledger.units/s"] != 350 || len(l.Switched) != 10 {
		t.Errorf("%+v", l)
	}
}

func TestWindowsAreInOrder(t *testing.T) {
	for _, name := range Names() {
		last := load(t, name).Window.From
		for _, w := range load(t, name).Windows() {
			if w.From != last || w.To <= w.From {
				t.Errorf("%s: %+v after %v", name, w, last)
			}
			last = w.To
		}
	}
}

func TestLayersTable(t *testing.T) {
	if !slices.Equal(slices.Sorted(slices.Values(LayerWords())), sortedKeys(Layers)) {
		t.Error("LayerWords and Layers differ")
	}
	s := load(t, "suikang-2020-01-31")
	for _, w := range LayerWords() {
		if err := s.Set("layers."+w, "off"); err != nil || s.On(w) {
			t.Errorf("%s: %v", w, err)
		}
		if _, err := Scale(s, 0, 0); err != nil {
			t.Errorf("%s off: %v", w, err)
		}
	}
	if s.Mode != booking.ModeQueued || len(s.Switched()) != len(Layers) {
		t.Error("a switch changed more than its layer")
	}
}
