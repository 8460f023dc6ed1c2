package sim

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"spillway/internal/draw"
	"spillway/scenarios"
)

// day is the default scenario from its first visit to its last, changed by settings.
func day(b testing.TB, people float64, settings ...string) *scenarios.Scaled {
	return scaled(b, "suikang-2020-01-31", people, 1, draw.Seed(1),
		append([]string{"window.from", "-2h", "window.to", "4h"}, settings...)...)
}

// bench runs a scenario and reports how much of it a second of wall time does;
// events are those of the plain engine's kernel, and arrivals.
func bench(b *testing.B, sc *scenarios.Scaled, opt Options) {
	var last Progress
	opt.Progress = func(p Progress) { last = p }
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for b.Loop() {
		if _, err := Run(context.Background(), sc, opt); err != nil {
			b.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	runs := float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(float64(last.Visits)*runs, "visits/s")
	b.ReportMetric(float64(last.Events)*runs, "events/s")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(b.N)/float64(last.Visits), "B/visit")
}

// BenchmarkOpening is the default scenario's own window of 50 s, on both engines.
func BenchmarkOpening(b *testing.B) {
	for _, n := range []float64{100, 10} {
		for _, plain := range []bool{true, false} {
			b.Run(fmt.Sprintf("1:%g/plain=%v", n, plain), func(b *testing.B) {
				bench(b, scaled(b, "suikang-2020-01-31", 1/n, 1, 1), Options{Plain: plain})
			})
		}
	}
}

// BenchmarkDay is the whole evening, 170 million visits at 1:1, as it was and in two
// variants: one that never sells out, with a writer that cannot keep up, so that
// people press, are refused and press again for four hours; and one in which hardly
// a press passes the gate, so that people press all the time.
func BenchmarkDay(b *testing.B) {
	for _, v := range []struct {
		name     string
		settings []string
	}{
		{"sell-out", nil},
		{"heavy", []string{"stock.reservations", "100_000_000 reservations", "ledger.rate", "300 rows/s", "admission.probability", "50%"}},
		{"lottery-like", []string{"stock.reservations", "100_000_000 reservations", "admission.gate", "coin", "admission.probability", "0.14%", "visitor.give_up", "12%"}},
	} {
		for _, n := range []float64{100, 10, 1} {
			b.Run(fmt.Sprintf("%s/1:%g", v.name, n), func(b *testing.B) {
				if testing.Short() && n < 100 {
					b.Skip("minutes")
				}
				bench(b, day(b, 1/n, v.settings...), Options{})
			})
		}
	}
}
