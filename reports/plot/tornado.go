package plot

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/plot/vg"
)

// Bar is one assumption of a tornado: the runs at its low and at its high end; an
// end without runs was not run.
type Bar struct {
	Key       string
	Low, High RunPoint
}

// Moves is the change of a metric from the base to that end of the bar which moves
// it more, with its sign; -Inf when neither end can tell.
func (b Bar) Moves(m Metric, base RunPoint) float64 {
	most := math.Inf(-1)
	was, ok := base.Of(m)
	if !ok {
		return most
	}
	for _, end := range []RunPoint{b.Low, b.High} {
		if s, ok := end.Of(m); ok && (math.IsInf(most, -1) || math.Abs(s.Mean-was.Mean) > math.Abs(most)) {
			most = s.Mean - was.Mean
		}
	}
	return most
}

// Sorted is the bars with those first that move the metric most; equal ones keep
// their order, and those that cannot tell come last.
func Sorted(m Metric, base RunPoint, bars []Bar) []Bar {
	out := slices.Clone(bars)
	size := func(b Bar) float64 {
		if v := b.Moves(m, base); !math.IsInf(v, -1) {
			return math.Abs(v)
		}
		return -1
	}
	slices.SortStableFunc(out, func(a, b Bar) int { return cmp.Compare(size(b), size(a)) })
	return out
}

// maxBars bounds the rows of a tornado; the rest moves less than what is shown.
const maxBars = 24

// Tornado draws how far a metric moves when one assumption at a time goes to its low
// and its high end, the strongest on top, with the seeds' interval at each end.
func Tornado(m Metric, base RunPoint, bars []Bar) (Figure, error) {
	const id = "tornado"
	was, ok := base.Of(m)
	if !ok {
		return Figure{}, noData(id, "the runs as the scenario stands cannot tell "+m.Name)
	}
	type end struct {
		y, v, lo, hi float64
		color        paint
		label        string
		whisker      bool
	}
	var ends []end
	var names []string
	lo, hi := was.Mean, was.Mean
	sorted, unknown, positive := Sorted(m, base, bars), 0, was.Mean >= 0
	least := 0.0 // what moves it less than a hundredth of the strongest is no bar to see
	if len(sorted) > 0 {
		if v := sorted[0].Moves(m, base); !math.IsInf(v, -1) {
			least = math.Abs(v) / 100
		}
	}
	for _, b := range sorted {
		if math.IsInf(b.Moves(m, base), -1) {
			unknown++
			continue
		}
		if len(names) == maxBars || math.Abs(b.Moves(m, base)) < least {
			continue
		}
		y := float64(len(names))
		names = append(names, clean(b.Key, 34))
		for i, p := range []RunPoint{b.Low, b.High} {
			s, ok := p.Of(m)
			if !ok {
				continue
			}
			e := end{y: y + []float64{-0.19, 0.19}[i], v: s.Mean, lo: s.Lo, hi: s.Hi, color: []paint{sky, orange}[i], label: clean(p.Setting(b.Key), 18), whisker: s.N > 1 && finite(s.Lo)}
			ends = append(ends, e) // low above, high below: both may go the same way
			positive = positive && e.v >= 0
			lo, hi = min(lo, e.v), max(hi, e.v)
			if e.whisker {
				lo, hi = min(lo, e.lo), max(hi, e.hi)
			}
		}
	}
	if positive {
		lo = max(lo, 0) // the interval of few seeds may reach where the metric cannot
		for i := range ends {
			ends[i].lo = max(ends[i].lo, 0)
		}
	}
	if len(names) == 0 {
		return Figure{}, noData(id, "no run with a moved assumption can tell "+m.Name)
	}
	if !(hi > lo) {
		lo, hi = lo-1, hi+1
	}
	room := 0.16 * (hi - lo) // for the values written beside the bars
	x := axis{label: m.Title(), min: lo - 0.6*room, max: hi + room, grid: true}
	step := niceStep((x.max - x.min) / 7)
	for i := math.Ceil(x.min / step); i*step <= x.max && len(x.ticks) < 20; i++ {
		x.ticks = append(x.ticks, tick(i*step, number(i*step, step)))
	}
	p := &panel{title: "", height: vg.Length(22 * len(names)), x: x}
	p.y = axis{min: -0.6, max: float64(len(names)) - 0.4, flip: true}
	for i, n := range names {
		p.y.ticks = append(p.y.ticks, tick(float64(i), n))
	}
	p.draw = append(p.draw, func(f *frame) {
		for i := 1; i < len(names); i += 2 {
			f.box(f.x.min, float64(i)-0.5, f.x.max, float64(i)+0.5, bandGrey)
		}
		for _, e := range ends {
			f.box(min(was.Mean, e.v), e.y-0.18, max(was.Mean, e.v), e.y+0.18, e.color)
		}
		for _, e := range ends {
			if e.whisker {
				f.flat(max(e.lo, f.x.min), min(e.hi, f.x.max), e.y, inkSoft)
			}
			at, side, a := max(e.v, e.hi), vg.Length(4), leftMid
			if e.v < was.Mean {
				at, side, a = max(min(e.v, e.lo), f.x.min), -4, rightMid
			}
			if math.Abs(e.v-was.Mean) > 0.01*(hi-lo) {
				f.text(vg.Point{X: f.px(at) + side, Y: f.py(e.y)}, e.label, 7.5, false, inkSoft, a)
			}
		}
		f.line([]float64{was.Mean, was.Mean}, []float64{f.panel.y.min, f.panel.y.max}, ink, 1, nil)
	})
	s := &sheet{id: id, title: "Which assumption moves it: " + m.Title(), sub: aboutSweep([]RunPoint{base}), cols: 1, panels: []*panel{p},
		keys: []key{{label: "at the low end of the assumption", color: sky, area: true}, {label: "at the high end", color: orange, area: true},
			{label: "as the scenario stands, " + short(was.Mean), color: ink}}}
	s.caption = fmt.Sprintf("Each bar moves one assumption of the scenario from its base to the ends of its range, the others stay. %s The strongest is on top.",
		seedsNote(len(base.Records), len(base.Records), "whiskers"))
	if n := len(sorted) - unknown - len(names); n > 0 {
		s.caption += fmt.Sprintf(" %d more move it less (under a hundredth of the strongest, or beyond the rows) and are left out.", n)
	}
	if unknown > 0 {
		s.caption += fmt.Sprintf(" %d cannot tell: too few samples.", unknown)
	}
	return s.figure()
}
