package plot

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"

	"spillway/internal/draw"
	"spillway/reports/fairness"
)

// lottery is a drawn lottery of two pools; favour is a factor on the tickets of those who
// entered in the last hours, below 1 for the better.
func lottery(tb testing.TB, favour float64) *fairness.Report {
	tb.Helper()
	const n = 60_000
	hours := make([]string, 24)
	for i := range hours {
		hours[i] = strconv.Itoa(i)
	}
	districts := []string{"Yuexiu", "Liwan", "Haizhu", "Tianhe", "Baiyun", "Huangpu", "Panyu", "Huadu", "Nansha", "Zengcheng", "Conghua", "outside"}
	shops := []string{"Jianmin Pharmacy, Beijing Road", "Caizhilin, Zhongshan Fifth Road", "Dashenlin, Tianhe North Road", "Laobaixing, Jiangnan West"}
	t, err := fairness.NewTally(fairness.Plan{Name: "lottery of 19 Feb 2020, thinned", Pools: []string{"a", "b"}, Entries: n, Tickets: true, Dimensions: []fairness.Axis{
		{Name: "hour of entry", Levels: hours, Ordered: true}, {Name: "district", Levels: districts}, {Name: "shop", Levels: shops},
		{Name: "times lost before", Levels: []string{"0", "1", "2", "3 and more"}, Ordered: true}}})
	if err != nil {
		tb.Fatal(err)
	}
	seed := draw.Seed(7)
	for i := range uint64(n) {
		hour := int(i * 24 / n)
		ticket := seed.Uniform(1, i, 0)
		if hour >= 18 {
			ticket *= favour
		}
		lost := min(3, int(draw.Exp(seed.U64(2, i, 0))))
		err := t.Add(fairness.Entry{Pool: int(seed.U64(3, i, 0) % 2), Won: ticket < 0.038, Order: i, Ticket: uint64(ticket*(1<<53)) << 11,
			Levels: []int{hour, int(seed.U64(4, i, 0) % 12), int(seed.U64(5, i, 0) % 4), lost}})
		if err != nil {
			tb.Fatal(err)
		}
	}
	d := t.Draw()
	yes := true
	d.Process = fairness.Process{SeedBits: 256, Sealed: &yes, Public: &yes}
	r, err := fairness.Judge(d, fairness.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestFairnessFigures(t *testing.T) {
	coarse(t)
	fair, unfair := lottery(t, 1), lottery(t, 0.6)
	if fair.Verdict != fairness.Fits || unfair.Verdict != fairness.DoesNotFit {
		t.Fatalf("%s, %s", fair.Verdict, unfair.Verdict)
	}
	a, err := Fairness(fair)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := Fairness(lottery(t, 1))
	b, err := Fairness(unfair)
	if err != nil || len(a) != 3 || len(b) != 3 {
		t.Fatalf("%d and %d figures, %v", len(a), len(b), err)
	}
	// Only what rejects is red: a colour in the drawing beyond the legend's.
	red := []byte("#D55E00")
	for i := range a {
		if !bytes.Equal(a[i].SVG, again[i].SVG) || !bytes.Equal(a[i].PNG, again[i].PNG) {
			t.Errorf("%s differs between two drawings", a[i].ID)
		}
		parse(t, a[i])
		parse(t, b[i])
		if strings.HasPrefix(a[i].ID, "fairness-t") && a[i].ID != "fairness-tests" {
			continue
		}
		if fewer, more := bytes.Count(a[i].SVG, red), bytes.Count(b[i].SVG, red); fewer >= more {
			t.Errorf("%s: red %d times in a fair draw, %d in an unfair one", a[i].ID, fewer, more)
		}
	}
	for i, want := range [][]string{{"win rate (%)", "hour of entry", "Zengcheng", "Caizhilin", "99 % interval"}, {"order of entry (% of all)", "mean ticket (% of its range)", "% points"}, {"hour of entry: trend", "rank correlation", "family error 0.10 %"}} {
		for _, w := range want {
			if !bytes.Contains(a[i].SVG, []byte(w)) {
				t.Errorf("%s does not say %q", a[i].ID, w)
			}
		}
	}
}

// Names from outside stay text, broken numbers are not drawn.
func TestFairnessHostile(t *testing.T) {
	coarse(t)
	r := lottery(t, 1)
	r.Name, r.Verdict = hostile, hostile
	for i := range r.Dimensions {
		r.Dimensions[i].Name = hostile + strconv.Itoa(i)
		r.Dimensions[i].Strata[0].Level = hostile
		r.Dimensions[i].Strata[1].Rate = math.NaN()
		r.Dimensions[i].Strata[2].RateHi = math.MaxFloat64
	}
	for i := range r.Tests {
		r.Tests[i].Dimension, r.Tests[i].Kind = hostile, hostile
		r.Tests[i].P = []float64{math.NaN(), -1, 0, math.Inf(1)}[i%4]
	}
	r.Ranks.Mean[0], r.Ranks.Below[3], r.Ranks.Below[5] = math.NaN(), math.Inf(1), math.MaxFloat64
	fs, err := Fairness(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fs {
		parse(t, f)
		if bytes.Contains(f.SVG, []byte("<script")) || bytes.ContainsAny(f.SVG, "\x00\x1b") {
			t.Errorf("%s lets a name out", f.ID)
		}
	}
	r.Ranks.Cells = [][]int64{{1, 2}, {3}}
	if _, err := FairnessTickets(r); !errors.Is(err, ErrNoData) {
		t.Error(err)
	}
	none := &fairness.Report{}
	if fs, err := Fairness(none); err != nil || len(fs) != 0 {
		t.Errorf("%d figures of nothing, %v", len(fs), err)
	}
}
