package fairness

import (
	"encoding/json"
	"iter"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func yes() *bool { b := true; return &b }

// sound is a process with nothing to object to.
var sound = Process{SeedBits: 256, Sealed: yes(), Public: yes()}

func mustJudge(tb testing.TB, d Draw, o Options) *Report {
	tb.Helper()
	r, err := Judge(d, o)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := json.Marshal(r); err != nil {
		tb.Fatalf("the report is no JSON: %v", err)
	}
	return r
}

func find(tb testing.TB, r *Report, kind, dimension, level string) Test {
	tb.Helper()
	for _, t := range r.Tests {
		if t.Kind == kind && t.Dimension == dimension && t.Level == level {
			return t
		}
	}
	tb.Fatalf("no test %s of %s %s", kind, dimension, level)
	return Test{}
}

// draftDraw is the lottery drawn in a year, of whose numbers so many were called (125 of
// 1970, 95 of 1971 and 1972; Selective Service System).
func draftDraw(tb testing.TB, year int, called int64) Draw {
	tb.Helper()
	d, err := draft(year, called)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// The draft lottery of 1 December 1969 was not mixed well. Its table of months and thirds
// (Fienberg 1971) and its rank correlation come out as published, and the report rejects
// it; the lotteries after it, made with random tables, pass.
func TestDraftLottery(t *testing.T) {
	for year, days := range map[int]int64{1969: 366, 1970: 365, 1971: 366, 1972: 365} {
		for called := range days + 1 {
			if p := draftDraw(t, year, called).Pools[0]; p.Entries != days || p.Winners != called {
				t.Fatalf("%d: %+v: want %d days, and each number once", year, p, days)
			}
		}
	}
	d := draftDraw(t, 1969, called1969)
	want := [][]int64{{9, 12, 10}, {7, 12, 10}, {5, 10, 16}, {8, 8, 14}, {9, 7, 15}, {11, 7, 12}, {12, 7, 12}, {13, 7, 11}, {10, 15, 5}, {9, 15, 7}, {12, 12, 6}, {17, 10, 4}}
	if !slices.EqualFunc(d.Dimensions[0].Classes, want, slices.Equal[[]int64]) {
		t.Errorf("table of classes %v", d.Dimensions[0].Classes)
	}
	if x2, df, p := Pearson(want); math.Abs(x2-37.16) > 0.005 || df != 22 || math.Abs(p-0.023) > 0.0005 {
		t.Errorf("χ² %g, %d d.f., p %g; published 37.16, 22, 0.023", x2, df, p)
	}
	d.Process = sound
	r := mustJudge(t, d, Options{})
	if rho := find(t, r, KindSpearman, "", ""); math.Abs(rho.Statistic+0.226) > 0.0005 || !rho.Rejected {
		t.Errorf("rank correlation %+v, published −0.226", rho)
	}
	if r.Verdict != DoesNotFit || r.Statistics != DoesNotFit {
		t.Errorf("%s: %s", r.Verdict, r.Why)
	}
	t.Log("\n" + r.Text())
	for year, called := range map[int]int64{1970: 125, 1971: 95, 1972: 95} {
		d := draftDraw(t, year, called)
		d.Process = sound
		if r := mustJudge(t, d, Options{}); r.Verdict != Fits {
			t.Errorf("%d: %s: %s", year, r.Verdict, r.Why)
		}
	}
}

// The Diversity Visa lottery of 2012 took more than 90 % of its winners from the first 2
// of 30 days, of more than 19 million applicants, and was voided. Here with 22,000
// winners, entries alike on every day.
func TestDiversityVisa(t *testing.T) {
	const days, entries, winners = 30, 19_000_000, 22_000
	dim := Dimension{Name: "day of entry", Ordered: true, Entries: [][]int64{nil}, Winners: [][]int64{nil}}
	var n, k int64
	for i := range days {
		won := int64(winners * 45 / 100)
		if i >= 2 {
			won = winners / 10 / (days - 2)
		}
		dim.Levels = append(dim.Levels, strconv.Itoa(i+1))
		dim.Entries[0], dim.Winners[0] = append(dim.Entries[0], entries/days), append(dim.Winners[0], won)
		n, k = n+entries/days, k+won
	}
	r := mustJudge(t, Draw{Name: "visa", Pools: []Pool{{Name: "all", Entries: n, Winners: k}}, Dimensions: []Dimension{dim}, Process: sound}, Options{})
	if r.Verdict != DoesNotFit {
		t.Errorf("%s: %s", r.Verdict, r.Why)
	}
	for _, test := range r.Tests {
		if !test.Rejected || test.P != leastP {
			t.Errorf("%s passes: %+v", test.Name(), test)
		}
	}
	first := r.Dimensions[0].Strata[0]
	if ratio := first.Ratio(); ratio < 13 || first.RateLo > first.Rate || first.RateHi < first.Rate || first.RateLo < 0.95*first.Rate {
		t.Errorf("the first day %+v", first)
	}
}

// fairDraw is a draw by the ticket method on a fixed seed: three pools with quotas of
// their own, people spread over hours, districts and losses before.
type fairDraw struct {
	rng     *rand.Rand
	entries int
	favour  func(levels []int) float64 // factor on the odds to win; nil = fair
}

var axes = []Axis{
	{"hour of entry", strings.Split("00 01 02 03 04 05 06 07 08 09 10 11 12 13 14 15 16 17 18 19 20 21 22 23", " "), true},
	{"district", []string{"Yuexiu", "Liwan", "Haizhu", "Tianhe", "Baiyun", "Huangpu"}, false},
	{"times lost before", []string{"0", "1", "2", "3 and more"}, true},
}

func (f fairDraw) tally(tb testing.TB) Draw {
	tb.Helper()
	tally, err := NewTally(Plan{Name: "fair draw", Pools: []string{"a", "b", "c"}, Dimensions: axes, Entries: uint64(f.entries), Tickets: true})
	if err != nil {
		tb.Fatal(err)
	}
	entries := make([]Entry, f.entries)
	byPool := [3][]int{}
	for i := range entries {
		u := f.rng.Float64()
		lost := min(3, int(-math.Log(1-f.rng.Float64())/0.9))
		e := &entries[i]
		*e = Entry{Pool: min(2, int(u*u*4)), Order: uint64(i), Ticket: f.rng.Uint64(),
			Levels: []int{i * 24 / f.entries, min(5, int(6*math.Sqrt(f.rng.Float64()))), lost}}
		if f.favour != nil {
			e.Ticket = uint64(math.Pow(unit(e.Ticket), f.favour(e.Levels))*(1<<53)) << 11
		}
		byPool[e.Pool] = append(byPool[e.Pool], i)
	}
	for p, list := range byPool {
		slices.SortFunc(list, func(a, b int) int {
			switch {
			case entries[a].Ticket < entries[b].Ticket:
				return -1
			case entries[a].Ticket > entries[b].Ticket:
				return 1
			}
			return 0
		})
		for _, i := range list[:len(list)*(p+2)/50] { // 4, 6 and 8 %
			entries[i].Won = true
		}
	}
	for _, e := range entries {
		if err := tally.Add(e); err != nil {
			tb.Fatal(err)
		}
	}
	d := tally.Draw()
	d.Process = sound
	return d
}

// Fair draws pass, and the report alarms as rarely as it says.
func TestFalseAlarms(t *testing.T) {
	draws := 2000
	if testing.Short() {
		draws = 300
	}
	alarms := map[float64]int{0.2: 0, 0.05: 0, 1e-3: 0}
	for seed := range uint64(draws) {
		r := mustJudge(t, fairDraw{rng: rand.New(rand.NewPCG(seed, 11)), entries: 3000}.tally(t), Options{})
		for level := range alarms {
			if r.Least().Holm <= level {
				alarms[level]++
			}
		}
	}
	t.Logf("of %d fair draws alarm %v", draws, alarms)
	for level, n := range alarms {
		mean := level * float64(draws)
		if most := mean + 3.9*math.Sqrt(mean) + 3; float64(n) > most {
			t.Errorf("%d of %d fair draws alarm at %g, %.0f at most should", n, draws, level, most)
		}
	}
	if alarms[0.2] < draws/50 {
		t.Errorf("only %d of %d fair draws alarm at 0.2: the tests are asleep", alarms[0.2], draws)
	}
}

// Favours of each sort are noticed by the test that is meant to.
func TestFavours(t *testing.T) {
	for _, c := range []struct {
		name             string
		favour           func(levels []int) float64
		kind, dim, level string
	}{
		{"a district", func(l []int) float64 { return 1 + 0.5*float64(l[1]/5) }, KindLevel, "district", "Huangpu"},
		{"early hours", func(l []int) float64 { return 1.3 - 0.025*float64(l[0]) }, KindTrend, "hour of entry", ""},
		{"early hours", func(l []int) float64 { return 1.3 - 0.025*float64(l[0]) }, KindSpearman, "", ""},
		{"those who lost before", func(l []int) float64 { return 1 + 0.3*float64(l[2]) }, KindTrend, "times lost before", ""},
		{"those who lost before", func(l []int) float64 { return 1 + 0.3*float64(l[2]) }, KindClasses, "times lost before", ""},
		{"everybody's tickets too small", func([]int) float64 { return 1.1 }, KindKS, "", ""},
		{"odd hours", func(l []int) float64 { return 1 + 0.7*float64(l[0]%2) }, KindChi, "hour of entry", ""},
	} {
		r := mustJudge(t, fairDraw{rng: rand.New(rand.NewPCG(5, 13)), entries: 40_000, favour: c.favour}.tally(t), Options{})
		if test := find(t, r, c.kind, c.dim, c.level); !test.Rejected || r.Verdict != DoesNotFit {
			t.Errorf("%s: %s passes, %+v", c.name, test.Name(), test)
		}
	}
	// Neighbours in the list who win together: the runs test alone sees it.
	d := fairDraw{rng: rand.New(rand.NewPCG(6, 13)), entries: 40_000}.tally(t)
	if r := mustJudge(t, d, Options{}); r.Verdict != Fits {
		t.Fatalf("%s: %s", r.Verdict, r.Why)
	}
	for i := range d.Pools {
		d.Pools[i].Blocks -= d.Pools[i].Winners / 8
	}
	r := mustJudge(t, d, Options{})
	if test := find(t, r, KindRuns, "", ""); !test.Rejected || test.Statistic > 0 {
		t.Errorf("winners side by side pass: %+v", test)
	}
}

// A draw from a seed of six digits, as a car-plate lottery makes it: the seed is found
// from the published winners, so the outcome could have been computed, and chosen,
// before. An operator who takes the best of all seeds for a group is caught by the
// group's own test where the group was named beforehand, and by no statistics where it
// was not: there only the process check tells.
func TestEnumerableSeed(t *testing.T) {
	const seeds, entries, winners, districts = sixDigits, sixEntries, sixWinners, sixDistrict
	favoured := map[int]bool{}
	for i := range uint64(20) {
		favoured[int(mix(1<<40, i)%entries)] = true
	}
	if len(favoured) != 20 {
		t.Fatal("favoured people twice")
	}
	inGroup := make([]bool, entries)
	for p := range favoured {
		inGroup[p] = true
	}
	// Place p lives in district p mod 6; the list is in no order that matters.
	var bestDistrict, bestGroup struct {
		seed uint64
		won  int
	}
	stamp := make([]uint64, entries)
	for seed := range uint64(seeds) {
		district, group, got := 0, 0, 0
		for i := uint64(0); got < winners; i++ {
			p := mix(seed, i) % entries
			if stamp[p] == seed+1 {
				continue
			}
			stamp[p] = seed + 1
			got++
			if p%districts == 4 {
				district++
			}
			if inGroup[p] {
				group++
			}
		}
		if district > bestDistrict.won {
			bestDistrict.seed, bestDistrict.won = seed, district
		}
		if group > bestGroup.won {
			bestGroup.seed, bestGroup.won = seed, group
		}
	}
	draw := func(seed uint64, named bool) Draw {
		plan := Plan{Name: "six digits", Pools: []string{"plates"}, Entries: entries,
			Dimensions: []Axis{{"district", []string{"0", "1", "2", "3", "4", "5"}, false}}}
		if named {
			plan.Dimensions = append(plan.Dimensions, Axis{"on the staff's list", []string{"no", "yes"}, false})
		}
		tally, err := NewTally(plan)
		if err != nil {
			t.Fatal(err)
		}
		won := map[int]bool{}
		for p := range pick(seed, entries, winners) {
			won[p] = true
		}
		for p := range entries {
			levels := []int{p % districts}
			if named {
				levels = append(levels, map[bool]int{true: 1}[favoured[p]])
			}
			if err := tally.Add(Entry{Levels: levels, Won: won[p], Order: uint64(p)}); err != nil {
				t.Fatal(err)
			}
		}
		return tally.Draw()
	}
	statistics := func(d Draw) string {
		d.Process = sound
		r := mustJudge(t, d, Options{})
		t.Logf("%s: %s", r.Statistics, r.Why)
		return r.Statistics
	}

	// An honest draw from such a seed is fair as far as statistics go, and fails still.
	d, err := enumerable()
	if err != nil {
		t.Fatal(err)
	}
	if search := d.Process.Search; search.Tried != seeds || !slices.Equal(search.Found, []uint64{sixSeed}) {
		t.Errorf("search %+v, want the seed %d", search, sixSeed)
	}
	d.Process.Sealed, d.Process.Public = yes(), yes()
	r := mustJudge(t, d, Options{})
	if r.Verdict != DoesNotFit || r.Statistics != Fits || r.Process[0].Word != Fails || r.Process[3].Word != Fails {
		t.Errorf("%s: %s; %+v", r.Verdict, r.Why, r.Process)
	}
	t.Log("\n" + r.Text())

	// Chosen for a district: seen. Chosen for twenty people: unseen, unless they were named.
	if got := statistics(draw(bestDistrict.seed, false)); got != DoesNotFit {
		t.Errorf("the best of a million seeds for a district (%d of %d winners) %s", bestDistrict.won, winners, got)
	}
	if got := statistics(draw(bestGroup.seed, false)); got != Fits {
		t.Errorf("the best of a million seeds for unnamed people %s: it was meant to show what statistics cannot see", got)
	}
	if got := statistics(draw(bestGroup.seed, true)); got != DoesNotFit {
		t.Errorf("the best of a million seeds for named people (%d of 20) %s", bestGroup.won, got)
	}
	// What the report says can be had for a million tries is what was had.
	if c := Chosen(math.Log2(seeds), Pool{Entries: entries, Winners: winners}, 20); int64(bestGroup.won) < c-1 || int64(bestGroup.won) > c+1 {
		t.Errorf("the best seed lets %d of 20 win, the report says %d", bestGroup.won, c)
	}
	// A seed of the wrong length is not found by luck.
	places := slices.Sorted(pick(sixSeed, entries, winners))
	places[0] = (places[0] + 1) % entries
	if s := Seeds(seeds, func(seed uint64) iter.Seq[int] { return pick(seed, entries, winners) }, places); len(s.Found) > 0 {
		t.Errorf("other winners found by %v", s.Found)
	}
}

func TestOutcomeBits(t *testing.T) {
	for _, c := range []struct {
		n, k int64
		want float64 // by mpmath, 60 digits
	}{{25, 10, 21.6403120243}, {2_629_006, 100_237, 614_229.300843}, {30_000_000, 300_000, 2_423_783.66108}, {7, 0, 0}, {7, 7, 0}} {
		if got := OutcomeBits([]Pool{{Entries: c.n, Winners: c.k}}); math.Abs(got-c.want) > 1e-9+1e-11*c.want*100 {
			t.Errorf("C(%d, %d): %.9f bits, want %.9f", c.n, c.k, got, c.want)
		}
	}
	if got := OutcomeBits([]Pool{{Entries: 25, Winners: 10}, {Entries: 25, Winners: 10}}); math.Abs(got-2*21.6403120243) > 1e-9 {
		t.Errorf("two pools: %g bits", got)
	}
}

func TestProcess(t *testing.T) {
	no := false
	pools := []Pool{{Name: "a", Entries: 100, Winners: 10}}
	words := func(p Process) (out []string) {
		d := Draw{Pools: pools, Process: p}
		for _, c := range mustJudge(t, d, Options{}).Process {
			out = append(out, c.Word)
		}
		return out
	}
	for _, c := range []struct {
		p    Process
		want []string
	}{
		{Process{}, []string{NotStated, NotStated, NotStated}},
		{sound, []string{Holds, Holds, Holds}},
		{Process{SeedBits: 127.9, Sealed: &no, Public: &no}, []string{Fails, Fails, Fails}},
		{Process{SeedBits: 128, Search: &Search{Tried: 10}}, []string{Holds, NotStated, NotStated, Holds}},
		{Process{Search: &Search{Tried: 10, Found: []uint64{3}}}, []string{NotStated, NotStated, NotStated, Fails}},
	} {
		if got := words(c.p); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.p, got, c.want)
		}
	}
	// No dimension, no ticket: nothing is tested, and a bad process fails alone.
	if r := mustJudge(t, Draw{Pools: pools, Process: sound}, Options{}); r.Verdict != CannotTell {
		t.Errorf("nothing to test: %s", r.Verdict)
	}
	if r := mustJudge(t, Draw{Pools: pools, Process: Process{Sealed: &no}}, Options{}); r.Verdict != DoesNotFit {
		t.Errorf("a list that was not sealed: %s", r.Verdict)
	}
}

// Holm's step-down by hand (Holm 1979): 5·0.005, 4·0.01, 3·0.02, and 2·0.025 no less.
func TestHolm(t *testing.T) {
	tests := []Test{{P: 0.01}, {P: 0.02}, {P: 0.025}, {P: 0.005}, {P: 1}}
	holm(tests, 0.05)
	for i, want := range []float64{0.04, 0.06, 0.06, 0.025, 1} {
		if math.Abs(tests[i].Holm-want) > 1e-12 || tests[i].Rejected != (want <= 0.05) {
			t.Errorf("%g becomes %g, want %g", tests[i].P, tests[i].Holm, want)
		}
	}
}

// The runs of winners over every order of two small pools: as often as p says.
func TestRunsAgainstEveryOrder(t *testing.T) {
	pools := []Pool{{Entries: 9, Winners: 4}, {Entries: 6, Winners: 5}}
	blocks := func(n, set int64) (count int64) {
		for i := range n {
			if set>>i&1 == 1 && (i == 0 || set>>(i-1)&1 == 0) {
				count++
			}
		}
		return count
	}
	byTotal, all := map[int64]float64{}, 0.0
	for a := range int64(1) << 9 {
		for b := range int64(1) << 6 {
			if bits.OnesCount64(uint64(a)) == 4 && bits.OnesCount64(uint64(b)) == 5 {
				byTotal[blocks(9, a)+blocks(6, b)]++
				all++
			}
		}
	}
	for total := range byTotal {
		below, above := 0.0, 0.0
		for x, n := range byTotal {
			if x <= total {
				below += n / all
			}
			if x >= total {
				above += n / all
			}
		}
		ps := slices.Clone(pools)
		ps[1].Blocks = min(2, total-1)
		ps[0].Blocks = total - ps[1].Blocks
		r := mustJudge(t, Draw{Pools: ps}, Options{})
		if got := find(t, r, KindRuns, "", ""); !close(got.P, min(1, 2*min(below, above)), 1e-12) {
			t.Errorf("%d blocks: p %g, want %g", total, got.P, 2*min(below, above))
		}
	}
}

// A trend towards few people of a high level has a long tail on that side alone.
func TestTrendSkewness(t *testing.T) {
	dim := Dimension{Name: "x", Ordered: true, Levels: []string{"0", "1", "2"}, Entries: [][]int64{{9000, 900, 100}}}
	for _, c := range []struct {
		winners []int64
		long    bool
	}{{[]int64{70, 20, 10}, true}, {[]int64{100, 0, 0}, false}} {
		dim.Winners = [][]int64{c.winners}
		trend := find(t, mustJudge(t, Draw{Pools: []Pool{{Entries: 10_000, Winners: 100}}, Dimensions: []Dimension{dim}}, Options{}), KindTrend, "x", "")
		plain := math.Erfc(math.Abs(trend.Statistic) / math.Sqrt2)
		if longer := trend.P > 1.5*plain; longer != c.long || trend.P < plain*(1-1e-12) {
			t.Errorf("winners %v: z %.2f, p %g, of a normal one %g", c.winners, trend.Statistic, trend.P, plain)
		}
	}
}

func TestSeeds(t *testing.T) {
	draws := [][]int{{1, 2, 3}, {3, 1}, {4, 1, 2}, {2, 3, 1}, nil}
	s := Seeds(5, func(seed uint64) iter.Seq[int] { return slices.Values(draws[seed]) }, []int{1, 2, 3})
	if s.Tried != 5 || !slices.Equal(s.Found, []uint64{0, 3}) {
		t.Errorf("%+v, want seeds 0 and 3", s)
	}
}

// Chosen is the most that happens once in 2^bits draws.
func TestChosen(t *testing.T) {
	for _, c := range []struct {
		bits float64
		p    Pool
		g    int64
	}{{20, Pool{Entries: 3000, Winners: 60}, 20}, {10, Pool{Entries: 3000, Winners: 60}, 500}, {1, Pool{Entries: 10, Winners: 9}, 5}, {60, Pool{Entries: 10, Winners: 3}, 4}} {
		w := Chosen(c.bits, c.p, c.g)
		l := hyper{c.p.Entries, c.p.Winners, c.g}.law(0)
		_, here := l.tails(w)
		if _, more := l.tails(w + 1); here < math.Exp2(-c.bits) && w > l.lo && w < l.hi() || more > math.Exp2(-c.bits) {
			t.Errorf("%+v: %d winners, so many with %g, more with %g, 2^-bits is %g", c, w, here, more, math.Exp2(-c.bits))
		}
	}
	if Chosen(20, Pool{}, 20) != 0 || Chosen(20, Pool{Entries: 5, Winners: 5}, 20) != 5 {
		t.Error("the ends")
	}
}

// Controls are rejected, each for what is wrong with it.
func TestControls(t *testing.T) {
	rs, err := Controls()
	if err != nil {
		t.Fatal(err)
	}
	for i, statistics := range []string{DoesNotFit, Fits} {
		if r := rs[i]; r.Verdict != DoesNotFit || r.Statistics != statistics {
			t.Errorf("%s: %s, by its numbers %s: %s", r.Name, r.Verdict, r.Statistics, r.Why)
		}
	}
}
