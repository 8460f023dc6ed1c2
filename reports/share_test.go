package reports_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"spillway/internal/record"
	"spillway/internal/record/recordtest"
	"spillway/reports"
)

// Values of Wilson's interval by hand: z²=3.8415; for 10 of 100 the centre is
// (0.1+0.019207)/1.038415 = 0.114797 and the half-width 0.059553.
func TestWilson(t *testing.T) {
	for _, c := range []struct {
		k, n   uint64
		lo, hi float64
	}{{10, 100, 0.0552, 0.1744}, {0, 10, 0, 0.2775}, {10, 10, 0.7225, 1}, {0, 0, 0, 1}, {50, 50, 0.9287, 1}} {
		lo, hi := reports.Wilson(c.k, c.n)
		if math.Abs(lo-c.lo) > 1e-4 || math.Abs(hi-c.hi) > 1e-4 {
			t.Errorf("%d of %d: %.4f to %.4f, want %.4f to %.4f", c.k, c.n, lo, hi, c.lo, c.hi)
		}
	}
}

// A run collapses by its calls without an answer, not by what it refuses politely.
func TestCollapse(t *testing.T) {
	if reports.Collapsed(recordtest.Evening(1)) || !reports.Collapsed(recordtest.Lossless(1)) {
		t.Error("the evening collapsed, or the synchronous one did not")
	}
	run := func(timeouts uint64) *record.Record {
		r := record.New(record.Header{People: 1, TimeScale: 1, To: 10 * time.Second, Shards: 1})
		for outcome, n := range map[string]uint64{"timeout": timeouts, "busy": 1000 - timeouts} {
			r.Hist(record.Key{Span: "submit", Clock: record.Response, Outcome: outcome, Group: "people"}).AddN(time.Second, n)
		}
		return r
	}
	runs := []*record.Record{run(99), run(100), run(0)}
	table := reports.Sweep([]reports.Point{{Records: runs}})
	if text := table.Text(); !strings.Contains(text, "1 of 3 [6 … 79 %]") {
		t.Errorf("one of three collapsed:\n%s", text)
	}
	if text := reports.Sweep([]reports.Point{{Records: runs[:2]}}).Text(); strings.Contains(text, "collapsed") {
		t.Errorf("a share of two runs:\n%s", text)
	}
}
