package plot

import (
	"fmt"
	"math"

	"gonum.org/v1/plot/vg"
)

// Tail is how long a time of a station takes: simulated percentiles, and theory.
type Tail struct {
	Name   string // "wait", "sojourn"
	Points []TailPoint
	// Beyond is theory's probability of taking longer than so many seconds; nil where
	// no formula says.
	Beyond func(seconds float64) float64
}

// TailPoint is the percentile Q (0..1) with the half width of its interval, in seconds.
type TailPoint struct{ Q, Value, Half float64 }

// tailLeast is the probability at the foot of a tail: below that of the 99th percentile.
const tailLeast = 0.005

// StationTails draws how likely a time is to be exceeded, a panel a time.
func StationTails(sub string, level string, tails ...Tail) (Figure, error) {
	const id = "station-tails"
	s := &sheet{id: id, title: "How long it takes: the share that takes longer", sub: clean(sub, 150), cols: 2}
	curves, zero := false, false
	for _, t := range tails {
		high := 0.0
		for _, p := range t.Points {
			if finite(p.Value) && finite(p.Half) {
				high = max(high, p.Value+p.Half)
			}
		}
		if !(high > 0) {
			continue
		}
		unit, factor := "s", 1.0
		switch {
		case high < 1e-3:
			unit, factor = "µs", 1e6
		case high < 1:
			unit, factor = "ms", 1e3
		}
		p := &panel{title: clean(t.Name, 20), height: 210}
		p.x.linear(0, high*factor, 0.15, number)
		p.x.label = fmt.Sprintf("%s t (%s)", clean(t.Name, 20), unit)
		p.y = axis{label: "share that takes longer than t", log: true, min: tailLeast, max: 1.3, grid: true}
		for _, v := range []float64{1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01} {
			p.y.ticks = append(p.y.ticks, tick(v, short(100*v)+" %"))
		}
		if t.Beyond != nil {
			curves = true
			const steps = 600
			xs, ys := make([]float64, steps+1), make([]float64, steps+1)
			for i := range xs {
				xs[i] = p.x.max * float64(i) / steps
				if ys[i] = t.Beyond(xs[i] / factor); !(ys[i] >= tailLeast/2) {
					ys[i] = nan
				}
			}
			p.draw = append(p.draw, func(f *frame) { f.line(xs, ys, blue, 1.6, nil) })
		}
		for _, q := range t.Points {
			x, half, y := q.Value*factor, q.Half*factor, 1-q.Q
			switch {
			case !finite(x):
				continue
			case x == 0:
				zero = true
				continue
			}
			label := fmt.Sprintf("p%g", math.Round(1000*q.Q)/10)
			p.draw = append(p.draw, func(f *frame) {
				at := f.at(x, y)
				f.dot(at, vermilion, 2.6)
				f.flat(max(x-half, f.panel.x.min), min(x+half, f.panel.x.max), y, vermilion)
				f.text(vg.Point{X: at.X + 5, Y: at.Y + 9}, label, 8, false, inkSoft, leftMid)
			})
		}
		s.panels = append(s.panels, p)
	}
	if len(s.panels) == 0 {
		return Figure{}, noData(id, "no time was measured that is not 0")
	}
	s.keys = []key{{label: "simulated percentile, with its " + level + " interval", color: vermilion, dot: true}}
	if curves {
		s.keys = append(s.keys, key{label: "theory", color: blue})
	}
	s.caption = "Logarithmic upwards: an exponential time is a straight line."
	if curves {
		s.caption += " The simulated percentiles should lie on the line of theory; most intervals are narrower than the dot."
	} else {
		s.caption += " No formula gives the whole distribution here."
	}
	if zero {
		s.caption += " A percentile that is 0 is not drawn: that many do not wait at all."
	}
	return s.figure()
}

// Held is a figure of a station beside theory: how far theory is off, in half widths of
// the figure's interval, and that half width as a share of the value.
type Held struct {
	Name     string
	Off      float64
	Relative float64
}

// StationHeld draws where theory lies in each figure's interval; wider is how many
// times as wide intervals are that hold all at once.
func StationHeld(sub, level string, wider float64, list []Held) (Figure, error) {
	const id = "station-theory"
	var rows []Held
	for _, h := range list {
		if !math.IsNaN(h.Off) && finite(h.Relative) {
			rows = append(rows, h)
		}
	}
	if len(rows) == 0 {
		return Figure{}, noData(id, "theory knows no figure that was measured")
	}
	if !finite(wider) || wider < 1 {
		wider = 1
	}
	reach := wider
	for _, h := range rows {
		reach = max(reach, min(math.Abs(h.Off), 10))
	}
	reach *= 1.12
	x := axis{label: "where theory lies, in half widths of the figure's interval", min: -reach, max: 1.22 * reach, grid: true}
	step := niceStep(2 * reach / 9)
	for i := math.Ceil(-reach / step); i*step <= reach; i++ {
		x.ticks = append(x.ticks, tick(i*step, number(i*step, step)))
	}
	p := &panel{height: vg.Length(17 * len(rows)), x: x}
	p.y = axis{min: -0.6, max: float64(len(rows)) - 0.4, flip: true}
	for i, h := range rows {
		p.y.ticks = append(p.y.ticks, tick(float64(i), clean(h.Name, 30)))
	}
	p.draw = append(p.draw, func(f *frame) {
		foot := f.panel.y.max - 0.03 // above the line of the axis
		f.box(-wider, f.panel.y.min, wider, foot, gridGrey)
		f.box(-1, f.panel.y.min, 1, foot, paper)
		f.box(-1, f.panel.y.min, 1, foot, fade(sky, 0.28))
		f.line([]float64{0, 0}, []float64{f.panel.y.min, f.panel.y.max}, inkSoft, 0.8, dashed)
		for i, h := range rows {
			c := green
			switch {
			case math.Abs(h.Off) > wider:
				c = vermilion
			case math.Abs(h.Off) > 1:
				c = orange
			}
			at := f.at(min(max(h.Off, -reach*0.97), reach*0.97), float64(i))
			f.dot(at, c, 3)
			f.text(vg.Point{X: f.c.Max.X - 4, Y: at.Y}, "± "+percentText(h.Relative), 8, false, inkSoft, rightMid)
		}
	})
	s := &sheet{id: id, title: "Simulated against theory", sub: clean(sub, 150), cols: 1, panels: []*panel{p}, keys: []key{
		{label: "inside the " + level + " interval", color: green, dot: true}, {label: "outside it, inside the joint one", color: orange, dot: true},
		{label: "outside both", color: vermilion, dot: true}, {label: level + " interval", color: fade(sky, 0.28), area: true}, {label: "joint interval", color: gridGrey, area: true}}}
	s.caption = fmt.Sprintf("Each dot is the value of theory, seen from the simulated one at 0. On the right is what the half width is of the value. "+
		"Single intervals hold with %s each; the joint ones, %.2g times as wide, hold all at once.", level, wider)
	return s.figure()
}

// percentText writes a share as a percentage in two figures.
func percentText(v float64) string {
	p := 100 * v
	if p < 0.01 {
		return "< 0.01 %"
	}
	return fmt.Sprintf("%.*f %%", max(0, 1-int(math.Floor(math.Log10(p)))), p)
}

// Course is a figure of a station over a setting: where simulated, its interval, and
// theory where it is known (NaN where not).
type Course struct {
	Title, Unit         string
	Value, Half, Theory []float64
}

// StationCourses draws what one key of a station moves, a panel a figure. xs are the
// values of the key, ascending, in xUnit ("" = a plain number).
func StationCourses(sub, level, keyName, xUnit string, xs []float64, courses []Course) (Figure, error) {
	id := "station-sweep-" + slug(keyName)
	s := &sheet{id: id, title: "What " + clean(keyName, 40) + " moves", sub: clean(sub, 150), cols: 3}
	if len(xs) < 2 {
		return Figure{}, noData(id, "fewer than two values of "+clean(keyName, 40)+" were run")
	}
	known := false
	for _, c := range courses {
		lo, hi := make([]float64, len(xs)), make([]float64, len(xs))
		high := 0.0
		for i := range xs {
			lo[i], hi[i] = max(c.Value[i]-c.Half[i], 0), c.Value[i]+c.Half[i]
			for _, v := range []float64{hi[i], c.Theory[i]} {
				if finite(v) {
					high = max(high, v)
				}
			}
			known = known || finite(c.Theory[i])
		}
		if !(high > 0) {
			continue // it is 0 throughout
		}
		p := &panel{title: clean(c.Title+c.Unit, 40), height: 110, x: valueAxis(keyName, xs)}
		if xUnit != "" {
			p.x.label += " (" + clean(xUnit, 20) + ")"
		}
		p.y.linear(0, high, 0.12, number)
		p.draw = append(p.draw, func(f *frame) {
			f.line(xs, c.Theory, blue, 1.5, nil)
			for i, x := range xs {
				if finite(c.Value[i]) {
					f.whisker(x, max(lo[i], f.y.min), min(hi[i], f.y.max), vermilion)
					f.dot(f.at(x, c.Value[i]), vermilion, 2.3)
				}
			}
		})
		s.panels = append(s.panels, p)
	}
	if len(s.panels) == 0 {
		return Figure{}, noData(id, "nothing was measured that is not 0")
	}
	if n := len(s.panels); n == 2 || n == 4 {
		s.cols = 2
	}
	for i, p := range s.panels {
		p.x.bare = i+s.cols < len(s.panels)
	}
	s.keys = []key{{label: "simulated, with its " + level + " interval", color: vermilion, dot: true}}
	if known {
		s.keys = append(s.keys, key{label: "theory", color: blue})
	}
	s.caption = "The ticks are the values that were run, all with the same customers and the same work. A value at which the station has no steady state is left out."
	return s.figure()
}
