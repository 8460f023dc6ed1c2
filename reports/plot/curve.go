package plot

import (
	"strconv"

	"gonum.org/v1/plot/vg"
)

// Curve draws measured points over a number of things: the points, a line through
// them, and each value beside its point. xs ascend.
func Curve(id, title, sub, caption, xLabel, yLabel string, xs, ys []float64) (Figure, error) {
	if len(xs) == 0 || len(xs) != len(ys) {
		return Figure{}, noData(id, "no points")
	}
	high := max(top(ys)*1.2, 1)
	p := &panel{height: 220, x: axis{label: clean(xLabel, 60), min: 0, max: xs[len(xs)-1] * 1.08}}
	for _, x := range xs {
		p.x.ticks = append(p.x.ticks, tick(x, strconv.FormatFloat(x, 'g', -1, 64)))
	}
	p.y.linear(0, high, 0, number)
	p.y.label = clean(yLabel, 60)
	p.draw = append(p.draw, func(f *frame) {
		f.line(xs, ys, blue, 1.5, nil)
		for i := range xs {
			at := vg.Point{X: f.px(xs[i]), Y: f.py(ys[i])}
			f.dot(at, blue, 3)
			f.text(vg.Point{X: at.X, Y: at.Y + 10}, short(ys[i]), 8, false, inkSoft, midMid)
		}
	})
	s := &sheet{id: id, title: title, sub: sub, caption: caption, cols: 1, panels: []*panel{p}}
	return s.figure()
}
