package plot

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"gonum.org/v1/plot/vg"

	"spillway/internal/record"
	"spillway/reports"
)

// sideColors tell the two sides of a comparison apart in every one of its figures.
var sideColors = [2]paint{vermilion, blue}

// LoadSide is one side of Loads.
type LoadSide struct {
	Name   string
	Record *record.Record
	Opens  time.Duration // the opening, as time of day
	// Hours is what each hour of the day has of its mean if people prefer some; nil = not
	// known. It is drawn beside the run's mean.
	Hours []float64
}

const (
	dayMinutes = 24 * 60
	day24      = 24 * time.Hour
	nearFrom   = -60 // seconds around the first side's opening
	nearTo     = 120
)

// perMinute folds a run's requests into the minutes of a day: means, and the busiest
// second of each; NaN where the run has no second.
func perMinute(s LoadSide) (mean, busiest []float64) {
	mean, busiest = make([]float64, dayMinutes), make([]float64, dayMinutes)
	n := make([]float64, dayMinutes)
	h := &s.Record.Header
	for i, c := range perSecond(s.Record) {
		sec := (s.Opens + h.From).Seconds() + float64(i)*timeScale(h)
		at := (int(math.Floor(sec/60))%dayMinutes + dayMinutes) % dayMinutes
		n[at]++
		mean[at] += float64(c)
		busiest[at] = max(busiest[at], float64(c))
	}
	for i := range mean {
		if mean[i] /= n[i]; n[i] == 0 {
			busiest[i] = nan
		}
	}
	return mean, busiest
}

// perSecond is the requests of each second of the run's window, also of those at its
// end in which nothing was sent.
func perSecond(rec *record.Record) []uint64 {
	out := reports.PerSecond(rec)
	h := &rec.Header
	n := int(min(max((h.To-h.From).Seconds()/timeScale(h), 0), maxSeconds))
	for len(out) < n {
		out = append(out, 0)
	}
	return out[:n]
}

// Loads draws the requests a second of two ways to give away the same goods: over the
// day, and around the first one's opening. Rates are those of the runs.
func Loads(sub string, sides [2]LoadSide) (Figure, error) {
	const id = "loads"
	day := &panel{title: "Over the day, logarithmic", height: 190}
	day.x = axis{label: "time of day", min: 0, max: 24}
	for h := 0; h <= 24; h += 2 {
		day.x.ticks = append(day.x.ticks, tick(float64(h), fmt.Sprintf("%d:00", h)))
	}
	day.y.label = "requests/s"
	near := &panel{title: "Around the opening, second by second, linear", height: 170}
	near.x = axis{label: "seconds after the rush opens", min: nearFrom, max: nearTo}
	for s := nearFrom; s <= nearTo; s += 20 {
		near.x.ticks = append(near.x.ticks, tick(float64(s), number(float64(s), 1)))
	}
	near.y.label = "requests/s"
	near.marks = []mark{{0, "opening", inkSoft, nil}}
	minutes := make([]float64, dayMinutes)
	for i := range minutes {
		minutes[i] = (float64(i) + 0.5) / 60
	}
	var all [][]float64
	high := 0.0
	var keys []key
	for i, s := range sides {
		if s.Record == nil {
			return Figure{}, noData(id, "a side has no run")
		}
		c := sideColors[i]
		mean, busiest := perMinute(s)
		for j := range mean {
			if mean[j] <= 0 { // a logarithmic axis has no place for none
				mean[j], busiest[j] = nan, nan
			}
		}
		all = append(all, mean, busiest)
		keys = append(keys, key{label: clean(s.Name, 30), color: c})
		day.draw = append(day.draw, func(f *frame) {
			f.band(minutes, mean, busiest, fade(c, 0.25))
			f.line(minutes, mean, c, 1.5, nil)
		})
		if len(s.Hours) == 24 {
			var sum, n float64
			for _, v := range mean {
				if finite(v) {
					sum, n = sum+v, n+1
				}
			}
			hours := make([]float64, dayMinutes)
			for j := range hours {
				hours[j] = sum / n * s.Hours[j/60]
			}
			all = append(all, hours)
			keys = append(keys, key{label: clean(s.Name, 30) + ", if people prefer some hours (assumption)", color: ink, dash: dotted})
			day.draw = append(day.draw, func(f *frame) { f.line(minutes, hours, ink, 1.1, dotted) })
		}
		// The second panel: what the second of the day sees on either side.
		xs, ys := make([]float64, 0, nearTo-nearFrom), make([]float64, 0, nearTo-nearFrom)
		counts := perSecond(s.Record)
		for x := nearFrom; x < nearTo; x++ {
			// The moment of the day, as an offset of this side's run.
			at := sides[0].Opens + time.Duration(x)*time.Second - s.Opens - s.Record.Header.From
			at = (at%day24 + day24) % day24
			if j := int(at.Seconds() / timeScale(&s.Record.Header)); j < len(counts) {
				xs, ys = append(xs, float64(x)+0.5), append(ys, float64(counts[j]))
			}
		}
		high = max(high, top(ys))
		most := top(ys)
		near.draw = append(near.draw, func(f *frame) {
			f.line(xs, ys, c, 1.6, nil)
			if most < 0.05*f.panel.y.max { // a line on the ground wants to be named
				f.halo(vg.Point{X: f.c.Max.X - 4, Y: f.py(most) + 9}, fmt.Sprintf("%s: at most %s requests/s here", clean(s.Name, 30), number(most, 1)), 8, c, rightMid)
			}
		})
	}
	lo, hi, ok := extent(all...)
	if !ok {
		return Figure{}, noData(id, "nothing was sent")
	}
	day.y.logarithmic(max(lo, hi/1e6), hi, func(v float64) string { return number(v, v) })
	near.y.linear(0, high, 0.15, number)
	size := "at full size"
	if h := sides[0].Record.Header; h.People < 1 {
		size = "of people thinned to " + reports.Thinning(h.People)
	}
	sh := &sheet{id: id, title: "The load: a spike against a flat line", sub: clean(sub, 150), cols: 1, keys: keys, panels: []*panel{day, near},
		caption: "Requests to edge and gateways together, polls included, " + size + ". Above: the mean of each minute as a line, up to the minute's busiest second as a band. The lottery's day runs from one seal to the next, at 22:00, and every day is like it; it falls a little because whoever has entered only looks. Below: the same two on a linear axis, where the lottery lies on the ground."}
	return sh.figure()
}

// OddsSide is one side of Winners.
type OddsSide struct {
	Name string
	Odds reports.Odds
}

// Winners draws who wins on two sides: by tenth of arrival, inside the rush, and by
// group, with the chance that everybody would have if nobody had an advantage.
func Winners(id, sub string, sides [2]OddsSide) (Figure, error) {
	a, b := sides[0].Odds, sides[1].Odds
	if len(a.Tenths) == 0 || len(b.Tenths) != len(a.Tenths) || len(a.Groups) == 0 || len(b.Groups) != len(a.Groups) || !a.All.Share.OK {
		return Figure{}, noData(id, "it is not known who won")
	}
	fair := 100 * a.All.Share.V
	fairText := "everybody alike, " + short(fair) + " %"
	tenths := &panel{title: "All people, by tenth of arrival", height: 150}
	tenths.x = axis{label: "tenth of the people, earliest first", min: 0.4, max: float64(len(a.Tenths)) + 0.6}
	tenths.y.label = "chance to win (%)"
	high := 0.0
	for i := range a.Tenths {
		tenths.x.ticks = append(tenths.x.ticks, tick(float64(i+1), fmt.Sprint(i+1)))
		high = max(high, 100*a.Tenths[i].High, 100*b.Tenths[i].High)
	}
	tenths.y.linear(0, high, 0.15, number)
	tenths.draw = append(tenths.draw, func(f *frame) {
		for i := range a.Tenths {
			for side, c := range []reports.Chance{a.Tenths[i], b.Tenths[i]} {
				if !c.Share.OK {
					continue
				}
				x := float64(i+1) + 0.4*(float64(side)-0.5)
				f.box(x-0.19, 0, x+0.19, 100*c.Share.V, sideColors[side])
				f.whisker(x, 100*c.Low, 100*c.High, ink)
				label := short(100 * c.Share.V)
				if c.Won == 0 {
					label = "0"
				}
				f.halo(vg.Point{X: f.px(x), Y: f.py(max(100*c.High, fair)) + 7}, label, 7, sideColors[side], midMid)
			}
		}
		f.hline(fair, "", ink)
	})

	type row struct {
		name string
		of   [2]*reports.Chance
	}
	var rows []row
	for i := range a.Groups {
		name := a.Groups[i].Name
		if name == record.GroupBots {
			name = "bots, or their owners"
		}
		rows = append(rows, row{name, [2]*reports.Chance{&a.Groups[i], &b.Groups[i]}})
	}
	last := len(a.Tenths) - 1
	rows = append(rows, row{"first tenth to come", [2]*reports.Chance{&a.Tenths[0], &b.Tenths[0]}},
		row{"last tenth to come", [2]*reports.Chance{&a.Tenths[last], &b.Tenths[last]}})
	if len(a.Pressed) == 10 {
		rows = append(rows, row{"fastest tenth to press", [2]*reports.Chance{&a.Pressed[0], nil}},
			row{"slowest tenth to press", [2]*reports.Chance{&a.Pressed[9], nil}})
	}
	var names []string
	least := fair
	for _, r := range rows {
		names = append(names, r.name)
		for _, c := range r.of {
			if c != nil && c.Won > 0 {
				least = min(least, 100*c.Share.V)
			}
		}
	}
	groups := &panel{title: "By group, and by haste"}
	groups.rows(names, 27)
	groups.x = axis{label: "chance to win (%), logarithmic", log: true, grid: false, min: floor125(max(least*0.5, 1e-3)), max: 100}
	for _, v := range []float64{0.001, 0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100} {
		if v >= groups.x.min {
			groups.x.ticks = append(groups.x.ticks, tick(v, strconv.FormatFloat(v, 'g', -1, 64)))
		}
	}
	groups.draw = append(groups.draw, func(f *frame) {
		for i := 1; i < len(rows); i += 2 {
			f.box(f.x.min, float64(i)-0.5, f.x.max, float64(i)+0.5, bandGrey)
		}
		f.line([]float64{fair, fair}, []float64{f.panel.y.min, f.panel.y.max}, ink, 0.9, dashed)
		for i, r := range rows {
			for side, c := range r.of {
				if c == nil || !c.Share.OK {
					continue
				}
				y := float64(i) + 0.46*(float64(side)-0.5)
				if r.of[1] == nil {
					y = float64(i)
				}
				v := 100 * c.Share.V
				if c.Won == 0 {
					f.text(vg.Point{X: f.c.Min.X + 4, Y: f.py(y)}, fmt.Sprintf("nobody (of %s)", thousands(fmt.Sprint(c.Of))), 7.5, false, sideColors[side], leftMid)
					continue
				}
				f.flat(max(100*c.Low, f.x.min), min(100*c.High, f.x.max), y, ink)
				f.dot(f.at(v, y), sideColors[side], 2.8)
				at, al, off := math.Min(100*c.High, f.x.max), leftMid, vg.Length(6)
				if v > 50 {
					at, al, off = math.Max(100*c.Low, f.x.min), rightMid, -6
				}
				f.halo(vg.Point{X: f.px(at) + off, Y: f.py(y)}, short(v)+" %", 7.5, sideColors[side], al)
			}
		}
	})
	ps := []*panel{tenths, groups}
	if len(a.Pressed) == 10 {
		pressed := &panel{title: "Inside the rush: those who pressed before all was gone, by tenth of their first press", height: 120}
		pressed.x = axis{label: "tenth of those who pressed, earliest first", min: 0.4, max: 10.6}
		pressed.y.label = "chance to win (%)"
		high := 0.0
		for i, d := range a.Pressed {
			pressed.x.ticks = append(pressed.x.ticks, tick(float64(i+1), fmt.Sprint(i+1)))
			high = max(high, 100*d.High)
		}
		pressed.y.linear(0, high, 0.15, number)
		pressed.draw = append(pressed.draw, func(f *frame) {
			for i, d := range a.Pressed {
				if !d.Share.OK {
					continue
				}
				x := float64(i + 1)
				f.box(x-0.36, 0, x+0.36, 100*d.Share.V, sideColors[0])
				f.whisker(x, 100*d.Low, 100*d.High, ink)
				f.halo(vg.Point{X: f.px(x), Y: f.py(max(100*d.High, fair)) + 7}, short(100*d.Share.V), 7, sideColors[0], midMid)
			}
			f.hline(fair, "", ink)
		})
		ps = []*panel{tenths, pressed, groups}
	}
	sh := &sheet{id: id, title: "Who wins", sub: clean(sub, 150), cols: 1, panels: ps, keys: []key{
		{label: clean(sides[0].Name, 30), color: sideColors[0], area: true}, {label: clean(sides[1].Name, 30), color: sideColors[1], area: true},
		{label: fairText, color: ink, dash: dashed}}}
	sh.caption = fmt.Sprintf("Of %s persons on either side %s win in %s and %s in %s. Whiskers are exact 95 %% intervals (Clopper and Pearson); many are narrower than a dot. Tenths are of people, without bots: in the rush those who pressed in the order of their first press, then those who came too late to press; in the lottery by the hour of entering.",
		thousands(fmt.Sprint(a.All.Of)), thousands(fmt.Sprint(a.All.Won)), clean(sides[0].Name, 30), thousands(fmt.Sprint(b.All.Won)), clean(sides[1].Name, 30))
	return sh.figure()
}

// ServerSide is one side of ServersNeeded.
type ServerSide struct {
	Name   string
	Fewest int     // that hold; 0 = none that was tried
	Work   float64 // servers' worth of work in the busiest second
	Note   string
}

// ServersNeeded draws how many servers two sides need, and how much of that is work.
func ServersNeeded(sub string, own int, sides [2]ServerSide) (Figure, error) {
	const id = "servers"
	p := &panel{title: "Servers"}
	p.rows([]string{clean(sides[0].Name, 26), clean(sides[1].Name, 26)}, 52)
	high := float64(own)
	for _, s := range sides {
		if s.Fewest < 0 || !finite(s.Work) {
			return Figure{}, noData(id, "it is not known how many are needed")
		}
		high = max(high, float64(s.Fewest), s.Work)
	}
	if high == 0 {
		return Figure{}, noData(id, "it is not known how many are needed")
	}
	p.x.linear(0, high, 0.08, number)
	p.x.label = "servers"
	p.draw = append(p.draw, func(f *frame) {
		if own > 0 {
			f.line([]float64{float64(own), float64(own)}, []float64{f.panel.y.min, f.panel.y.max}, inkSoft, 0.9, dashed)
		}
		for i, s := range sides {
			y := float64(i)
			f.box(0, y-0.34, float64(s.Fewest), y-0.02, sideColors[i])
			f.box(0, y+0.02, s.Work, y+0.34, fade(sideColors[i], 0.4))
			label := fmt.Sprintf("%d hold", s.Fewest)
			if s.Fewest == 1 {
				label = "1 holds"
			}
			if s.Fewest == 0 {
				label = "nothing that was tried holds"
			}
			if s.Note != "" {
				label += ", " + clean(s.Note, 60)
			}
			// Inside a long bar, beside a short one.
			put := func(end, y float64, text string, c paint) {
				if end > 0.5*f.panel.x.max {
					f.text(vg.Point{X: f.px(end) - 6, Y: f.py(y)}, text, 8, false, c, rightMid)
					return
				}
				f.text(vg.Point{X: f.px(end) + 6, Y: f.py(y)}, text, 8, false, ink, leftMid)
			}
			put(float64(s.Fewest), y-0.18, label, paper)
			put(s.Work, y+0.18, short(s.Work)+" servers' worth of work in the busiest second", ink)
		}
	})
	sh := &sheet{id: id, title: "How many servers it takes", sub: clean(sub, 150), cols: 1, panels: []*panel{p}, keys: []key{
		{label: "fewest that hold", color: inkSoft, area: true}, {label: "the work of the busiest second alone", color: fade(inkSoft, 0.4), area: true}}}
	if own > 0 {
		sh.keys = append(sh.keys, key{label: fmt.Sprintf("as they stood, %d", own), color: inkSoft, dash: dashed})
	}
	sh.caption = "A number holds when every objective and invariant does in every seed that was simulated. Servers come whole: where the work of the busiest second is a fraction of one, one is the least there is."
	return sh.figure()
}
