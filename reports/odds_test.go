package reports

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"spillway/internal/record"
)

// tail is the probability of k hits of n or more, summed up term by term.
func tail(k, n uint64, p float64) (sum float64) {
	choose := func(i uint64) float64 {
		a, _ := math.Lgamma(float64(n) + 1)
		b, _ := math.Lgamma(float64(i) + 1)
		c, _ := math.Lgamma(float64(n-i) + 1)
		return a - b - c
	}
	for i := k; i <= n; i++ {
		sum += math.Exp(choose(i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return sum
}

// The ends of an exact interval are the shares at which what was seen is just 2.5 % likely.
func TestExactShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := uint64(rapid.IntRange(1, 3000).Draw(t, "n"))
		k := uint64(rapid.IntRange(0, int(n)).Draw(t, "k"))
		lo, hi := ExactShare(k, n)
		if k > 0 {
			if p := tail(k, n, lo); math.Abs(p-0.025) > 1e-6 {
				t.Fatalf("%d of %d: at the lower end %g it is %g likely", k, n, lo, p)
			}
		} else if lo != 0 {
			t.Fatalf("none of %d: from %g", n, lo)
		}
		if k < n {
			if p := 1 - tail(k+1, n, hi); math.Abs(p-0.025) > 1e-6 {
				t.Fatalf("%d of %d: at the upper end %g it is %g likely", k, n, hi, p)
			}
		} else if hi != 1 {
			t.Fatalf("all of %d: to %g", n, hi)
		}
	})
	for want, c := range map[string]Chance{"1.510 % [1.500 … 1.521 %]": NewChance("", 75_600, 5_005_000), "10.0 % [5.4 … 16.5 %]": NewChance("", 13, 130),
		"0 % [0 … 98 %]": NewChance("", 0, 1), "0.0000 % [0.0000 … 0.0001 %]": NewChance("", 0, 4_000_000), "n/a": NewChance("", 0, 0)} {
		if got := c.Text(); got != want {
			t.Errorf("%d of %d: %s, want %s", c.Won, c.Of, got, want)
		}
	}
	if lo, hi := ExactShare(0, 0); lo != 0 || hi != 1 {
		t.Errorf("nobody: %g to %g", lo, hi)
	}
	// Of millions it is the normal one.
	const k, n = 75_600, 5_005_000
	p := float64(k) / n
	half := 1.959964 * math.Sqrt(p*(1-p)/n)
	if lo, hi := ExactShare(k, n); math.Abs(lo-(p-half)) > 1e-6 || math.Abs(hi-(p+half)) > 1e-6 {
		t.Errorf("of millions: %g to %g, want about %g to %g", lo, hi, p-half, p+half)
	}
}

// sale is a record of 100 persons of two classes and 5 bots: 30 pressed, the first ten
// of whom won, and 4 bots.
func sale() (*record.Record, map[string]uint64) {
	r := record.New(record.Header{Scenario: "sale"})
	group := func(name string, won uint64) record.Group {
		return record.Group{Name: name, Stages: map[string]uint64{record.StageConfirmed: won}}
	}
	r.Groups = []record.Group{group("a", 7), group("b", 3), group(record.GroupBots, 4)}
	for i := range 10 {
		d := record.Decile{Pressers: 3}
		switch {
		case i < 3:
			d.Confirmed = 3
		case i == 3:
			d.Confirmed = 1
		}
		r.Deciles = append(r.Deciles, d)
	}
	return r, map[string]uint64{"a": 60, "b": 40, record.GroupBots: 5}
}

func TestOddsOf(t *testing.T) {
	r, persons := sale()
	o, err := OddsOf(r, persons)
	if err != nil {
		t.Fatal(err)
	}
	if o.All.Won != 14 || o.All.Of != 105 || o.Late.Of != 70 || o.Late.Won != 0 {
		t.Errorf("all %+v, late %+v", o.All, o.Late)
	}
	if g := o.Groups[2]; g.Name != record.GroupBots || g.Won != 4 || g.Of != 5 || g.Share.V != 0.8 {
		t.Errorf("bots %+v", g)
	}
	// The first tenth of 100 people is the first ten of thirty pressers: three tenths of
	// these and a third of the next, of whose one winner a third is rounded to none.
	if o.Tenths[0].Won != 9 || o.Tenths[1].Won != 1 || o.Tenths[2].Won != 0 || o.Tenths[9].Of != 10 {
		t.Errorf("tenths %+v", o.Tenths)
	}
	// Whoever presses in two visits is two pressers: there may be more of them than people.
	r, persons = sale()
	persons["a"], persons["b"] = 10, 10
	if o, err = OddsOf(r, persons); err != nil || o.Late.Of != 0 || o.Late.Share.OK {
		t.Errorf("more pressers than people: %v, late %+v", err, o.Late)
	}
	for _, spoil := range []func(){func() { r.Deciles = nil }, func() { persons["a"] = 6 }, func() { r.Groups = nil }} {
		r, persons = sale()
		spoil()
		if _, err := OddsOf(r, persons); err == nil {
			t.Error("a record that cannot tell is taken")
		}
	}
}

// Whatever the record says, everybody is in one tenth and every winner too.
func TestOddsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := record.New(record.Header{Scenario: "any"})
		var won, pressed uint64
		for range 10 {
			d := record.Decile{Pressers: uint64(rapid.IntRange(0, 50).Draw(t, "pressers"))}
			d.Confirmed = uint64(rapid.IntRange(0, int(d.Pressers)).Draw(t, "won"))
			won, pressed = won+d.Confirmed, pressed+d.Pressers
			r.Deciles = append(r.Deciles, d)
		}
		people := pressed + uint64(rapid.IntRange(0, 1000).Draw(t, "late"))
		r.Groups = []record.Group{{Name: "a", Stages: map[string]uint64{record.StageConfirmed: won}}}
		o, err := OddsOf(r, map[string]uint64{"a": people})
		if err != nil {
			t.Fatal(err)
		}
		var of, k uint64
		for _, d := range o.Tenths {
			of, k = of+d.Of, k+d.Won
			if d.Of > people/10+1 {
				t.Fatalf("a tenth of %d people has %d", people, d.Of)
			}
		}
		if of != people || k != won {
			t.Fatalf("%d of %d people in tenths, %d of %d winners", of, people, k, won)
		}
	})
}

func TestEven(t *testing.T) {
	groups := func(won ...uint64) (out []Chance) {
		for _, k := range won {
			out = append(out, NewChance("", k, 1_000_000))
		}
		return append(out, NewChance("empty", 0, 0))
	}
	if e := Even(groups(500, 500, 500)); e.ChiSquare != 0 || e.Freedom != 2 || e.P != 1 {
		t.Errorf("equal: %+v", e)
	}
	if e := Even(groups(1000, 10, 10)); e.P > 1e-12 {
		t.Errorf("unequal: %+v", e)
	}
	// With one degree of freedom it is a normal's two tails.
	e := Even(groups(520, 480))
	due, share := 500.0, 0.0005
	x := 2 * 20 * 20 / due / (1 - share)
	if math.Abs(e.ChiSquare-x) > 1e-9 || math.Abs(e.P-math.Erfc(math.Sqrt(x/2))) > 1e-9 {
		t.Errorf("one degree: %+v", e)
	}
	for _, list := range [][]Chance{nil, groups(), groups(0, 0), {NewChance("all", 5, 5), NewChance("all", 5, 5)}} {
		if e := Even(list); e.P != 1 || e.ChiSquare != 0 {
			t.Errorf("nothing to test: %+v", e)
		}
	}
}

// The load is what the counters say.
func TestLoadOf(t *testing.T) {
	r := record.New(record.Header{Label: "sim", People: 0.01, TimeScale: 2, From: -4e9, To: 16e9})
	r.Counters[record.CountRequests] = []uint64{1, 2, 3, 40}
	r.Counters[record.CountPolls] = []uint64{0, 0, 0, 2, 2}
	r.Hist(record.Key{Span: record.SpanLateness, Clock: record.Response}).AddN(8e6, 2000)
	l := LoadOf(r)
	if math.Abs(l.Lateness.V-0.008) > 0.008/200 {
		t.Errorf("lateness is wall time: %v, want 8 ms", l.Lateness)
	}
	if l.Requests != 50 || l.PeakS != 42 || l.PeakAtS != 2 || l.MeanS != 5 || l.PeakMean != 8.4 || l.Scale != "1:100" {
		t.Errorf("%+v", l)
	}
	if !(l.PeakIn[0] < 42 && l.PeakIn[1] > 42 && l.MeanIn[0] < 5 && l.MeanIn[1] > 5) || l.Submit.Value.OK {
		t.Errorf("%+v", l)
	}
	if l := LoadOf(record.New(record.Header{})); l.MeanS != 0 || l.PeakMean != 0 || l.Lateness.OK {
		t.Errorf("nothing: %+v", l)
	}
}

// A comparison reads back, and says what it was not asked.
func TestVersusText(t *testing.T) {
	r, persons := sale()
	o, err := OddsOf(r, persons)
	if err != nil {
		t.Fatal(err)
	}
	v := Versus{Sides: [2]Side{{Name: "rush", Odds: o, Simulated: LoadOf(r)}, {Name: "lottery", Odds: o, Simulated: LoadOf(r)}}, Notes: []string{"a note"}}
	text := v.Text()
	for _, want := range []string{"not asked", "too late to press", "13.3 % [", "note: a note", "equal chances"} {
		if !strings.Contains(text, want) {
			t.Errorf("does not say %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "Measured") || len(v.OddsTable(true).Rows) != 0 {
		t.Errorf("what was not measured is shown:\n%s", text)
	}
	v.Sides[0].Servers, v.Sides[1].Servers = &Servers{Fewest: 14, Held: "5 of 5", Times: 1, Breaks: "x"}, &Servers{}
	for i := range v.Sides {
		s := &v.Sides[i]
		l := s.Simulated
		s.Measured, s.Scaled, s.Taken, s.Valid = &l, &o, Taken(r), "HELD"
	}
	text = v.Text()
	for _, want := range []string{"14 (holds in 5 of 5 seeds)", "nothing that was tried holds", "Measured", "nobody submitted"} {
		if !strings.Contains(text, want) {
			t.Errorf("does not say %q:\n%s", want, text)
		}
	}
	js, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var again Versus
	if err := json.Unmarshal(js, &again); err != nil || again.Text() != text {
		t.Errorf("%v: it does not read back", err)
	}
}
