package plot

import (
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	gplot "gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"

	"spillway/reports/fairness"
)

// Fairness draws the report on a lottery: the rates by level, the tickets by order of
// entry where they are known, and all tests. It fails only when drawing fails.
func Fairness(r *fairness.Report) ([]Figure, error) {
	return each(r, []func(*fairness.Report) (Figure, error){FairnessRates, FairnessTickets, FairnessTests})
}

func aboutDraw(r *fairness.Report) string {
	return fmt.Sprintf("%s · %s entries, %s winners, %s pools · %s", clean(r.Name, 50), number(float64(r.Entries), 1), number(float64(r.Winners), 1),
		number(float64(r.Pools), 1), clean(r.Verdict, 30))
}

const (
	maxDimensions = 8  // panels of rates; the rest stands in the table
	maxRows       = 40 // levels of a dimension without order; those that stand out most
)

// FairnessRates draws the share that won at each level, with its exact interval and the
// share that a fair draw gives.
func FairnessRates(r *fairness.Report) (Figure, error) {
	const id = "fairness-rates"
	s := &sheet{id: id, title: "Who won: the win rate by level", sub: aboutDraw(r), cols: 1}
	left, shown := 0, 0
	for _, l := range r.Dimensions {
		var strata []fairness.Stratum
		for _, st := range l.Strata {
			if st.Luck && finite(st.Rate) && finite(st.Fair) && finite(st.RateLo) && finite(st.RateHi) {
				strata = append(strata, st)
			}
		}
		if len(strata) == 0 {
			continue
		}
		if shown++; shown > maxDimensions {
			continue
		}
		if l.Ordered || namesFit(strata) {
			s.panels = append(s.panels, ratesUpright(l.Name, strata, r.FamilyError))
			continue
		}
		if n := len(strata) - maxRows; n > 0 {
			left += n
			slices.SortStableFunc(strata, func(a, b fairness.Stratum) int {
				switch {
				case a.P < b.P:
					return -1
				case a.P > b.P:
					return 1
				}
				return 0
			})
			strata = strata[:maxRows]
		}
		s.panels = append(s.panels, ratesLying(l.Name, strata, r.FamilyError))
	}
	if len(s.panels) == 0 {
		return Figure{}, noData(id, "no dimension has a level that luck could move")
	}
	level := percentText(r.Confidence) + " interval"
	s.keys = []key{{label: "won, with its " + level, color: blue, dot: true}, {label: "rejected after the correction for all tests", color: vermilion, dot: true},
		{label: "expected of a fair draw", color: ink, dash: dashed}}
	s.caption = fmt.Sprintf("Share of a level's entries that won. One interval in %.0f misses the expected share of a fair draw: what counts is the correction over all %d tests, by which a fair draw is called unfair with %s at most. The axes need not begin at 0.",
		1/max(1-r.Confidence, 1e-9), len(r.Tests), percentText(r.FamilyError))
	if left > 0 {
		s.caption += fmt.Sprintf(" %d levels nearer to the expected share are left out.", left)
	}
	if shown > maxDimensions {
		s.caption += fmt.Sprintf(" %d more dimensions stand in the table alone.", shown-maxDimensions)
	}
	return s.figure()
}

const maxName = 24 // characters of a name under an axis

// namesFit tells whether the levels' names stand side by side under an axis.
func namesFit(strata []fairness.Stratum) bool {
	for _, s := range strata {
		if utf8.RuneCountInString(s.Level) > maxName || widthOf(clean(s.Level, 40), 8.5, false)+6 > (sheetWidth-2*margin-50)/vg.Length(len(strata)) {
			return false
		}
	}
	return true
}

// rateAxis spans all intervals, in per cent, without a 0 that would press them flat.
func rateAxis(strata []fairness.Stratum) axis {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, s := range strata {
		lo, hi = min(lo, 100*s.RateLo, 100*s.Fair), max(hi, 100*s.RateHi, 100*s.Fair)
	}
	lo, hi = min(max(lo, 0), 100), min(max(hi, 0), 100)
	if !(hi > lo) {
		lo, hi = max(0, lo-0.5), lo+0.5
	}
	a := axis{min: max(0, lo-0.06*(hi-lo)), max: hi + 0.06*(hi-lo), grid: true}
	step := niceStep((a.max - a.min) / 5)
	for i := math.Ceil(a.min/step - 1e-9); i*step <= a.max*(1+1e-12) && len(a.ticks) < 20; i++ {
		a.ticks = append(a.ticks, tick(i*step, number(i*step, step)))
	}
	return a
}

func rateColor(s fairness.Stratum, family float64) paint {
	if s.Holm <= family {
		return vermilion
	}
	return blue
}

// ratesUpright has the levels side by side, in their order.
func ratesUpright(name string, strata []fairness.Stratum, family float64) *panel {
	n := len(strata)
	p := &panel{title: "By " + clean(name, 60), height: 120, y: rateAxis(strata)}
	p.y.label = "win rate (%)"
	p.x = axis{label: clean(name, 60), min: -0.5, max: float64(n) - 0.5}
	wide := vg.Length(0)
	for _, s := range strata {
		wide = max(wide, widthOf(clean(s.Level, maxName), 8.5, false)+6)
	}
	every := max(1, int(math.Ceil(float64(wide)*float64(n)/float64(sheetWidth-2*margin-60))))
	for i, s := range strata {
		t := gplot.Tick{Value: float64(i)}
		if i%every == 0 {
			t.Label = clean(s.Level, maxName)
		}
		p.x.ticks = append(p.x.ticks, t)
	}
	p.draw = append(p.draw, func(f *frame) {
		var xs, ys []float64
		for i, s := range strata {
			xs, ys = append(xs, float64(i)-0.5, float64(i)+0.5), append(ys, 100*s.Fair, 100*s.Fair)
		}
		f.line(xs, ys, ink, 0.9, dashed)
		for i, s := range strata {
			c := rateColor(s, family)
			f.whisker(float64(i), clampTo(100*s.RateLo, f.y), clampTo(100*s.RateHi, f.y), c)
			f.dot(f.at(float64(i), clampTo(100*s.Rate, f.y)), c, 2.6)
		}
	})
	return p
}

// ratesLying has a row a level, for names that are long.
func ratesLying(name string, strata []fairness.Stratum, family float64) *panel {
	n := len(strata)
	p := &panel{title: "By " + clean(name, 60), height: vg.Length(15 * n), x: rateAxis(strata)}
	p.x.label = "win rate (%)"
	p.y = axis{min: -0.6, max: float64(n) - 0.4, flip: true}
	for i, s := range strata {
		p.y.ticks = append(p.y.ticks, tick(float64(i), clean(s.Level, 40)))
	}
	p.draw = append(p.draw, func(f *frame) {
		var xs, ys []float64
		for i, s := range strata {
			xs, ys = append(xs, 100*s.Fair, 100*s.Fair), append(ys, float64(i)-0.5, float64(i)+0.5)
		}
		f.line(xs, ys, ink, 0.9, dashed)
		for i, s := range strata {
			c := rateColor(s, family)
			f.flat(clampTo(100*s.RateLo, f.panel.x), clampTo(100*s.RateHi, f.panel.x), float64(i), c)
			f.dot(f.at(clampTo(100*s.Rate, f.panel.x), float64(i)), c, 2.6)
		}
	})
	return p
}

func clampTo(v float64, a axis) float64 { return min(max(v, a.min), a.max) }

// maxCells a side: more would be a texture, and a large file.
const maxCells = 16

// FairnessTickets draws how tickets lie over the order of entry, their mean along it, and
// how their distribution differs from uniform.
func FairnessTickets(r *fairness.Report) (Figure, error) {
	const id = "fairness-tickets"
	k := r.Ranks
	if k == nil || k.Count < 2 || len(k.Cells) == 0 {
		return Figure{}, noData(id, "the draw's tickets are not known")
	}
	cells, rows := coarser(k.Cells)
	if cells == nil {
		return Figure{}, noData(id, "the tickets' table is not square")
	}
	s := &sheet{id: id, title: "Tickets and the order of entry", sub: aboutDraw(r), cols: 3}
	side := float64(len(cells))
	share := axis{min: 0, max: 100}
	for v := 0.0; v <= 100; v += 25 {
		share.ticks = append(share.ticks, tick(v, number(v, 1)))
	}

	const reach = 5.0 // σ at the ends of the colours
	heat := &panel{title: "Tickets a cell", height: 190, x: share, y: share, bar: &colorBar{lo: -reach, hi: reach, format: func(v float64) string {
		if v == 0 {
			return "0 σ"
		}
		return fmt.Sprintf("%s σ", number(v, 1))
	}}}
	heat.x.label, heat.y.label = "order of entry (% of all)", "ticket (% of its range)"
	heat.draw = append(heat.draw, func(f *frame) {
		for i, row := range cells {
			for j, c := range row {
				expected := rows[i] / side
				z := nan
				if expected > 0 {
					z = (c - expected) / math.Sqrt(expected*(1-1/side))
				}
				color := missing
				if finite(z) {
					color = ramp((z + reach) / (2 * reach))
				}
				f.box(100*float64(i)/side, 100*float64(j)/side, 100*float64(i+1)/side, 100*float64(j+1)/side, color)
			}
		}
	})

	mean := &panel{title: "Mean ticket", height: 190, x: share}
	mean.x.label = "order of entry (% of all)"
	z := math.Sqrt2 * math.Erfinv(min(max(r.Confidence, 0), 1-1e-12))
	var xs, ys, half []float64
	lo, hi := 50.0, 50.0
	for i, m := range k.Mean {
		if i >= len(k.Cells) {
			break
		}
		n := 0.0
		for _, c := range k.Cells[i] {
			n += float64(c)
		}
		if n < 1 || !finite(m) {
			continue
		}
		h := 100 * z / math.Sqrt(12*n)
		xs, ys, half = append(xs, 100*(float64(i)+0.5)/float64(len(k.Mean))), append(ys, 100*m), append(half, h)
		lo, hi = min(lo, 100*m-h), max(hi, 100*m+h)
	}
	mean.y = around(lo, hi)
	mean.y.label = "mean ticket (% of its range)"
	mean.draw = append(mean.draw, func(f *frame) {
		f.line([]float64{0, 100}, []float64{50, 50}, ink, 0.9, dashed)
		for i := range xs {
			f.whisker(xs[i], clampTo(ys[i]-half[i], f.y), clampTo(ys[i]+half[i], f.y), blue)
			f.dot(f.at(xs[i], clampTo(ys[i], f.y)), blue, 2.2)
		}
	})

	below := &panel{title: "Distance from uniform", height: 190, x: share}
	below.x.label = "ticket (% of its range)"
	_, critical, _ := r.RanksCritical()
	px, off := make([]float64, 0, len(k.Below)), make([]float64, 0, len(k.Below))
	top := 100 * critical
	for i, b := range k.Below {
		x := 100 * float64(i) / float64(max(len(k.Below)-1, 1))
		px, off = append(px, x), append(off, 100*b-x)
		if finite(b) {
			top = max(top, math.Abs(100*b-x))
		}
	}
	below.y = around(-top, top)
	below.y.label = "share below, less expected (% points)"
	below.draw = append(below.draw, func(f *frame) {
		band := []float64{-100 * critical, -100 * critical}
		f.band([]float64{0, 100}, band, []float64{100 * critical, 100 * critical}, fade(sky, 0.2))
		f.line([]float64{0, 100}, []float64{0, 0}, ink, 0.9, dashed)
		f.line(px, off, blue, 1.3, nil)
	})
	s.panels = []*panel{heat, mean, below}
	s.keys = []key{{label: "measured, means with their " + percentText(r.Confidence) + " interval", color: blue}, {label: "expected of a fair draw", color: ink, dash: dashed},
		{label: "inside, the test of uniformity does not reject", color: fade(sky, 0.2), area: true}}
	s.caption = fmt.Sprintf("Left: how many tickets lie in a cell, in standard deviations from what each step of the order of entry expects; a fair draw is noise. Middle: a slope would favour the early or the late; Spearman's coefficient is %s. Right: 0 throughout would be a uniform ticket; Kolmogorov's distance is %s.",
		signed(k.Rho), short(k.D))
	return s.figure()
}

func signed(v float64) string {
	if v < 0 {
		return "−" + short(-v)
	}
	return short(v)
}

// coarser puts cells together until at most maxCells stand on a side, and adds up the
// rows; nil when the table is not square.
func coarser(in [][]int64) (cells [][]float64, rows []float64) {
	n := len(in)
	by := (n + maxCells - 1) / maxCells
	side := (n + by - 1) / by
	if n%by != 0 {
		return nil, nil
	}
	cells, rows = make([][]float64, side), make([]float64, side)
	for i := range cells {
		cells[i] = make([]float64, side)
	}
	for i, row := range in {
		if len(row) != n {
			return nil, nil
		}
		for j, c := range row {
			cells[i/by][j/by] += float64(c)
			rows[i/by] += float64(c)
		}
	}
	return cells, rows
}

// around is an axis from lo to hi with a little room.
func around(lo, hi float64) axis {
	if !finite(lo) || !finite(hi) || !(hi-lo > 1e-9) || hi-lo > 1e6 {
		lo, hi = -1, 1
	}
	room := 0.08 * (hi - lo)
	a := axis{min: lo - room, max: hi + room, grid: true}
	step := niceStep((a.max - a.min) / 6)
	for i := math.Ceil(a.min / step); i*step <= a.max && len(a.ticks) < 20; i++ {
		a.ticks = append(a.ticks, tick(i*step, number(i*step, step)))
	}
	return a
}

// leastShown is the p value at the end of the axis; smaller ones are drawn there.
const leastShown = 1e-12

// FairnessTests draws every test's p value, and the smallest of each row as it stands
// after the correction for all.
func FairnessTests(r *fairness.Report) (Figure, error) {
	const id = "fairness-tests"
	type row struct {
		name  string
		tests []fairness.Test
	}
	var rows []row
	for _, t := range r.Tests {
		name := t.Kind
		switch {
		case t.Level != "":
			name = t.Dimension + ": single levels"
		case t.Dimension != "":
			name = t.Dimension + ": " + t.Kind
		}
		i := slices.IndexFunc(rows, func(r row) bool { return r.name == name })
		if i < 0 {
			if len(rows) == maxRows {
				continue
			}
			i = len(rows)
			rows = append(rows, row{name: name})
		}
		rows[i].tests = append(rows[i].tests, t)
	}
	if len(rows) == 0 {
		return Figure{}, noData(id, "no test was possible")
	}
	place := func(p float64) float64 { return -math.Log10(min(max(p, leastShown), 1)) }
	far := place(r.FamilyError) + 1
	for _, t := range r.Tests {
		far = max(far, place(t.P)+0.5)
	}
	x := axis{label: "p value (logarithmic, smaller to the right)", min: -0.15, max: far, grid: true}
	for e := 0; float64(e) <= far; e++ {
		label := fmt.Sprintf("1e-%d", e)
		switch e {
		case 0, 1, 2, 3:
			label = []string{"1", "0.1", "0.01", "0.001"}[e]
		}
		x.ticks = append(x.ticks, tick(float64(e), label))
	}
	p := &panel{height: vg.Length(19 * len(rows)), x: x}
	p.y = axis{min: -0.6, max: float64(len(rows)) - 0.4, flip: true}
	for i, row := range rows {
		p.y.ticks = append(p.y.ticks, tick(float64(i), clean(row.name, 46)))
	}
	clipped := false
	p.draw = append(p.draw, func(f *frame) {
		for i := 1; i < len(rows); i += 2 {
			f.box(f.panel.x.min+0.002*far, float64(i)-0.5, f.panel.x.max, float64(i)+0.5, bandGrey)
		}
		at := place(r.FamilyError)
		f.line([]float64{at, at}, []float64{p.y.min, p.y.max}, vermilion, 0.9, dashed)
		for i, row := range rows {
			least := row.tests[0]
			for _, t := range row.tests {
				f.dot(f.at(place(t.P), float64(i)), sky, 2)
				if t.P < least.P {
					least = t
				}
			}
			c := green
			if least.Rejected {
				c = vermilion
			}
			from := f.at(place(least.P), float64(i))
			to := f.at(place(least.Holm), float64(i))
			f.line([]float64{place(least.Holm), place(least.P)}, []float64{float64(i), float64(i)}, fade(inkSoft, 0.5), 0.7, nil)
			f.dot(from, sky, 2)
			f.dot(to, c, 3.2)
		}
	})
	for _, t := range r.Tests {
		clipped = clipped || t.P < leastShown
	}
	s := &sheet{id: id, title: "Which test says what", sub: aboutDraw(r), cols: 1, panels: []*panel{p}, keys: []key{
		{label: "p of a test", color: sky, dot: true}, {label: "the row's smallest, corrected for all tests", color: green, dot: true},
		{label: "the same, and it rejects", color: vermilion, dot: true}, {label: "family error " + percentText(r.FamilyError), color: vermilion, dash: dashed}}}
	s.caption = fmt.Sprintf("%d tests, corrected together (Holm): a fair draw has a corrected value right of the line with %s at most. What lies left of it may still be a favour too small to notice, or one for people whom no dimension sets apart; only the seal shows that the draw was not chosen.",
		len(r.Tests), percentText(r.FamilyError))
	if clipped {
		s.caption += " Values below 1e-12 are drawn at 1e-12."
	}
	return s.figure()
}
