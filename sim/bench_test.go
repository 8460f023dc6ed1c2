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

// BenchmarkDay is the whole evening. 1:1 is 170 million visits.
func BenchmarkDay(b *testing.B) {
	for _, n := range []float64{100, 10, 1} {
		b.Run(fmt.Sprintf("1:%g", n), func(b *testing.B) {
			if testing.Short() && n < 100 {
				b.Skip("minutes")
			}
			bench(b, day(b, 1/n), Options{})
		})
	}
}
