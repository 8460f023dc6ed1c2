package cli

import (
	"strings"
	"testing"
	"time"

	"spillway/reports"
	"spillway/scenarios"
)

// The shipped points can be made, and the writer's stop is in the text that the
// record keeps.
func TestValidatePoints(t *testing.T) {
	c := validateCmd{Scenario: "suikang-sweep", Seed: 1}
	for _, p := range []string{"", "admission.probability=5%", "queue.depth=2000,visitor.booking_share=30%"} {
		spec, set, err := c.spec(p)
		if err != nil || len(set) != strings.Count(p, "=") || len(spec.Faults) != 0 {
			t.Errorf("%s: %v, %v", p, set, err)
		}
	}
	spec, _, err := c.spec("writer-stop")
	if err != nil {
		t.Fatal(err)
	}
	again, err := scenarios.Parse([]byte(spec.Text), "again")
	if err != nil || len(again.Faults) != 1 || again.Faults[0].At != stopAt || again.Faults[0].For != stopFor || again.Name != "suikang-sweep" {
		t.Errorf("%+v, %v", again, err)
	}
}

// With the same visitors the writer's beat is all that is varied, with --blind the
// visitors are, and never those that are measured.
func TestValidateEvenings(t *testing.T) {
	load := func(name string) *scenarios.Spec {
		spec, err := scenarios.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		return spec
	}
	same, err := (&validateCmd{Seed: 1}).evenings(load("suikang-sweep"))
	if err != nil || len(same) != phases {
		t.Fatalf("%d evenings, %v", len(same), err)
	}
	moments := map[time.Duration]bool{}
	for _, g := range same {
		moments[g.phase] = true
		if g.sc.Seed != 1 || g.phase >= 50*time.Millisecond {
			t.Errorf("seed %d, beat after %v", g.sc.Seed, g.phase)
		}
	}
	if len(moments) != phases {
		t.Errorf("%d moments of the beat", len(moments))
	}
	other, err := (&validateCmd{Seed: 3, Blind: 2}).evenings(load("suikang-sweep"))
	if err != nil || len(other) != evenings {
		t.Fatalf("%d evenings, %v", len(other), err)
	}
	for _, g := range other {
		if g.sc.Seed == 3 || g.phase != 0 {
			t.Errorf("blind: seed %d, beat after %v", g.sc.Seed, g.phase)
		}
	}
	if one, err := (&validateCmd{Seed: 1}).evenings(load("suikang-lossless")); err != nil || len(one) != 1 {
		t.Errorf("a writer without a beat: %d evenings, %v", len(one), err)
	}
}

func TestValidateRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"--points", "queue.dept=3"}, {"--points", "nonsense"}, {"no-such-scenario"}, {"suikang-writer-stop", "--points", "writer-stop"},
	} {
		dir := t.TempDir()
		code, _, stderr := spillway(append([]string{"validate", "--out", dir}, args...)...)
		if code != 2 || exists(dir+"/"+mainRecord) {
			t.Errorf("%v: exit code %d: %s", args, code, stderr)
		}
		oneClearLine(t, stderr)
	}
}

// The scales end with the attack's own, and the largest is the one that fits.
func TestScalesWithin(t *testing.T) {
	spec, err := scenarios.Load("suikang-sweep")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		within time.Duration
		want   []float64
	}{{time.Hour, []float64{1, 100, 1000, 500}}, {time.Millisecond, []float64{100, 1000, 500}}} {
		got, err := scalesWithin(spec, 1, x.within)
		if err != nil || len(got) != len(x.want) {
			t.Fatalf("%d scales, %v", len(got), err)
		}
		for i, sc := range got {
			if k := []float64{1, 5}[(i+1)/len(got)]; sc.K != k || int(1/sc.S+0.5) != int(x.want[i]) {
				t.Errorf("scale %d is 1:%g, time ×%g", i, 1/sc.S, sc.K)
			}
		}
	}
}

// The comparison of scales is a command of its own, with one figure of all four.
func TestScales(t *testing.T) {
	whole(t)
	dir := t.TempDir()
	code, stdout, stderr := spillway("scales", "smoke", "--within", "300ms", "--out", dir)
	if code != 0 || !strings.Contains(stdout, "people 1:1,000, real time") || !strings.Contains(stdout, "people 1:2,000, time × 4") {
		t.Errorf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
	for _, f := range []string{"index.html", "figures/scales.svg", "figures/scales.png"} {
		if !exists(dir + "/" + f) {
			t.Errorf("no %s", f)
		}
	}
	if code, _, stderr := spillway("scales", "smoke", "--set", "gateway.native=on", "--out", t.TempDir()); code != 2 {
		t.Errorf("native: exit code %d", code)
	} else {
		oneClearLine(t, stderr)
	}
}

// A point near the tipping line has no error, and the goal is said below.
func TestOverallTable(t *testing.T) {
	held := []reports.Prediction{{Name: "a", Margin: reports.Got(1), Near: true},
		{Name: "b", Margin: reports.Got(4), Errors: reports.Errors{N: 1, Median: reports.Got(0.3), Worst: reports.Got(0.3), WorstOf: "x"},
			Figures: []reports.Predicted{{Label: "x", Error: reports.Got(0.3), Counts: true}}}}
	text := overallTable(held, reports.Summed(held...)).Text()
	if !strings.Contains(text, "too close to call") || !strings.Contains(text, "missed") || !strings.Contains(text, "+4.0 σ") {
		t.Error(text)
	}
}
