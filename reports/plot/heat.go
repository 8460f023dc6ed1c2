package plot

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Set is one sweep under a name, such as "scarce stock".
type Set struct {
	Name   string
	Points []RunPoint
}

// heatTopics cut the metrics of a heat map into two figures: what people feel, and
// what the system bears.
var heatTopics = []struct {
	id, title string
	metrics   []string
}{
	{"heat-people", "what people feel", []string{"sold-out.at", "refusals", "wait.p50", "wait.p99", "gave-up.gate", "first-tenth"}},
	{"heat-system", "what the system bears", []string{"gateway.load", "depth-at-risk", "submit.p99", "status.p99", "amplification", "confirmed.share"}},
}

// Heat draws two keys of a sweep against each other, a map per metric, the sets
// side by side on one colour scale. It returns a figure per topic that has data.
func Heat(sets []Set, xKey, yKey string) ([]Figure, error) {
	xs, ys := gridValues(sets, xKey), gridValues(sets, yKey)
	if len(xs) < 2 || len(ys) < 2 {
		return nil, noData("heat", fmt.Sprintf("%s and %s were not both varied", clean(xKey, 40), clean(yKey, 40)))
	}
	var grid []Set
	for _, s := range sets {
		s.Points = slices.DeleteFunc(slices.Clone(s.Points), func(p RunPoint) bool {
			_, okX := p.X(xKey)
			_, okY := p.X(yKey)
			return !okX || !okY || len(p.Records) == 0
		})
		if len(s.Points) > 0 {
			grid = append(grid, s)
		}
	}
	var all []RunPoint
	seeds := [2]int{1 << 30, 0}
	for _, s := range grid {
		all = append(all, s.Points...)
		for _, p := range s.Points {
			seeds[0], seeds[1] = min(seeds[0], len(p.Records)), max(seeds[1], len(p.Records))
		}
	}
	var out []Figure
	for _, topic := range heatTopics {
		sh := &sheet{id: topic.id, sub: aboutSweep(all), cols: len(grid),
			title: "Admission and queue depth together: " + topic.title}
		if xKey != "admission.probability" || yKey != "queue.depth" {
			sh.title = clean(xKey+" and "+yKey, 60) + ": " + topic.title
		}
		if len(grid) == 1 {
			sh.cols = 2
		}
		// One title a row has room for the metric alone.
		if names := setNames(grid); names != "" {
			sh.sub += " · " + names
		}
		for _, name := range topic.metrics {
			m, _ := MetricByName(name)
			if m, ok := telling(m, all); ok {
				sh.panels = append(sh.panels, heatRow(m, grid, xKey, yKey, xs, ys)...)
			}
		}
		if len(sh.panels) == 0 {
			continue
		}
		for i, p := range sh.panels {
			p.x.bare = i+sh.cols < len(sh.panels)
			if i%sh.cols > 0 && len(grid) > 1 {
				p.y.label = ""
			}
		}
		how := "The number in a cell is the mean over the seeds (" + fromTo(seeds[0], seeds[1]) + " a cell)"
		if seeds[1] == 1 {
			how = "The number in a cell is a single run"
		}
		sh.caption = how + "; the steps of the axes are those that were run, not to scale; colours span a fifth of the largest value at least. Hatched cells cannot tell: not run, or too few samples. A ring marks runs predicted within 2 σ of the tipping line: too close to call."
		if slices.ContainsFunc(all, func(p RunPoint) bool {
			return slices.ContainsFunc(topic.metrics, func(name string) bool {
				m, _ := MetricByName(name)
				s, _ := p.Of(m)
				return s.Pooled
			})
		}) {
			sh.caption += " " + pooledNote
		}
		f, err := sh.figure()
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	if seeds[0] >= 3 {
		f, err := heatCollapse(grid, all, xKey, yKey, xs, ys, seeds)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	if len(out) == 0 {
		return nil, noData("heat", "no metric can be told from these runs")
	}
	return out, nil
}

// heatCollapse draws the share of each cell's seeds that collapsed, and both ends
// of its interval: few seeds know little, and the maps must say so.
func heatCollapse(sets []Set, all []RunPoint, xKey, yKey string, xs, ys []float64, seeds [2]int) (Figure, error) {
	sh := &sheet{id: "heat-collapse", sub: aboutSweep(all), cols: max(len(sets), 2), title: "Admission and queue depth together: the probability of collapse"}
	if xKey != "admission.probability" || yKey != "queue.depth" {
		sh.title = clean(xKey+" and "+yKey, 60) + ": the probability of collapse"
	}
	m, _ := MetricByName("collapse")
	for _, part := range []struct {
		label string
		of    func(Spread) float64
	}{{"Runs that collapsed", nil}, {"95 % interval, lower end", func(s Spread) float64 { return s.Lo }},
		{"95 % interval, upper end", func(s Spread) float64 { return s.Hi }}} {
		m.Label = part.label
		row := heatOf(m, part.of, [2]float64{0, 100}, sets, xKey, yKey, xs, ys)
		if len(sets) == 1 && part.of == nil {
			row = append(row, nil) // the interval's ends stand side by side below
		}
		sh.panels = append(sh.panels, row...)
	}
	sh.caption = fmt.Sprintf("Share of %s seeds a cell, in per cent: above as counted, below both ends of the 95 %% interval that so few runs leave (Wilson). A run collapsed when a tenth of a step's calls in a window had no answer, or half of them were turned away as overload.", fromTo(seeds[0], seeds[1]))
	return sh.figure()
}

// gridValues are the values of a key in all sets, ascending.
func gridValues(sets []Set, key string) []float64 {
	var out []float64
	for _, s := range sets {
		for _, p := range s.Points {
			if x, ok := p.X(key); ok {
				out = append(out, x)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// setNames says which column is which set.
func setNames(sets []Set) string {
	if len(sets) != 2 {
		return ""
	}
	return "left: " + clean(sets[0].Name, 45) + " · right: " + clean(sets[1].Name, 45)
}

type cell struct {
	v    float64 // NaN = cannot tell
	near bool
}

// heatRow is one metric's maps, one per set, on one scale.
func heatRow(m Metric, sets []Set, xKey, yKey string, xs, ys []float64) []*panel {
	return heatOf(m, nil, [2]float64{}, sets, xKey, yKey, xs, ys)
}

// heatOf is heatRow for any number of a spread, nil = the mean, on a given scale,
// zero = that of the values.
func heatOf(m Metric, of func(Spread) float64, scale [2]float64, sets []Set, xKey, yKey string, xs, ys []float64) []*panel {
	maps := make([][]cell, len(sets))
	var lo, hi float64
	found := false
	for s, set := range sets {
		maps[s] = make([]cell, len(xs)*len(ys))
		for i := range maps[s] {
			maps[s][i].v = nan
		}
		for _, p := range set.Points {
			x, _ := p.X(xKey)
			y, _ := p.X(yKey)
			c := &maps[s][slices.Index(ys, y)*len(xs)+slices.Index(xs, x)]
			c.near = p.Near()
			if sp, ok := p.Of(m); ok && !finite(c.v) {
				if c.v = sp.Mean; of != nil {
					c.v = of(sp)
				}
				if !found || c.v < lo {
					lo = c.v
				}
				if !found || c.v > hi {
					hi = c.v
				}
				found = true
			}
		}
	}
	// A colour scale must not make structure out of noise: it spans a fifth of the
	// largest value at least.
	if least := 0.2 * max(math.Abs(lo), math.Abs(hi)); hi-lo < least {
		mid := (hi + lo) / 2
		lo, hi = mid-least/2, mid+least/2
	}
	if m.Unit == "%" { // no share lies beyond its ends
		if hi > 100 {
			lo, hi = lo-(hi-100), 100
		}
		if lo < 0 {
			lo, hi = 0, min(hi-lo, 100)
		}
	}
	if scale[1] > scale[0] {
		lo, hi = scale[0], scale[1]
	}
	log := lo > 0 && hi/lo > 30
	place := func(v float64) float64 {
		switch {
		case hi == lo:
			return 0.5
		case log:
			return math.Log(v/lo) / math.Log(hi/lo)
		}
		return (v - lo) / (hi - lo)
	}
	var out []*panel
	for s := range sets {
		p := &panel{title: m.Title(), height: points(min(24*float64(len(ys)), 190))}
		p.x = indexAxis(keyLabel(xKey), xs)
		p.y = indexAxis(keyLabel(yKey), ys)
		if s == len(sets)-1 {
			p.bar = &colorBar{lo: lo, hi: hi, format: short}
			if log {
				p.bar.at = func(share float64) float64 { return lo * math.Pow(hi/lo, share) }
			}
		}
		cells := maps[s]
		p.draw = append(p.draw, func(f *frame) {
			for i, c := range cells {
				x, y := float64(i%len(xs)), float64(i/len(xs))
				f.cell(x, y, c, place, len(xs))
			}
		})
		out = append(out, p)
	}
	return out
}

func indexAxis(label string, vs []float64) axis {
	a := axis{label: label, min: -0.5, max: float64(len(vs)) - 0.5}
	for i, v := range vs {
		a.ticks = append(a.ticks, tick(float64(i), short(v)))
	}
	return a
}

// cell draws one cell: its colour and number, or a hatch and a question mark.
func (f *frame) cell(x, y float64, c cell, place func(float64) float64, cols int) {
	min, max := f.at(x-0.5, y-0.5), f.at(x+0.5, y+0.5)
	mid := vg.Point{X: (min.X + max.X) / 2, Y: (min.Y + max.Y) / 2}
	const line = 0.4 // white between cells
	if !finite(c.v) {
		f.rect(min.X+line, min.Y+line, max.X-line, max.Y-line, missing)
		f.hatch(vg.Rectangle{Min: min, Max: max})
		f.halo(mid, "?", 9, inkSoft, midMid)
		return
	}
	share := place(c.v)
	bg := ramp(share)
	f.rect(min.X+line, min.Y+line, max.X-line, max.Y-line, bg)
	fg := paper
	if luminance(bg) > 0.36 {
		fg = black
	}
	size := vg.Length(8.5)
	if cols > 7 {
		size = 7
	}
	text := short(c.v)
	if room := max.X - min.X - 2; widthOf(text, size, false) > room {
		for text = compact(c.v); size > 5 && widthOf(text, size, false) > room; {
			size -= 0.5
		}
	}
	f.text(mid, text, size, false, fg, midMid)
	if c.near {
		f.c.DrawGlyphNoClip(draw.GlyphStyle{Color: fg, Radius: 1.8, Shape: draw.RingGlyph{}}, vg.Point{X: max.X - 4, Y: max.Y - 4})
	}
}

// compact is short for a narrow cell: thousands as k, and no more than two decimals.
func compact(v float64) string {
	a := math.Abs(v)
	switch {
	case a >= 9_950 && a < 1e7:
		return short3(v/1e3) + "k"
	case a >= 999.5 && a < 1e7:
		return strconv.FormatFloat(v/1e3, 'f', 1, 64) + "k"
	case a > 0 && a < 0.005:
		return "<.01"
	case a > 0 && a < 0.095:
		return strings.TrimPrefix(strconv.FormatFloat(a, 'f', 2, 64), "0")
	}
	return short(v)
}

// luminance is the relative luminance of a colour (WCAG 2), 0..1.
func luminance(c paint) float64 {
	lin := func(v uint8) float64 {
		s := float64(v) / 255
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*lin(c.R) + 0.7152*lin(c.G) + 0.0722*lin(c.B)
}

func (f *frame) hatch(r vg.Rectangle) {
	sub := draw.Canvas{Canvas: f.c.Canvas, Rectangle: r}
	sty := draw.LineStyle{Color: rgb(0xb4bac2), Width: 0.7}
	tall := r.Max.Y - r.Min.Y
	for x := r.Min.X - tall; x < r.Max.X; x += 5 {
		sub.StrokeLines(sty, sub.ClipLinesXY([]vg.Point{{X: x, Y: r.Min.Y}, {X: x + tall, Y: r.Max.Y}})...)
	}
}
