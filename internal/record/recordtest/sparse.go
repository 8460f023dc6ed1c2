package recordtest

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"spillway/internal/record"
)

// Sparse is a small evening with parts missing and strange values in it, as an
// interrupted run or somebody else's target may leave them. Readers must neither
// panic nor make up numbers.
func Sparse(seed uint64) *record.Record {
	r := Make(Options{Seed: seed, People: 0.0002, Bots: int(seed % 3), Lossless: seed%5 == 0})
	w := &world{rng: seed*0x9e3779b97f4a7c15 + 99}
	gone := func(p float64) bool { return w.u() < p }
	share := []float64{0, 0.3, 0.9, 1}[int(w.u()*4)]
	for _, k := range r.Keys() {
		if gone(share) {
			delete(r.Hists, k)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Counters)) {
		switch {
		case gone(share):
			delete(r.Counters, name)
		case gone(0.3):
			r.Counters[name] = r.Counters[name][:int(w.u()*float64(len(r.Counters[name])))]
		}
	}
	odd := []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 1e300, 0}
	for _, name := range slices.Sorted(maps.Keys(r.Samples)) {
		p := r.Samples[name]
		switch {
		case gone(share):
			delete(r.Samples, name)
		case gone(0.3):
			r.Samples[name] = p[:int(w.u()*float64(len(p)))]
		case gone(0.3):
			p[int(w.u()*float64(len(p)))].Value = odd[int(w.u()*float64(len(odd)))]
		}
	}
	for i := range r.Groups {
		if gone(share) {
			r.Groups[i] = record.Group{Name: fmt.Sprintf("<b>%d\n\x1b[31m", i)}
		}
	}
	if gone(share) {
		r.Groups = nil
	}
	if gone(share) {
		r.Deciles = r.Deciles[:int(w.u()*10)]
	}
	if gone(share) {
		clear(r.Marks)
	}
	h := &r.Header
	if gone(0.3) {
		h.Capacity = map[string]float64{"stock.reservations": odd[int(w.u()*float64(len(odd)))]}
	}
	if gone(0.3) {
		h.Windows = []record.Window{{Name: "peak", From: math.MinInt64, To: math.MaxInt64}, {Name: "rise"}}
	}
	if gone(0.2) {
		h.Windows = nil
	}
	if gone(0.2) {
		h.From, h.To = time.Duration(math.MaxInt64), time.Duration(math.MinInt64)
	}
	if gone(0.2) {
		h.People, h.TimeScale = 1e-300, 1e300
	}
	if gone(0.3) {
		h.Margin = odd[int(w.u()*float64(len(odd)))]
	}
	if gone(0.3) {
		h.Objectives = append(h.Objectives, "nonsense", "submit.rise.mean < 1s", "ledger.count > 5", "amplification.peak < 2",
			"gave-up.share < 40 %", "gateway.load.max < 1", "invariant.balance == 0", "attack.lateness.p99.9 < 1s")
	}
	h.Partial = gone(0.3)
	return r
}
