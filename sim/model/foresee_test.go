package model

import (
	"cmp"
	"context"
	"testing"
	"time"

	"spillway/scenarios"
)

// foreseeing runs a scenario whose answers are foreseen however small it is, holds it
// against the plain engine's record, and returns what its servers' part has seen.
func foreseeing(t *testing.T, sc *scenarios.Scaled, opt Options) *windows {
	t.Helper()
	plain := opt
	plain.Plain = true
	want := run(t, sc, plain)
	opt.foresee = true
	e, err := newEvening(sc, opt)
	if err != nil {
		t.Fatal(err)
	}
	e.run(t.Context())
	w := e.windows
	if w.wrong != 0 {
		got := run(t, sc, opt) // once more without
		for _, d := range differences(want, got) {
			t.Errorf("windows of 2^%d ns, foreseen wrongly: plain · windows: %s", w.shift, d)
		}
		return w
	}
	if err := cmp.Or(e.err, e.kernel.Err(), e.finish(false)); err != nil {
		t.Fatal(err)
	}
	for _, d := range differences(want, e.rec) {
		t.Errorf("windows of 2^%d ns: plain · windows: %s", w.shift, d)
	}
	if want.Digest() != e.rec.Digest() {
		t.Errorf("windows of 2^%d ns: the digests differ", w.shift)
	}
	return w
}

// With slots enough that every answer comes as foreseen, and users so few that many open
// the program again meanwhile, the record is the plain engine's.
func TestForesightGivesThePlainRecord(t *testing.T) {
	for name, set := range map[string][]string{
		"sold out":        nil,
		"ample":           {"stock.reservations", "10_000_000 reservations"},
		"same people":     {"population.users", "200_000 users", "visitor.config_life", "5s"},
		"hardly a pass":   {"population.users", "500_000 users", "stock.reservations", "10_000_000 reservations", "admission.gate", "coin", "admission.probability", "1%", "visitor.give_up", "5%"},
		"polite":          {"visitor.honours_retry_after", "on", "visitor.jitter", "on", "gateway.retry_after", "7s"},
		"no closed flag":  {"layers.closed", "off"},
		"short catalogue": {"edge.catalogue_life", "7s", "edge.config_life", "1s"},
		"no think time":   {"visitor.think_cv", "0 x"},
		"in-flight limit": {"gateway.in_flight", "1_000_000 requests"},
		"dear polls":      {"gateway.poll", "3 units", "gateway.status", "0.3 units"},
		"long forms":      {"visitor.form", "40s", "visitor.think_cv", "3 x", "population.users", "300_000 users", "stock.reservations", "10_000_000 reservations", "window.to", "150s"},
	} {
		t.Run(name, func(t *testing.T) {
			sc := scaled(t, "suikang-2020-01-31", 1.0/200, 1, 3, append([]string{"window.from", "-60s", "window.to", "90s", "gateway.capacity", "1_000_000 units/s"}, set...)...)
			var told [3]uint64
			var cut uint64
			for _, opt := range []Options{{}, {windowShift: 29, shardBits: 4, Network: 20 * time.Millisecond}, {windowShift: 23, shardBits: 2}, {windowShift: 22}, {exactPressers: 50}, {exactPressers: 50, windowShift: 25, shardBits: 4}} {
				w := foreseeing(t, sc, opt)
				if w.wrong != 0 {
					t.Errorf("windows of 2^%d ns: answers %b were foreseen wrongly", w.shift, w.wrong)
				}
				for i, n := range w.ways.foretold {
					told[i] += n
				}
				for _, s := range w.shards {
					cut += s.paths.cut
				}
			}
			if told[0] < 5_000 || told[1]+told[2] < 5_000 && name != "same people" || cut < 1_000 {
				t.Errorf("%d answers were foreseen, and %d paths cut: too few to show anything", told, cut)
			}
		})
	}
}

// Where an answer comes otherwise than was foreseen, as no slot is free, the run is done
// again without foreseeing it.
func TestForesightIsWithdrawn(t *testing.T) {
	for name, c := range map[string]struct {
		set   []string
		wrong foreseen
	}{
		"no slot for those who wait":  {nil, foreseenWait},
		"none for those it is closed": {[]string{"window.from", "-1s", "gateway.capacity", "6_000 units/s"}, foreseenClosed},
		"a rush that nobody predicts": {[]string{"window.from", "-1s", "stock.reservations", "10_000_000 reservations", "gateway.capacity", "60_000 units/s", "admission.probability", "100%"}, foreseenOpen},
	} {
		t.Run(name, func(t *testing.T) {
			sc := scaled(t, "suikang-2020-01-31", 1.0/200, 1, 3, append([]string{"window.from", "-60s", "window.to", "90s"}, c.set...)...)
			opt := Options{foresee: true}
			if c.wrong == foreseenOpen {
				sc.Prediction.PeakLoad = 0
			}
			if w := foreseeing(t, sc, opt); w.wrong&c.wrong == 0 {
				t.Errorf("answers %b were foreseen wrongly, want %b", w.wrong, c.wrong)
			}
		})
	}
}

// A run that is cut short has counted what it would have without foreseeing anything, but
// that whoever was replaced and has not noticed yet may be in flight or superseded.
func TestForesightCutShort(t *testing.T) {
	sc := scaled(t, "suikang-2020-01-31", 1.0/200, 1, 3, "window.from", "-60s", "window.to", "90s", "gateway.capacity", "1_000_000 units/s",
		"stock.reservations", "10_000_000 reservations")
	for _, seconds := range []time.Duration{30, 59, 70, 100, 149} {
		cut := func(opt Options) *windows {
			ctx, cancel := context.WithCancel(t.Context())
			opt.Network, opt.exactPressers = -1, 50 // a request reaches the servers in the window in which it is sent
			e, err := newEvening(sc, opt)
			if err != nil {
				t.Fatal(err)
			}
			e.opt.Progress = func(p Progress) {
				if p.Elapsed > seconds*time.Second {
					cancel()
				}
			}
			if !e.run(ctx) {
				t.Fatalf("after %d s: the run was not cut short", seconds)
			}
			w := e.windows
			if err := cmp.Or(e.err, e.kernel.Err(), e.finish(true)); err != nil {
				t.Fatalf("after %d s: %v", seconds, err)
			}
			return w
		}
		want, got := cut(Options{unforeseen: foreseenAll}), cut(Options{foresee: true})
		for _, w := range []*windows{want, got} {
			for _, g := range w.e.rec.Groups {
				g.Finals["in-flight"] += g.Finals["superseded"]
				delete(g.Finals, "superseded")
			}
		}
		for _, d := range differences(want.e.rec, got.e.rec) {
			t.Errorf("after %d s: without · with foresight: %s", seconds, d)
		}
		if want.e.rec.Digest() != got.e.rec.Digest() {
			t.Errorf("after %d s: the digests differ", seconds)
		}
		if got.ways.foretold[0] == 0 {
			t.Errorf("after %d s: nothing was foreseen", seconds)
		}
	}
}
