package plot

import (
	"math"
	"slices"
	"testing"
	"time"

	"gonum.org/v1/plot/vg"
	"pgregory.net/rapid"

	"spillway/internal/booking"
	"spillway/internal/record"
	"spillway/internal/record/recordtest"
)

func near(a, b, tol float64) bool { return math.Abs(a-b) <= tol }

// constant is a metric that reads its value from Header.WallSeconds; negative = n/a.
var constant = Metric{Name: "constant", Of: func(r *record.Record) (float64, bool) {
	return r.Header.WallSeconds, r.Header.WallSeconds >= 0
}}

func pointOf(vs ...float64) (p RunPoint) {
	for _, v := range vs {
		p.Records = append(p.Records, &record.Record{Header: record.Header{WallSeconds: v, Margin: math.NaN()}})
	}
	return p
}

// Three seeds 1, 2, 3: s = 1, so the half-width is 4.303/√3 = 2.4843. Below three
// seeds the interval is the range, and a seed that cannot tell is left out.
func TestSpread(t *testing.T) {
	for _, c := range []struct {
		vs   []float64
		want Spread
		ok   bool
	}{
		{[]float64{1, 2, 3}, Spread{N: 3, Mean: 2, Lo: -0.4843, Hi: 4.4843, T: true}, true},
		{[]float64{1, 3}, Spread{N: 2, Mean: 2, Lo: 1, Hi: 3}, true},
		{[]float64{-1, 5, -1}, Spread{N: 1, Mean: 5, Lo: 5, Hi: 5}, true},
		{[]float64{-1}, Spread{}, false},
		{nil, Spread{}, false},
	} {
		got, ok := pointOf(c.vs...).Of(constant)
		if ok != c.ok || got.N != c.want.N || got.T != c.want.T || !near(got.Mean, c.want.Mean, 1e-9) || !near(got.Lo, c.want.Lo, 1e-4) || !near(got.Hi, c.want.Hi, 1e-4) {
			t.Errorf("%v: %+v %v, want %+v %v", c.vs, got, ok, c.want, c.ok)
		}
	}
	if !pointOf(1).Near() == false || (RunPoint{Records: []*record.Record{{Header: record.Header{Margin: -1.9}}}}).Near() == false {
		t.Error("a margin of NaN is not near the tipping line, one of -1.9 σ is")
	}
}

// Four seeds of 400 calls each, none of which carries a p99: together they do. Two of
// them have 20 calls of 3 s, so 16 of all 1,600 lie in them; leaving any seed out
// leaves 1,200, and 3 s still.
func TestPooled(t *testing.T) {
	seed := func(slow time.Duration) *record.Record {
		rec := record.New(record.Header{TimeScale: 1})
		h := rec.Hist(record.Key{Span: booking.StepSubmit.String(), Clock: record.Response, Outcome: booking.Queued.String(), Group: "a"})
		for i := range 400 {
			d := time.Millisecond
			if i < 20 {
				d = slow
			}
			h.Add(d)
		}
		return rec
	}
	p := RunPoint{Records: []*record.Record{seed(time.Second), seed(2 * time.Second), seed(3 * time.Second), seed(3 * time.Second)}}
	m, _ := MetricByName("submit.p99")
	s, ok := p.Of(m)
	if !ok || !s.Pooled || s.N != 4 || !near(s.Mean, 3000, 20) || !(s.Lo <= s.Mean && s.Mean <= s.Hi) {
		t.Errorf("%+v %v", s, ok)
	}
	p.Records = p.Records[:2]
	if s, ok := p.Of(m); ok {
		t.Errorf("800 calls carry a p99: %+v", s)
	}
	p.Records = append(p.Records, seed(2*time.Second))
	if s, ok := p.Of(m); !ok || finite(s.Lo) {
		t.Errorf("800 of 1,200 calls cannot give an interval: %+v %v", s, ok)
	}
	// What was asked once is remembered by a sweep's points.
	points := Points([]*record.Record{seed(time.Second)})
	asked := 0
	count := Metric{Name: "asked", Of: func(*record.Record) (float64, bool) { asked++; return 1, true }}
	for range 3 {
		if s, ok := points[0].Of(count); !ok || s.Mean != 1 {
			t.Errorf("%+v %v", s, ok)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// Every text fits its cell or is as small as can be read.
func TestCompact(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.0074: ".01", 0.004: "<.01", 0.041: ".04", 0.23: "0.23", 31.52: "31.5", 896.4: "896", 1168: "1.2k", 13_900: "13.9k", 40_000: "40k", 2e7: "20 M"} {
		if got := compact(v); got != want {
			t.Errorf("%g = %q, want %q", v, got, want)
		}
	}
}

func TestSettingNumber(t *testing.T) {
	for in, want := range map[string]float64{"20%": 20, " 20 % ": 20, "20000": 20000, "20,000 entries": 20000, "1:100": 0.01, "800ms": 0.8,
		"1m30s": 90, "0": 0, "-5": -5, "0.25": 0.25, "4000 rows/s": 4000} {
		if got, ok := settingNumber(in); !ok || !near(got, want, 1e-12) {
			t.Errorf("%q = %v %v, want %v", in, got, ok, want)
		}
	}
	for _, in := range []string{"", "word", "%", "1:0", "1e400", "NaN", "--5", "5 2x9"} {
		if got, ok := settingNumber(in); ok {
			t.Errorf("%q = %v, want no number", in, got)
		}
	}
}

// A percentile appears only where the bins it covers can carry it, covers no more
// of them than allowed, does not cross a window, and is the true one.
func TestQuantilesAreCarried(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(5, 60).Draw(t, "seconds")
		border := rapid.IntRange(1, n-1).Draw(t, "border")
		rec := record.New(record.Header{TimeScale: 1, To: time.Duration(n) * time.Second,
			Windows: []record.Window{{Name: "a", To: time.Duration(border) * time.Second}}})
		for s := range n {
			if c := rapid.SampledFrom([]uint64{0, 3, 30, 400}).Draw(t, "count"); c > 0 {
				rec.Hist(record.Key{Span: "submit", Clock: record.Response, Second: int32(s)}).AddN(time.Duration(s+1)*time.Millisecond, c)
			}
		}
		r := newRun(rec)
		hs := r.hists(func(record.Key) bool { return true })
		q := rapid.SampledFrom([]float64{0.5, 0.9, 0.99}).Draw(t, "q")
		got := r.quantile(hs, q, 1)
		for i := range got {
			if math.IsNaN(got[i]) {
				continue
			}
			// Some span around i, of allowed width and on one side of the border,
			// must give exactly this value.
			found := false
			for from := max(0, i-r.widest()+1); from <= i; from++ {
				for to := i + 1; to <= min(n, from+r.widest()); to++ {
					if from < border && to > border {
						continue
					}
					h := &record.Hist{}
					for _, x := range hs[from:to] {
						h.Merge(x)
					}
					found = found || record.Carries(q, h.Count()) && h.Quantile(q).Seconds() == got[i]
				}
			}
			if !found {
				t.Fatalf("p%v of second %d is %v, which no permitted span of seconds gives", 100*q, i, got[i])
			}
		}
	})
}

// A second that carries the percentile alone is never a gap.
func TestQuantileHasNoNeedlessGap(t *testing.T) {
	rec := record.New(record.Header{TimeScale: 1, To: 20 * time.Second})
	for s := range 20 {
		if s != 7 {
			rec.Hist(record.Key{Span: "submit", Clock: record.Response, Second: int32(s)}).AddN(time.Millisecond, 20)
		}
	}
	r := newRun(rec)
	got := r.quantile(r.hists(func(record.Key) bool { return true }), 0.5, 1)
	for i, v := range got {
		if i != 7 && math.IsNaN(v) {
			t.Errorf("second %d is a gap", i)
		}
	}
}

// With k = 5 a run second is five of the scenario: axis, waits and moments stretch,
// and depth is scaled up to full size.
func TestScenarioTimeAndFullSize(t *testing.T) {
	rec := record.New(record.Header{People: 0.002, TimeScale: 5, From: -2 * time.Second, To: 33 * time.Second})
	rec.Marks[record.MarkSoldOut] = 4 * time.Second
	rec.Samples[record.SampleQueueDepth] = []record.Point{{At: time.Second, Value: 40}}
	rec.Hist(record.Key{Span: record.SpanLedger, Clock: record.Response, Outcome: "confirmed"}).AddN(200*time.Millisecond, 100)
	for name, want := range map[string]float64{"sold-out.at": 18, "depth-at-risk": 20_000, "wait.p50": 1, "wait.p90": 1} {
		m, _ := MetricByName(name)
		if got, ok := m.Of(rec); !ok || !near(got, want, want/200) {
			t.Errorf("%s = %v %v, want %v", name, got, ok, want)
		}
	}
	m, _ := MetricByName("wait.p99")
	if v, ok := m.Of(rec); ok {
		t.Errorf("p99 of 100 samples = %v, want cannot tell", v)
	}
	if got, ok := telling(m, []RunPoint{{Records: []*record.Record{rec}}}); !ok || got.Name != "wait.p90" {
		t.Errorf("instead of wait.p99: %s %v, want wait.p90", got.Name, ok)
	}
	if r := newRun(rec); r.n != 7 || r.scenario(7) != 33 {
		t.Errorf("%d seconds, the last ends at %v; want 7 and 33", r.n, r.scenario(7))
	}
}

// Metric names are unique, their coarser ones exist, and every one can be told
// from a full evening or is a percentile that 756 bookings cannot carry.
func TestMetricsOfAnEvening(t *testing.T) {
	rec, seen := recordtest.Evening(1), map[string]bool{}
	for _, m := range Metrics() {
		if seen[m.Name] || m.Label == "" || m.Unit == "" {
			t.Errorf("metric %+v", m)
		}
		seen[m.Name] = true
		if _, ok := MetricByName(m.Coarser); m.Coarser != "" && !ok {
			t.Errorf("%s: no metric %q", m.Name, m.Coarser)
		}
		v, ok := m.Of(rec)
		if !ok && !slices.Contains([]string{"wait.p99", "booking.p99", "submit.p99"}, m.Name) {
			t.Errorf("%s cannot be told", m.Name)
		}
		if _, empty := m.Of(record.New(record.Header{})); empty {
			t.Errorf("%s is told from an empty record", m.Name)
		}
		t.Logf("%-16s %8.2f %-7s %v", m.Name, v, m.Unit, ok)
	}
	for _, n := range append(slices.Concat(sweepNames, worthNames), append(heatTopics[0].metrics, heatTopics[1].metrics...)...) {
		if _, ok := MetricByName(n); !ok {
			t.Errorf("no metric %q", n)
		}
	}
}

// Rates add up to what was counted, also in a run so long that bins are wide.
func TestRatesAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 3000).Draw(t, "seconds")
		rec := record.New(record.Header{TimeScale: 1, To: time.Duration(n) * time.Second})
		var want float64
		for range 20 {
			s, c := rapid.IntRange(0, n-1).Draw(t, "second"), rapid.Uint64Range(1, 9).Draw(t, "count")
			rec.Count(record.CountVisits, time.Duration(s)*time.Second, c)
			want += float64(c)
		}
		r := newRun(rec)
		var got float64
		for i, v := range r.counter(record.CountVisits) {
			got += v * float64(min(r.w, r.n-i*r.w))
		}
		if !near(got, want, 1e-6) || r.bins() > maxBins {
			t.Fatalf("%v visits in %d bins, want %v in at most %d", got, r.bins(), want, maxBins)
		}
	})
}

// The refusals that are stacked are those of the record, each request once though
// it was timed by two clocks.
func TestRefusalsAreCountedOnce(t *testing.T) {
	rec := recordtest.Evening(1)
	r := newRun(rec)
	var got float64
	for _, v := range r.outcomeRate("", booking.Busy) {
		got += v
	}
	if want := float64(rec.OutcomeCount("submit", "busy")); got != want || want == 0 {
		t.Errorf("%v busy, want %v", got, want)
	}
}

// Panels, their heads and their feet never meet, and stay on the sheet.
func TestLayoutKeepsPanelsApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &sheet{cols: rapid.IntRange(1, 3).Draw(t, "cols")}
		for range rapid.IntRange(1, 9).Draw(t, "panels") {
			p := &panel{title: rapid.StringN(0, 90, -1).Draw(t, "title"), height: points(float64(rapid.IntRange(40, 200).Draw(t, "height")))}
			p.y.linear(0, rapid.Float64Range(1, 1e7).Draw(t, "top"), 0.1, number)
			p.x.linear(0, 10, 0, number)
			p.x.label, p.y.label = "x", "y"
			for range rapid.IntRange(0, 12).Draw(t, "keys") {
				p.keys = append(p.keys, key{label: rapid.StringN(1, 24, -1).Draw(t, "key")})
			}
			s.panels = append(s.panels, p)
		}
		areas, height := s.layout()
		type box struct{ x0, y0, x1, y1 vg.Length }
		var boxes []box
		for i, a := range areas {
			p := s.panels[i]
			b := box{a.Min.X - p.gutter(), a.Min.Y - p.foot(), a.Max.X, a.Max.Y + p.head(a.Size().X)}
			if b.x0 < 0 || b.y0 < 0 || b.x1 > sheetWidth || b.y1 > height-margin-30 || a.Size().X < 80 || a.Size().Y != p.height && a.Size().Y < 40 {
				t.Fatalf("panel %d is %+v on a sheet of %v × %v", i, b, sheetWidth, height)
			}
			at, lines := p.flow(a.Size().X)
			for j, k := range at {
				if k.Y >= vg.Length(lines) || k.X+18 > a.Size().X && k.X > 0 {
					t.Fatalf("panel %d: legend entry %d at %+v of %d lines", i, j, k, lines)
				}
			}
			for j, o := range boxes {
				if b.x0 < o.x1 && o.x0 < b.x1 && b.y0 < o.y1 && o.y0 < b.y1 {
					t.Fatalf("panels %d and %d meet: %+v, %+v", j, i, o, b)
				}
			}
			boxes = append(boxes, b)
		}
	})
}

// Ticks of an axis are few, inside it, and differently labelled.
func TestTicks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a axis
		if rapid.Bool().Draw(t, "log") {
			lo := math.Pow(10, rapid.Float64Range(-6, 3).Draw(t, "lo"))
			a.logarithmic(lo, lo*math.Pow(10, rapid.Float64Range(0, 6).Draw(t, "decades")), seconds)
		} else {
			a.linear(0, math.Pow(10, rapid.Float64Range(-3, 8).Draw(t, "hi")), rapid.Float64Range(0, 0.3).Draw(t, "headroom"), number)
		}
		var labels []string
		for _, tk := range a.ticks {
			if n := a.norm(tk.Value); n < -1e-6 || n > 1+1e-6 {
				t.Fatalf("tick %v outside %v to %v", tk.Value, a.min, a.max)
			}
			if tk.Label != "" {
				labels = append(labels, tk.Label)
			}
		}
		if u := slices.Compact(slices.Sorted(slices.Values(labels))); len(u) != len(labels) || len(u) < 2 || len(u) > 12 {
			t.Fatalf("labels %q of %v to %v", labels, a.min, a.max)
		}
	})
}

func TestNumbersAsText(t *testing.T) {
	for got, want := range map[string]string{
		seconds(0.0004): "400 µs", seconds(0.015): "15 ms", seconds(0.9996): "1 s", seconds(1.8): "1.8 s", seconds(15): "15 s",
		seconds(900): "15 min", seconds(0): "0", seconds(math.NaN()): "n/a", short(56938): "56,938", short(0.753): "0.75", short(0): "0",
		short(12.34): "12.3", short(0.0042): "0.0042", short(42_500_000): "42 M", number(-10, 5): "−10", number(math.Copysign(0, -1), 1): "0",
		number(0.25, 0.05): "0.25", number(1500, 500): "1,500",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func BenchmarkAll(b *testing.B) {
	rec := recordtest.Evening(1)
	for b.Loop() {
		if _, err := All(rec); err != nil {
			b.Fatal(err)
		}
	}
}
