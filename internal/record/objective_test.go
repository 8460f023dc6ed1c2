package record

import (
	"math"
	"strings"
	"testing"
)

func TestParseObjective(t *testing.T) {
	for _, c := range []struct {
		text string
		want Objective
	}{
		{"submit.queued.peak.p99 < 800ms", Objective{Kind: KindSpan, Span: "submit", Outcome: "queued", Window: "peak", Stat: "p99", Op: "<", Value: 0.8, Unit: UnitSeconds}},
		{"booking.confirmed.p95 <= 60s", Objective{Kind: KindSpan, Span: "booking", Outcome: "confirmed", Stat: "p95", Op: "<=", Value: 60, Unit: UnitSeconds}},
		{"ledger.p99.9<1m30s", Objective{Kind: KindSpan, Span: "ledger", Stat: "p99.9", Op: "<", Value: 90, Unit: UnitSeconds}},
		{"status.rise.max >= 0s", Objective{Kind: KindSpan, Span: "status", Window: "rise", Stat: "max", Op: ">=", Unit: UnitSeconds}},
		{"submit.sold-out.count != 12", Objective{Kind: KindSpan, Span: "submit", Outcome: "sold-out", Stat: "count", Op: "!=", Value: 12, Unit: UnitCount}},
		{"invariant.oversell == 0", Objective{Kind: KindInvariant, Stat: "oversell", Op: "==", Unit: UnitCount}},
		{"attack.lateness.p99 < 5ms", Objective{Kind: KindLateness, Stat: "p99", Op: "<", Value: 0.005, Unit: UnitSeconds}},
		{"attack.lateness.p97.5 < 5 ms", Objective{Kind: KindLateness, Stat: "p97.5", Op: "<", Value: 0.005, Unit: UnitSeconds}},
		{"confirmed.share > 90 %", Objective{Kind: KindConfirmedShare, Op: ">", Value: 0.9, Unit: UnitShare}},
		{"gave-up.share <= 40%", Objective{Kind: KindGaveUpShare, Op: "<=", Value: 0.4, Unit: UnitShare}},
		{"amplification.peak < 1.5", Objective{Kind: KindAmplification, Op: "<", Value: 1.5, Unit: UnitRatio}},
		{"amplification.peak < 2 x", Objective{Kind: KindAmplification, Op: "<", Value: 2, Unit: UnitRatio}},
		{"sold-out.at < 30s", Objective{Kind: KindSoldOut, Op: "<", Value: 30, Unit: UnitSeconds}},
		{"queue.depth.max <= 200", Objective{Kind: KindQueueDepth, Op: "<=", Value: 200, Unit: UnitCount}},
		{"gateway.load.max < 95 %", Objective{Kind: KindGatewayLoad, Op: "<", Value: 0.95, Unit: UnitRatio}},
	} {
		c.want.Text = c.text
		got, err := ParseObjective("  " + c.text + "\n")
		if err != nil || got != c.want {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", c.text, got, err, c.want)
			continue
		}
		if again, err := ParseObjective(got.Name() + c.text[strings.Index(c.text, got.Op):]); err != nil || again.Name() != got.Name() {
			t.Errorf("%s: Name %q does not read back: %v", c.text, got.Name(), err)
		}
	}
}

func TestParseObjectiveSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ text, says string }{
		{"", "no comparison"},
		{"submit.p99", "no comparison"},
		{"sumbit.p99 < 1s", `did you mean "submit"`},
		{"submit.qeued.p99 < 1s", `did you mean "queued"`},
		{"submit.queued.paek.p99 < 1s", `did you mean "peak"`},
		{"submit.p98 < 1s", `unknown statistic "p98": did you mean "p9`},
		{"submit.p99.peak < 1s", `"p99" must be the last word`},
		{"submit.peak.queued.p99 < 1s", "before the window"},
		{"submit.peak.rise.p99 < 1s", "stands twice"},
		{"submit < 1s", "no statistic"},
		{"invariant.oversel == 0", `did you mean "oversell"`},
		{"invariant.oversell == 0.5", "whole number"},
		{"invariant.oversell == 0%", "not %"},
		{"confirmd.share > 1%", `did you mean "confirmed.share"`},
		{"confirmed.share > 0.9", "needs its unit"},
		{"confirmed.share > 101 %", "at most 100 %"},
		{"submit.p99 < 800", "duration"},
		{"submit.p99 < -1s", "negative"},
		{"queue.depth.max < NaN", "bare number"},
		{"queue.depth.max < 0x10", "bare number"},
		{"amplification.peak < inf", "factor"},
		{"attack.lateness.mean < 1s", "percentile"},
		{"attack.p99 < 1s", "attack.lateness.p99"},
		{"zebra.p99 < 1s", "one of config, status"},
		{"< 1s", "nothing before"},
		{"submit.p99 <", "nothing after"},
		{strings.Repeat("x", 300), "longer than"},
	} {
		_, err := ParseObjective(c.text)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%.60q: error %v, want it to say %q", c.text, err, c.says)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%.60q: error of more than one line", c.text)
		}
	}
}

func TestObjectiveHolds(t *testing.T) {
	for op, want := range map[string][3]bool{ // below, at, above
		"<": {true, false, false}, "<=": {true, true, false}, ">": {false, false, true},
		">=": {false, true, true}, "==": {false, true, false}, "!=": {true, false, true}, "": {}} {
		o := Objective{Op: op, Value: 2}
		for i, v := range []float64{1, 2, 3} {
			if o.Holds(v) != want[i] {
				t.Errorf("%v %s 2 = %v", v, op, !want[i])
			}
		}
		if o.Holds(math.NaN()) {
			t.Errorf("NaN %s 2 holds", op)
		}
	}
}

// Whatever is accepted reads back to the same meaning.
func FuzzParseObjective(f *testing.F) {
	for _, s := range []string{"submit.queued.peak.p99 < 800ms", "invariant.lost == 0", "attack.lateness.p99.9 < 5ms",
		"confirmed.share > 90 %", "gateway.load.max < 1.2", "sold-out.at<=1m", "p99.9 < 1s", "submit..p99 < 1s", "a=<b", "submit.p99 < 1e400s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := ParseObjective(s)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("error of more than one line: %q", err)
			}
			return
		}
		if o.Kind == 0 || o.Unit == 0 || o.Value < 0 || math.IsNaN(o.Value) || math.IsInf(o.Value, 0) {
			t.Fatalf("%q reads as %+v", s, o)
		}
		again, err := ParseObjective(o.Name() + " " + o.Text[strings.Index(o.Text, o.Op):])
		if err != nil {
			t.Fatalf("%q: name %q does not read back: %v", s, o.Name(), err)
		}
		again.Text = o.Text
		if again != o {
			t.Fatalf("%q reads as %+v, then %+v", s, o, again)
		}
	})
}

func TestReturnObjective(t *testing.T) {
	o, err := ParseObjective("process.goroutines.return < 1.1")
	if err != nil || o.Kind != KindReturn || o.Stat != SampleGoroutines || o.Unit != UnitRatio || o.Name() != "process.goroutines.return" {
		t.Fatalf("%+v, %v", o, err)
	}
	if _, err := ParseObjective("process.goroutine.return < 1.1"); err == nil || !strings.Contains(err.Error(), `did you mean "process.goroutines"`) {
		t.Fatal(err)
	}
}
