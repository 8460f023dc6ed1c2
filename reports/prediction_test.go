package reports

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

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
