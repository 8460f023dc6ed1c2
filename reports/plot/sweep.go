package plot

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"

	"gonum.org/v1/plot/vg"

	"spillway/internal/record"
)

// keyWords names the settings that figures speak of most; any other key stands
// for itself.
var keyWords = map[string]string{
	"admission.probability": "admission probability (%)",
	"queue.depth":           "queue depth (entries, full size)",
}

func keyLabel(k string) string {
	if w := keyWords[k]; w != "" {
		return w
	}
	return clean(k, 40)
}

// row is a line of a sweep: points that differ in one key only.
type row struct {
	label  string // the other settings
	xs     []float64
	points []RunPoint
}

// rowsOf cuts a sweep into lines along key: of at least two values each.
func rowsOf(points []RunPoint, key string) []row {
	var rows []row
	for _, p := range points {
		x, ok := p.X(key)
		if !ok || len(p.Records) == 0 {
			continue
		}
		var rest []string
		for _, s := range p.Settings {
			if s.Key != key {
				rest = append(rest, clean(s.Key+" = "+s.Value, 40))
			}
		}
		label := strings.Join(rest, ", ")
		i := slices.IndexFunc(rows, func(r row) bool { return r.label == label })
		if i < 0 {
			i = len(rows)
			rows = append(rows, row{label: label})
		}
		if slices.Contains(rows[i].xs, x) {
			continue // the same number written twice: the first stands
		}
		rows[i].xs, rows[i].points = append(rows[i].xs, x), append(rows[i].points, p)
	}
	rows = slices.DeleteFunc(rows, func(r row) bool { return len(r.xs) < 2 })
	for _, r := range rows {
		sort.Sort(byX(r))
	}
	return rows
}

// leastCloud is how many points of a sample show anything of a key.
const leastCloud = 4

// cloudOf is all points that have a key, whatever their other settings.
func cloudOf(points []RunPoint, key string) row {
	var r row
	for _, p := range points {
		if x, ok := p.X(key); ok && len(p.Records) > 0 {
			r.xs, r.points = append(r.xs, x), append(r.points, p)
		}
	}
	sort.Stable(byX(r))
	return r
}

type byX row

func (r byX) Len() int           { return len(r.xs) }
func (r byX) Less(i, j int) bool { return r.xs[i] < r.xs[j] }
func (r byX) Swap(i, j int) {
	r.xs[i], r.xs[j] = r.xs[j], r.xs[i]
	r.points[i], r.points[j] = r.points[j], r.points[i]
}

// valueAxis is an axis whose ticks are the tested values.
func valueAxis(key string, xs []float64) axis {
	a := axis{label: keyLabel(key), min: slices.Min(xs), max: slices.Max(xs)}
	a.log = a.min > 0 && a.max/a.min >= 8
	if a.log {
		f := a.max / a.min
		a.min, a.max = a.min/math.Pow(f, 0.06), a.max*math.Pow(f, 0.06)
	} else {
		d := max(a.max-a.min, 1e-9)
		a.min, a.max = a.min-0.06*d, a.max+0.06*d
	}
	sorted := slices.Compact(slices.Sorted(slices.Values(xs)))
	const wide = 175 // points, of a small panel
	free := -1e9
	for _, x := range sorted {
		t := tick(x, short(x))
		half := float64(widthOf(t.Label, 8.5, false)) / 2
		if at := wide * a.norm(x); at-half < free {
			t.Label = ""
		} else {
			free = at + half + 4
		}
		a.ticks = append(a.ticks, t)
	}
	return a
}

// maxLines bounds the lines of one panel; beyond it they could not be told apart.
const maxLines = 8

// Curves draws what one key of a sweep moves, a small panel per metric: the mean
// over the seeds with its interval, a line for each setting of the other keys.
func Curves(points []RunPoint, key string) (Figure, error) {
	id := "sweep-" + slug(key)
	rows, sample := rowsOf(points, key), false
	if len(rows) == 0 {
		// Points of a sample share no values: a cloud, whose other keys vary too.
		if r := cloudOf(points, key); len(r.xs) >= leastCloud {
			rows, sample = []row{r}, true
		}
	}
	if len(rows) == 0 {
		return Figure{}, noData(id, "fewer than two values of "+clean(key, 40)+" were run")
	}
	cut := 0
	if len(rows) > maxLines {
		cut, rows = len(rows)-maxLines, rows[:maxLines]
	}
	var xs []float64
	var all []RunPoint
	seeds, near := [2]int{1 << 30, 0}, false
	for _, r := range rows {
		xs, all = append(xs, r.xs...), append(all, r.points...)
		for _, p := range r.points {
			seeds[0], seeds[1] = min(seeds[0], len(p.Records)), max(seeds[1], len(p.Records))
			near = near || p.Near()
		}
	}
	s := &sheet{id: id, title: "What " + strings.Split(keyLabel(key), " (")[0] + " moves", sub: aboutSweep(all), cols: 3}
	for i, r := range rows {
		if len(rows) > 1 {
			s.keys = append(s.keys, keyOf(r.label, lineColor(i, len(rows)), false))
		}
	}
	x := valueAxis(key, xs)
	unknown, pooled := false, false
	for _, name := range sweepNames {
		m, _ := MetricByName(name)
		m, ok := telling(m, all)
		if !ok || slices.ContainsFunc(s.panels, func(p *panel) bool { return p.title == m.Title() }) {
			continue
		}
		p := &panel{title: m.Title(), height: 96, x: x}
		high := 0.0
		for i, r := range rows {
			c := lineColor(i, len(rows))
			mean, lo, hi := make([]float64, len(r.xs)), make([]float64, len(r.xs)), make([]float64, len(r.xs))
			for j, pt := range r.points {
				sp, ok := pt.Of(m)
				if !ok {
					mean[j], lo[j], hi[j], unknown = nan, nan, nan, true
					continue
				}
				mean[j], lo[j], hi[j] = sp.Mean, sp.Lo, sp.Hi
				high = max(high, sp.Mean)
				if finite(sp.Hi) && (len(rows) == 1 || sp.Hi < 1.5*high) { // one wide interval must not flatten eight lines
					high = max(high, sp.Hi)
				}
				pooled = pooled || sp.Pooled
				if sp.N < 2 {
					lo[j], hi[j] = nan, nan
				}
			}
			p.draw = append(p.draw, func(f *frame) {
				if !sample {
					f.band(r.xs, lo, hi, fade(c, 0.2))
				}
				if len(rows) == 1 { // of several lines they would hide each other
					for j := range r.xs {
						if finite(lo[j]) {
							f.whisker(r.xs[j], max(lo[j], f.y.min), min(hi[j], f.y.max), fade(c, 0.7))
						}
					}
				}
				if !sample {
					f.line(r.xs, mean, c, 1.4, nil)
				}
				for j, pt := range r.points {
					switch {
					case !finite(mean[j]):
						f.text(vg.Point{X: f.px(r.xs[j]), Y: f.c.Min.Y + 7}, "?", 9, true, inkSoft, midMid)
					case pt.Near():
						f.ring(f.at(r.xs[j], mean[j]), c, 2.8)
					default:
						f.dot(f.at(r.xs[j], mean[j]), c, 2.6)
					}
				}
			})
		}
		p.y.linear(0, high, 0.12, number)
		s.panels = append(s.panels, p)
	}
	if len(s.panels) == 0 {
		return Figure{}, noData(id, "no metric can be told from these runs")
	}
	for i, p := range s.panels {
		p.x.bare = i+s.cols < len(s.panels)
	}
	s.caption = "Each panel is one effect of " + keyLabel(key) + "; the ticks are the values that were run. " + seedsNote(seeds[0], seeds[1], "bands")
	if sample {
		s.caption = "A sample: each dot is a point of its own, whose other keys vary too, so that what they move is the scatter. " + seedsNote(seeds[0], seeds[1], "whiskers")
	}
	if pooled {
		s.caption += " " + pooledNote
	}
	if unknown {
		s.caption += " \"?\": too few samples to tell."
	}
	if near {
		s.caption += " Hollow points were predicted within 2 σ of the tipping line, where a scale model is a coin toss: too close to call."
	}
	if cut > 0 {
		s.caption += fmt.Sprintf(" %d more lines are left out.", cut)
	}
	return s.figure()
}

func keyOf(label string, c paint, area bool) key { return key{label: label, color: c, area: area} }

func lineColor(i, n int) paint {
	if n == 1 {
		return blue
	}
	return ramp(0.9 * float64(i) / float64(n-1))
}

// pooledNote says what a percentile of several seeds together is.
const pooledNote = "A percentile that one seed's samples cannot carry is that of all seeds' samples together, its interval from leaving out one seed at a time."

// seedsNote says what the intervals are that are drawn as bands or whiskers.
func seedsNote(least, most int, drawn string) string {
	switch {
	case most <= 1:
		return "One seed a point: no interval can be given, and a step between two points may be luck."
	case most < 3:
		return fmt.Sprintf("Means over %s seeds a point; the %s span the smallest and the largest.", fromTo(least, most), drawn)
	}
	return fmt.Sprintf("Means over %s seeds a point; %s are the 95 %% t-interval of the mean, with fewer than three seeds the smallest and the largest.", fromTo(least, most), drawn)
}

func fromTo(a, b int) string {
	if a == b {
		return fmt.Sprint(a)
	}
	return fmt.Sprintf("%d to %d", a, b)
}

// aboutSweep is the second line of a figure over several runs.
func aboutSweep(points []RunPoint) string {
	n := 0
	var first *record.Record
	for _, p := range points {
		n += len(p.Records)
		if first == nil && len(p.Records) > 0 {
			first = p.Records[0]
		}
	}
	if first == nil {
		return ""
	}
	h := &first.Header
	return fmt.Sprintf("%s · %s · %s · %d runs · %s", clean(h.Scenario, 40), clean(h.Mode, 16), clean(h.Label, 16), n, scaleText(h))
}

// slug makes a key fit for a file name.
func slug(s string) string {
	out := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, clean(s, 40))
	return strings.Trim(out, "-")
}
