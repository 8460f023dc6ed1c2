package reports

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"spillway/internal/record"
	"spillway/internal/record/recordtest"
)

func pairOf(t *testing.T, o recordtest.Options) (sim, attack *record.Record) {
	t.Helper()
	o.Seed = 1
	sim = recordtest.Make(o)
	sim.Header.Label = "sim"
	o.Seed = 2
	return sim, recordtest.Make(o)
}

// A record predicts itself without an error, with every kind of figure.
func TestPredictItself(t *testing.T) {
	_, r := pairOf(t, recordtest.Options{Bots: 50})
	p, err := Predict("", r, r)
	if err != nil {
		t.Fatal(err)
	}
	if p.Errors.N < 12 || p.Errors.Worst.V != 0 || !p.Errors.Met() {
		t.Errorf("errors %+v", p.Errors)
	}
	for _, want := range []string{"requests.rate", "confirmed.rate", "share.busy", "status.p50", "status.p95", "status.p99", "ledger.p50", "queue.depth.max", "sold-out.at", "amplification.max"} {
		found := false
		for _, f := range p.Figures {
			if f.Name != want {
				continue
			}
			found = true
			if f.High.OK && (f.Low.V > f.Measured.V || f.High.V < f.Measured.V) {
				t.Errorf("%s: %v outside [%v, %v]", want, f.Measured.V, f.Low.V, f.High.V)
			}
			if f.Interval == "" {
				t.Errorf("%s does not say which interval it has", want)
			}
		}
		if !found {
			t.Errorf("%s is missing", want)
		}
	}
	if text := p.Table().Text(); !strings.Contains(text, "median error 0.0 %") && !strings.Contains(text, "Median error 0.0 %") {
		t.Error(text)
	}
	if _, err := json.Marshal(p); err != nil {
		t.Error(err)
	}
}

// An error is predicted / measured - 1, and one that is too large misses the goal.
func TestPredictErrors(t *testing.T) {
	sim, attack := pairOf(t, recordtest.Options{})
	double := make([]uint64, len(attack.Counters[record.CountOffered]))
	for i, n := range attack.Counters[record.CountOffered] {
		double[i] = 2 * n
	}
	sim.Counters[record.CountOffered] = double
	p, err := Predict("x", sim, attack)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range p.Figures {
		if f.Name == "submits.rate" && math.Abs(f.Error.V-1) > 1e-9 {
			t.Errorf("twice the submits are an error of %v", f.Error.V)
		}
	}
	if p.Errors.Met() || p.Errors.Worst.V < 0.9 {
		t.Errorf("errors %+v", p.Errors)
	}
	// Within 2σ nothing is an error.
	attack.Header.Margin = -1.9
	if p, err = Predict("x", sim, attack); err != nil || !p.Near || p.Errors.N != 0 || !strings.Contains(p.Table().Text(), "too close to call") {
		t.Errorf("near %v, %d errors, %v", p.Near, p.Errors.N, err)
	}
	attack.Header.Margin = 6
	for name, spoil := range map[string]func(){
		"window":   func() { attack.Header.To++ },
		"scale":    func() { attack.Header.People *= 2 },
		"settings": func() { attack.Header.Digest = "other" },
		"scenario": func() { attack.Header.Scenario = "other" },
		"lagged":   func() { attack.Header.Saturated = true },
		"partial":  func() { attack.Header.Partial = true },
	} {
		was := attack.Header
		spoil()
		if _, err := Predict("", sim, attack); !errors.Is(err, ErrNoPair) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
		attack.Header = was
	}
}

// Several simulated evenings: the prediction is their mean, their spread is what one
// evening may be off, and an error that it explains is no miss, one beyond it is.
func TestPredictByEvenings(t *testing.T) {
	attack := recordtest.Make(recordtest.Options{Seed: 1})
	submits := func(n uint64) *record.Record {
		r := recordtest.Make(recordtest.Options{Seed: 1})
		r.Header.Seed = 2
		r.Counters[record.CountOffered] = []uint64{n}
		return r
	}
	figure := func(measured uint64, sims ...uint64) (Predicted, Prediction) {
		t.Helper()
		attack.Counters[record.CountOffered] = []uint64{measured}
		var rs []*record.Record
		for _, n := range sims {
			rs = append(rs, submits(n))
		}
		p, err := PredictBy("x", rs, attack)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range p.Figures {
			if f.Name == "submits.rate" {
				return f, p
			}
		}
		t.Fatal("no submits")
		return Predicted{}, p
	}
	// 50 s: 400, 800, 1,200 submits have a mean of 16/s and a deviation of 8/s, so that
	// one evening lies within 4.303 · 8 · √(4/3) = 39.7/s of it.
	f, p := figure(500, 400, 800, 1200)
	if math.Abs(f.Predicted.V-16) > 1e-9 || math.Abs(f.To.V-16-39.75) > 0.01 || !f.Within || f.Counts || p.Errors.Within < 1 || p.Evenings != 3 {
		t.Errorf("%+v", f)
	}
	if text := p.Table().Text(); !strings.Contains(text, "the mean of 3 simulated evenings") || !strings.Contains(text, "(+60.0 %)") {
		t.Error(text)
	}
	// The same spread does not explain ten times as many.
	if f, p := figure(8000, 400, 800, 1200); f.Within || !f.Counts || p.Errors.Met() {
		t.Errorf("%+v", f)
	}
	// Evenings that agree leave nothing to chance.
	if f, _ := figure(800, 1000, 1001, 1002); f.Within || !f.Counts || math.Abs(f.Error.V-0.25125) > 1e-3 {
		t.Errorf("%+v", f)
	}
	// Nor are few events an excuse: 30 where 300 were measured, or the other way round.
	if f, _ := figure(30, 300); f.Within || !f.Counts {
		t.Errorf("%+v", f)
	}
	if f, _ := figure(30, 33); !f.Within || f.Counts {
		t.Errorf("%+v", f)
	}
}

// What the machine adds to calls of milliseconds shows in the edge's: where it added
// other than in calibration a response time is not known to a quarter, and that is
// said; whole bookings and counts are held to the goal as ever.
func TestPredictNoise(t *testing.T) {
	slower := func(d time.Duration, spans ...string) *record.Record {
		r := recordtest.Make(recordtest.Options{Seed: 1})
		for k, h := range r.Hists {
			if k.Clock != record.Response || !slices.Contains(spans, k.Span) {
				continue
			}
			moved := &record.Hist{}
			for _, b := range h.Buckets() {
				moved.AddN(b.Top+d, b.Count)
			}
			r.Hists[k] = moved
		}
		return r
	}
	sim := recordtest.Make(recordtest.Options{Seed: 1})
	of := func(attack *record.Record, name string) Predicted {
		p, err := Predict("x", sim, attack)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range p.Figures {
			if f.Name == name {
				return f
			}
		}
		t.Fatal("no " + name)
		return Predicted{}
	}
	const late = 40 * time.Millisecond
	if f := of(slower(late, "status", "config"), "status.p50"); !f.Within || f.Counts {
		t.Errorf("the whole machine was slower: %+v", f)
	}
	if f := of(slower(late, "status"), "status.p50"); f.Within || !f.Counts || f.Error.V > -0.25 {
		t.Errorf("the gateways alone were slower: %+v", f)
	}
	if f := of(slower(40*time.Second, record.SpanBooking, "config"), "booking.p50"); f.Within || !f.Counts {
		t.Errorf("bookings were slower: %+v", f)
	}
}

// Intervals against tables: Poisson (Garwood), Wilson (Newcombe 1998), and the sum
// of several predictions.
func TestIntervals(t *testing.T) {
	near := func(what string, got, want, tolerance float64) {
		t.Helper()
		if math.Abs(got-want) > tolerance {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	for _, x := range []struct{ n, low, high float64 }{{0, 0, 3.69}, {10, 4.80, 18.39}, {100, 81.36, 121.63}} {
		low, high := poisson(x.n)
		near("poisson low", low, x.low, 0.02)
		near("poisson high", high, x.high, 0.03)
	}
	low, high := wilson(81, 263)
	near("wilson low", low, 0.2553, 1e-4)
	near("wilson high", high, 0.3662, 1e-4)
	one := func(name string, errs ...float64) Prediction {
		p := Prediction{Name: name}
		for _, e := range errs {
			p.Figures = append(p.Figures, Predicted{Label: "f", Error: Got(e), Counts: true})
		}
		return p
	}
	e := Summed(one("a", 0.01, -0.02), one("b", 0.2, 0.03), Prediction{Figures: []Predicted{{}}})
	if e.N != 4 || e.Uncalled != 1 || !e.Met() || e.WorstOf != "f, b" {
		t.Errorf("%+v", e)
	}
	near("median", e.Median.V, 0.025, 1e-12)
	near("worst", e.Worst.V, 0.2, 1e-12)
	if Summed(one("a", 0.01, -0.26)).Met() || Summed(one("a", 0.11, 0.11)).Met() || Summed().Met() {
		t.Error("a goal is met that is not")
	}
}
