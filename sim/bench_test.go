package sim

import (
	"context"
	"fmt"
	"runtime"
	"testing"
)

// BenchmarkEvening runs the default scenario's window of 50 s, visit by visit.
// events/s are events of the kernel and arrivals.
func BenchmarkEvening(b *testing.B) {
	for _, n := range []float64{100, 10} {
		b.Run(fmt.Sprintf("1:%g", n), func(b *testing.B) {
			sc := scaled(b, "suikang-2020-01-31", 1/n, 1, 1)
			var last Progress
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for b.Loop() {
				if _, err := Run(context.Background(), sc, Options{Progress: func(p Progress) { last = p }}); err != nil {
					b.Fatal(err)
				}
			}
			runtime.ReadMemStats(&after)
			runs := float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(float64(last.Visits)*runs, "visits/s")
			b.ReportMetric(float64(last.Events)*runs, "events/s")
			b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(b.N)/float64(last.Visits), "B/visit")
		})
	}
}
