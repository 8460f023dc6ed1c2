package model

import (
	"testing"
	"time"

	"spillway/internal/policy"
	"spillway/sim/window"
)

// BenchmarkWalk leads visits along their whole path where hardly a press passes; it
// reports nanoseconds a lost press.
func BenchmarkWalk(b *testing.B) {
	sc := scaled(b, "suikang-2020-01-31", 1, 1, 1, "window.from", "-2h", "window.to", "4h", "stock.reservations", "100_000_000 reservations",
		"admission.gate", "coin", "admission.probability", "0.14%", "visitor.give_up", "12%")
	e, err := newEvening(sc, Options{})
	if err != nil {
		b.Fatal(err)
	}
	s := e.windows.shards[0]
	s.pressers.round()
	opened := sc.OpenAt + 20*time.Minute
	s.view.openUntil = e.end
	var taken int64
	var out []uint64
	var visit, presses uint32
	for b.Loop() {
		visit++
		v := cold{visit: visit, user: visit * 7919 % 5_000_000, version: 1, state: uint8(policy.PhaseNotice)}
		p := path{opened: opened, asks: s.paths.last, until: s.paths.last, presses: true}
		s.walk(&v, &p, -1, 1)
		presses += uint32(v.presses)
		if visit%4096 == 0 {
			opened += time.Second / 4
			if opened > e.end-30*time.Minute {
				opened = sc.OpenAt + 20*time.Minute
				s.paths.calls, taken = window.NewCalendar[uint64](callsAtHand), 0
			}
			for ; taken < int64(opened>>s.shift)-1; taken++ {
				out = s.paths.calls.Take(taken, out[:0])
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(presses), "ns/press")
	b.ReportMetric(float64(presses)/float64(visit), "presses/visit")
}
