package fairness

import (
	"fmt"
	"math"
	"slices"
)

// Options of a report. The zero value of each field is its default.
type Options struct {
	// FamilyError is how often a fair draw is called unfair, over all tests of a report:
	// 0 = 0.001, once in 2.7 years of daily draws.
	FamilyError float64
	// Confidence of the single intervals; 0 = 0.99.
	Confidence float64
	// Power at which favours are reckoned that would be noticed; 0 = 0.99.
	Power float64
}

func (o Options) filled() (Options, error) {
	for _, v := range []struct {
		name  string
		to    *float64
		least float64
		usual float64
		most  float64
	}{{"family error", &o.FamilyError, 1e-9, 1e-3, 0.5}, {"confidence", &o.Confidence, 0.5, 0.99, 1 - 1e-9}, {"power", &o.Power, 0.5, 0.99, 1 - 1e-6}} {
		if *v.to == 0 {
			*v.to = v.usual
		}
		if !(*v.to >= v.least && *v.to <= v.most) {
			return o, fmt.Errorf("%s %g: give a number from %g to %g", v.name, *v.to, v.least, v.most)
		}
	}
	return o, nil
}

// Report is the verdict on a draw, and all it stands on.
type Report struct {
	Name        string  `json:"name"`
	Pools       int     `json:"pools"`
	Entries     int64   `json:"entries"`
	Winners     int64   `json:"winners"`
	FamilyError float64 `json:"family_error"`
	Confidence  float64 `json:"confidence"`
	Power       float64 `json:"power"`

	Verdict string `json:"verdict"` // Fits, DoesNotFit or CannotTell
	Why     string `json:"why"`
	// Statistics is the verdict on the outcome alone, in the same words.
	Statistics string `json:"statistics"`

	Dimensions  []Levels `json:"dimensions"`
	Ranks       *Ranks   `json:"ranks,omitempty"`
	Tests       []Test   `json:"tests"`
	Process     []Check  `json:"process"`
	OutcomeBits float64  `json:"outcome_bits"`
	Notes       []string `json:"notes"`
}

// The verdicts.
const (
	Fits       = "fits a fair draw"
	DoesNotFit = "does not fit a fair draw"
	CannotTell = "cannot tell"
)

// Levels is one dimension in a report.
type Levels struct {
	Name    string    `json:"name"`
	Ordered bool      `json:"ordered"`
	Strata  []Stratum `json:"strata"`
}

// Noticed are the smallest and the largest of the levels' Noticed with their levels; ok
// is false when no level has one.
func (l Levels) Noticed() (least, most Stratum, ok bool) {
	for _, s := range l.Strata {
		if s.Noticed == nil {
			continue
		}
		if !ok || *s.Noticed < *least.Noticed {
			least = s
		}
		if !ok || *s.Noticed > *most.Noticed {
			most = s
		}
		ok = true
	}
	return least, most, ok
}

// Stratum is one level of a dimension. Rates are winners over the level's entries.
type Stratum struct {
	Level    string  `json:"level"`
	Entries  int64   `json:"entries"`
	Winners  int64   `json:"winners"`
	Expected float64 `json:"expected"` // winners of a fair draw
	Sigma    float64 `json:"sigma"`    // their standard deviation
	Rate     float64 `json:"rate"`
	Fair     float64 `json:"fair_rate"`
	RateLo   float64 `json:"rate_lo"` // interval of the rate
	RateHi   float64 `json:"rate_hi"`
	P        float64 `json:"p"`    // two-sided
	Holm     float64 `json:"holm"` // corrected over all tests
	Method   string  `json:"method"`
	// Noticed is the smallest relative advantage, 0.1 = a rate 10 % above the fair one,
	// that the report notices with its power; null when none is.
	Noticed *float64 `json:"noticed"`
	// Luck is false where a fair draw could not have come out otherwise: nothing is
	// tested.
	Luck bool `json:"luck"`
}

// Ratio is the rate over the fair one; 0 when nobody is expected to win.
func (s Stratum) Ratio() float64 { return ratio(s.Rate, s.Fair) }

// Test is one test of a report.
type Test struct {
	Kind      string  `json:"kind"`
	Dimension string  `json:"dimension,omitempty"`
	Level     string  `json:"level,omitempty"`
	Statistic float64 `json:"statistic"`
	Symbol    string  `json:"symbol"` // of the statistic: "z", "χ²", "ρ", "D"
	DF        int     `json:"df,omitempty"`
	P         float64 `json:"p"`
	Holm      float64 `json:"holm"`
	Rejected  bool    `json:"rejected"`
	Method    string  `json:"method"`
}

// The kinds of a Test; the package comment says what each can show.
const (
	KindLevel    = "level"
	KindChi      = "all levels"
	KindTrend    = "trend"
	KindClasses  = "classes of tickets"
	KindSpearman = "rank correlation"
	KindKS       = "uniform tickets"
	KindRuns     = "runs of winners"
)

// Name is the test in words.
func (t Test) Name() string {
	switch {
	case t.Dimension == "":
		return t.Kind
	case t.Level != "":
		return t.Dimension + ": " + t.Level
	}
	return t.Dimension + ": " + t.Kind
}

// Judge tests a draw. It fails only on numbers that do not hold together.
func Judge(d Draw, o Options) (*Report, error) {
	o, err := o.filled()
	if err != nil {
		return nil, err
	}
	if err := d.Validate(); err != nil {
		return nil, err
	}
	r := &Report{Name: d.Name, Pools: len(d.Pools), FamilyError: o.FamilyError, Confidence: o.Confidence, Power: o.Power,
		Ranks: d.Ranks, Process: d.checks(), OutcomeBits: OutcomeBits(d.Pools)}
	for _, p := range d.Pools {
		if !p.Second {
			r.Entries += p.Entries
		}
		r.Winners += p.Winners
	}

	// All but the levels first: how many tests there are decides what each may notice.
	type at struct{ dim, level, test int }
	var places []at
	var totals []total
	for i := range d.Dimensions {
		dim := &d.Dimensions[i]
		l := Levels{Name: dim.Name, Ordered: dim.Ordered}
		won := make([]int64, len(dim.Levels))
		for g, name := range dim.Levels {
			var hs []hyper
			s := Stratum{Level: name, P: 1, Holm: 1, Method: MethodExact}
			for p, pool := range d.Pools {
				if !pool.Second {
					s.Entries += dim.Entries[p][g]
				}
				won[g] += dim.Winners[p][g]
				if pool.Entries > 0 {
					hs = append(hs, hyper{pool.Entries, pool.Winners, dim.Entries[p][g]})
				}
			}
			t := totalOf(hs)
			s.Winners, s.Expected, s.Sigma = won[g], t.mean, t.sigma()
			s.Rate, s.Fair = ratio(float64(s.Winners), float64(s.Entries)), ratio(s.Expected, float64(s.Entries))
			s.RateLo, s.RateHi = s.Rate, s.Rate
			if s.Luck = len(t.parts) > 0; s.Luck {
				places, totals = append(places, at{i, g, len(r.Tests)}), append(totals, t)
				r.Tests = append(r.Tests, Test{Kind: KindLevel, Dimension: dim.Name, Level: name, Symbol: "z", Statistic: (float64(won[g]) - t.mean) / t.sigma()})
			}
			l.Strata = append(l.Strata, s)
		}
		r.Dimensions = append(r.Dimensions, l)
		r.ofDimension(&d, dim, won)
	}
	r.ofOrder(&d)

	level := o.FamilyError / float64(max(len(r.Tests), 1))
	for i, at := range places {
		s := &r.Dimensions[at.dim].Strata[at.level]
		out := totals[i].judge(s.Winners, o.Confidence, level, o.Power)
		s.P, s.Method = out.p, out.method
		n := float64(s.Entries)
		s.RateLo, s.RateHi = out.lo/n, out.hi/n
		if !math.IsNaN(out.noticed) && s.Expected > 0 {
			v := out.noticed/s.Expected - 1
			s.Noticed = &v
		}
		r.Tests[at.test].P, r.Tests[at.test].Method = s.P, s.Method
	}
	holm(r.Tests, o.FamilyError)
	for _, at := range places {
		r.Dimensions[at.dim].Strata[at.level].Holm = r.Tests[at.test].Holm
	}
	r.conclude()
	return r, nil
}

// ofDimension adds the tests of a dimension as a whole.
func (r *Report) ofDimension(d *Draw, dim *Dimension, won []int64) {
	if x2, df, merged := chi(d.Pools, dim.Entries, won); df > 0 {
		r.Tests = append(r.Tests, Test{Kind: KindChi, Dimension: dim.Name, Symbol: "χ²", Statistic: x2, DF: df, P: chiTail(x2, df), Method: MethodChi})
		if merged > 0 {
			r.Notes = append(r.Notes, fmt.Sprintf("%s: %d levels that lead us to expect few winners, or few losers, stand together in the test of all levels.", dim.Name, merged))
		}
	}
	if dim.Ordered && len(dim.Levels) > 2 { // of two levels the trend is the level's own test
		if z, skew := trend(d.Pools, dim.Entries, won); z != 0 {
			if z < 0 {
				skew = -skew
			}
			r.Tests = append(r.Tests, Test{Kind: KindTrend, Dimension: dim.Name, Symbol: "z", Statistic: z, P: floor(2 * tailNormal(math.Abs(z), skew)), Method: MethodNormal})
		}
	}
	if dim.Classes != nil {
		if x2, df, p := Pearson(sparse(dim.Classes)); df > 0 {
			r.Tests = append(r.Tests, Test{Kind: KindClasses, Dimension: dim.Name, Symbol: "χ²", Statistic: x2, DF: df, P: p, Method: MethodChi})
		}
	}
}

// leastClass is leastExpected for a class of tickets: a third of a level's entries is
// hardly skewed.
const leastClass = 5

// sparse puts the rows of a table together that expect too few in a column.
func sparse(table [][]int64) [][]int64 {
	var all float64
	cols, rows := make([]float64, len(table[0])), make([]float64, len(table))
	for i, row := range table {
		for j, v := range row {
			cols[j] += float64(v)
			rows[i] += float64(v)
			all += float64(v)
		}
	}
	least := 0.0
	if all > 0 {
		least = slices.Min(cols) / all
	}
	for i := range rows {
		rows[i] *= least
	}
	group, groups, _ := gather(rows, rows, leastClass)
	out := make([][]int64, groups)
	for i, row := range table {
		if out[group[i]] == nil {
			out[group[i]] = make([]int64, len(row))
		}
		for j, v := range row {
			out[group[i]][j] += v
		}
	}
	return out
}

// ofOrder adds the tests that need tickets or the order of entry.
func (r *Report) ofOrder(d *Draw) {
	if k := d.Ranks; k != nil && k.Count > 1 {
		r.Tests = append(r.Tests,
			Test{Kind: KindSpearman, Symbol: "ρ", Statistic: k.Rho, P: spearmanP(k.Rho, k.Count), Method: MethodNormal},
			Test{Kind: KindKS, Symbol: "D", Statistic: k.D, P: ksP(k.D, k.Count), Method: MethodBound})
		if !k.Exact {
			r.Notes = append(r.Notes, fmt.Sprintf("Tickets were counted in %d × %d bins for the rank correlation and in %s for uniformity.", rankBins, rankBins, count(ksBins)))
		}
	}
	// Of K winners among N in order, the number of their blocks is hypergeometric: N
	// entries, K drawn, N−K+1 gaps to stand in (Stevens, Ann. Eugenics 9, 1939; Gibbons
	// and Chakraborti, Nonparametric Statistical Inference, 5th ed. 2010, chapter 3).
	var hs []hyper
	var blocks int64
	for _, p := range d.Pools {
		if p.Winners == 0 {
			continue
		}
		if p.Blocks == 0 {
			return
		}
		blocks += p.Blocks
		hs = append(hs, hyper{p.Entries, p.Winners, p.Entries - p.Winners + 1})
	}
	if t := totalOf(hs); len(t.parts) > 0 {
		out := t.judge(blocks, r.Confidence, r.FamilyError, r.Power)
		r.Tests = append(r.Tests, Test{Kind: KindRuns, Symbol: "z", Statistic: (float64(blocks) - t.mean) / t.sigma(), P: out.p, Method: out.method})
	}
}

// holm corrects p values for their number (Holm, Scand. J. Stat. 6, 1979): the chance
// that any true hypothesis is rejected stays below the family error, however the tests
// hang together.
func holm(tests []Test, family float64) {
	order := make([]int, len(tests))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case tests[a].P < tests[b].P:
			return -1
		case tests[a].P > tests[b].P:
			return 1
		}
		return 0
	})
	most := 0.0
	for k, i := range order {
		most = max(most, min(1, float64(len(tests)-k)*tests[i].P))
		tests[i].Holm, tests[i].Rejected = most, most <= family
	}
}

// Least is the test with the smallest corrected p; nil when there is none.
func (r *Report) Least() *Test {
	var out *Test
	for i := range r.Tests {
		if t := &r.Tests[i]; out == nil || t.Holm < out.Holm || t.Holm == out.Holm && t.P < out.P {
			out = t
		}
	}
	return out
}

func (r *Report) conclude() {
	failed, open := "", 0
	for _, c := range r.Process {
		switch {
		case c.Word == Fails && failed == "":
			failed = c.Name + ": " + c.Why
		case c.Word == NotStated:
			open++
		}
	}
	least := r.Least()
	switch {
	case least == nil:
		r.Statistics, r.Why = CannotTell, "No test was possible: luck decided nothing."
	case least.Rejected:
		n := 0
		for _, t := range r.Tests {
			if t.Rejected {
				n++
			}
		}
		r.Statistics = DoesNotFit
		r.Why = fmt.Sprintf("%d of %d tests reject, the strongest is %s (p %s, corrected %s).", n, len(r.Tests), least.Name(), pText(least.P), pText(least.Holm))
	default:
		r.Statistics = Fits
		r.Why = fmt.Sprintf("None of %d tests rejects, the nearest is %s (p %s, corrected %s).", len(r.Tests), least.Name(), pText(least.P), pText(least.Holm))
	}
	r.Verdict = r.Statistics
	switch {
	case failed != "":
		r.Verdict = DoesNotFit
		r.Why += " The process fails, " + failed + "."
	case open > 0:
		r.Why += " The process is not shown, and statistics cannot show it."
	}
}
