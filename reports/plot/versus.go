package plot

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/vg"

	"spillway/internal/booking"
	"spillway/internal/record"
	"spillway/reports"
)

// Versus draws two runs of one rush beside each other on the same axes: response
// times, answers and timeouts, what waits, and bookings promised and written.
func Versus(a, b *record.Record) (Figure, error) {
	const id = "versus"
	rs := [2]*run{newRun(a), newRun(b)}
	a, b = rs[0].rec, rs[1].rec
	var rows [4][2]*panel
	var lats, rates, waits, books [][]float64
	backend := []string{booking.StepStatus.String(), booking.StepCheck.String(), booking.StepSubmit.String(), booking.StepPoll.String()}
	some := false
	var maxX, minX float64
	for i, r := range rs {
		name := clean(r.rec.Header.Mode, 16)
		if t := clean(r.rec.Header.Title, 60); t != "" {
			name += " · " + t
		}
		// Response time, with the wait of those who timed out.
		p := r.over(name, 120)
		hs := r.hists(func(k record.Key) bool {
			return k.Clock == record.Response && k.Group != record.GroupBots && slices.Contains(backend, k.Span)
		})
		xs := r.middles()
		p50, p99 := r.quantile(hs, 0.5, r.k), r.quantile(hs, 0.99, r.k)
		p.draw = append(p.draw, func(f *frame) {
			f.band(xs, p50, p99, fade(blue, 0.15))
			f.line(xs, p99, vermilion, 1.5, nil)
			f.line(xs, p50, blue, 1.5, nil)
		})
		p.y.label = "response time"
		if _, _, ok := extent(p50, p99); !ok {
			p.empty = "no data"
		}
		lats, rows[0][i] = append(lats, p50, p99), p

		// What became of the requests.
		q := r.over("", 100)
		q.y.label = r.rateLabel("requests per second")
		refused, lost := []booking.Outcome{}, []booking.Outcome{booking.Timeout, booking.Failed, booking.Unsent}
		for _, o := range causes() {
			if o.Refusal() {
				refused = append(refused, o)
			}
		}
		edges, base := r.edges(), make([]float64, r.bins())
		inBackend := func(want func(booking.Outcome) bool) []float64 {
			return r.perSecond(r.counts(r.once(func(k record.Key) bool {
				o, err := booking.ParseOutcome(k.Outcome)
				return err == nil && slices.Contains(backend, k.Span) && want(o)
			})))
		}
		for _, part := range []struct {
			c  paint
			ys []float64
		}{
			{green, inBackend(func(o booking.Outcome) bool { return !slices.Contains(refused, o) && !slices.Contains(lost, o) })},
			{orange, inBackend(func(o booking.Outcome) bool { return slices.Contains(refused, o) })},
			{black, inBackend(func(o booking.Outcome) bool { return slices.Contains(lost, o) })},
			{inkSoft, r.counter(record.CountCut)},
		} {
			low, c := slices.Clone(base), part.c
			for j := range part.ys {
				base[j] += part.ys[j]
			}
			high := slices.Clone(base)
			q.draw = append(q.draw, func(f *frame) {
				for j := range high {
					if high[j] > low[j] {
						f.box(edges[j], low[j], edges[j+1], high[j], c)
					}
				}
			})
		}
		if top(base) == 0 {
			q.empty = "no data"
		}
		some = some || top(base) > 0
		rates, rows[1][i] = append(rates, base), q

		// What waits: the queue's oldest entry, or the database's backlog.
		w := r.over("", 90)
		w.y.label = "scenario seconds"
		wx, wy := r.sample(record.SampleDatabaseWait, r.k)
		ax, ay := r.sample(record.SampleQueueAge, r.k)
		switch {
		case wx != nil:
			w.title = "Work waiting at the database"
			w.area(wx, wy, vermilion, "")
		case ax != nil:
			w.title = "Age of the oldest entry in the queue"
			w.area(ax, ay, blue, "")
		default:
			w.empty = "not reported"
		}
		waits, rows[2][i] = append(waits, wy, ay), w

		// Bookings, summed up.
		s := r.over("", 100)
		s.y.label = "bookings, summed up"
		told := r.cumulated(r.counts(r.once(func(k record.Key) bool {
			return k.Span == booking.StepSubmit.String() && (k.Outcome == booking.Queued.String() || k.Outcome == booking.Confirmed.String())
		})))
		sx, sy := r.sample(record.SampleWritten, 1)
		stock := r.rec.Header.Capacity["stock.reservations"]
		s.draw = append(s.draw, func(f *frame) {
			f.hline(stock, "stock", inkSoft)
			f.line(edges[1:], told, orange, 1.6, nil)
			f.line(sx, sy, green, 1.6, dashed)
		})
		if top(told, sy) == 0 {
			s.empty = "no data"
		}
		books, rows[3][i] = append(books, told, sy, []float64{stock}), s
		lo, hi := r.scenario(0)*r.unit, r.scenario(float64(r.n))*r.unit
		if i == 0 || lo < minX {
			minX = lo
		}
		maxX = max(maxX, hi)
	}
	if !some {
		return Figure{}, noData(id, "neither run has requests")
	}
	lo, hi, _ := extent(lats...)
	sh := &sheet{id: id, title: "The same rush, two designs", sub: scaleText(&a.Header) + fmt.Sprintf(" · seeds %d and %d", a.Header.Seed, b.Header.Seed), cols: 2,
		keys: []key{{label: "response time p50", color: blue}, {label: "response time p99", color: vermilion}}}
	unit := max(rs[0].unit, rs[1].unit)
	for n, pair := range rows {
		for i, p := range pair {
			// One time axis for both, so that a second is as wide on either side.
			if rs[i].unit == unit {
				p.x = timeTicks(minX/unit, maxX/unit, unit)
			}
			p.x.bare = n < len(rows)-1
			p.quiet = n != 1
			if n > 0 {
				for j := range p.spans {
					p.spans[j].name = ""
				}
			}
			if i > 0 {
				p.y.label = ""
			}
			switch n {
			case 0:
				p.y.logarithmic(lo, hi, seconds)
			case 1:
				p.title = "Answers"
				p.keys = []key{keyOf("answered", green, true), keyOf("refused", orange, true), keyOf("timed out or failed", black, true), keyOf("no answer at the end", inkSoft, true)}
				p.y.linear(0, top(rates...), 0.2, number)
			case 2:
				p.y.linear(0, max(top(waits...), 1), 0.1, number)
			case 3:
				p.title = "Bookings"
				p.keys = []key{{label: "told yes", color: orange}, {label: "written", color: green, dash: dashed}}
				p.y.linear(0, top(books...), 0.15, number)
			}
			sh.panels = append(sh.panels, p)
		}
	}
	sh.caption = "Status, check, submit and poll together, response times of people only; each row has one scale. A request that timed out counts with the time its visitor waited. Where more is written than people were told, bookings went to people who had already been told \"timeout\"." +
		fmt.Sprintf(" Timed out: %s left, %s right.", lostShare(a), lostShare(b))
	return sh.figure()
}

func lostShare(rec *record.Record) string {
	v := reports.Timeouts(rec)
	if !v.OK {
		return "n/a"
	}
	return short(100*v.V) + " % of all requests"
}

// cumulated sums counts per second up, a value per bin.
func (r *run) cumulated(counts []uint64) []float64 {
	out := make([]float64, r.bins())
	var n uint64
	for i, c := range counts {
		n += c
		out[i/r.w] = float64(n)
	}
	return out
}

// worthNames are the metrics that layers are judged by.
var worthNames = []string{"timeouts", "submit.p99", "status.p99", "gateway.load", "refusals", "amplification",
	"sold-out.at", "wait.p50", "depth-at-risk", "first-tenth", "gave-up", "confirmed.share"}

// Worth draws what each layer is worth: every metric with all layers on, and with
// each layer (or set of layers) of Header.Switched off. Records of equal switches
// are seeds of one variant.
func Worth(recs []*record.Record) (Figure, error) {
	const id = "worth"
	var points []RunPoint
	var names []string
	for _, rec := range recs {
		if rec == nil {
			continue
		}
		name := "all layers on"
		if len(rec.Header.Switched) > 0 {
			off := slices.Sorted(slices.Values(rec.Header.Switched))
			name = "without " + off[0]
			for _, o := range off[1:] {
				name += ", " + o
			}
		}
		i := slices.Index(names, name)
		if i < 0 {
			i = len(names)
			names, points = append(names, name), append(points, RunPoint{})
		}
		points[i].Records = append(points[i].Records, rec)
	}
	base := slices.Index(names, "all layers on")
	if len(names) < 2 || base < 0 {
		return Figure{}, noData(id, "a run with all layers on and one with a layer off are needed")
	}
	names[0], names[base] = names[base], names[0]
	points[0], points[base] = points[base], points[0]
	const most = 12
	cut := max(len(names)-most, 0)
	names, points = names[:len(names)-cut], points[:len(points)-cut]

	sh := &sheet{id: id, title: "What each layer is worth", sub: aboutSweep(points), cols: 3}
	seeds := [2]int{1 << 30, 0}
	for _, p := range points {
		seeds[0], seeds[1] = min(seeds[0], len(p.Records)), max(seeds[1], len(p.Records))
	}
	var zero []string
	for _, name := range worthNames {
		m, _ := MetricByName(name)
		m, ok := telling(m, points)
		if !ok || slices.ContainsFunc(sh.panels, func(p *panel) bool { return p.title == m.Title() }) {
			continue
		}
		p := &panel{title: m.Title()}
		p.rows(names, 14)
		if len(sh.panels)%sh.cols > 0 {
			for i := range p.y.ticks {
				p.y.ticks[i].Label = ""
			}
			p.y.ticks = p.y.ticks[:0]
		}
		spreads, oks := make([]Spread, len(points)), make([]bool, len(points))
		high := 0.0
		for i, pt := range points {
			if spreads[i], oks[i] = pt.Of(m); oks[i] {
				high = max(high, spreads[i].Mean)
				if finite(spreads[i].Hi) {
					high = max(high, spreads[i].Hi)
				}
			}
		}
		if high <= 0 {
			zero = append(zero, strings.ToLower(m.Label[:1])+m.Label[1:])
			continue
		}
		p.x.min, p.x.max = 0, high*1.6 // room for the numbers
		p.draw = append(p.draw, func(f *frame) {
			if oks[0] {
				f.line([]float64{spreads[0].Mean, spreads[0].Mean}, []float64{f.y.min, f.y.max}, blue, 0.9, dotted)
			}
			for i, s := range spreads {
				y := float64(i)
				if !oks[i] {
					f.text(vg.Point{X: f.px(0) + 4, Y: f.py(y)}, "cannot tell", 8, false, inkSoft, leftMid)
					continue
				}
				c := fade(orange, 0.85)
				if i == 0 {
					c = blue
				}
				f.box(0, y-0.34, s.Mean, y+0.34, c)
				end := s.Mean
				if s.N > 1 && finite(s.Lo) {
					f.flat(max(s.Lo, 0), s.Hi, y, ink)
					end = max(end, s.Hi)
				}
				label := short(s.Mean)
				if i > 0 && oks[0] && spreads[0].Mean > 0 && s.Mean != 0 && math.Abs(s.Mean/spreads[0].Mean-1) >= 0.005 {
					label += "  × " + short(s.Mean/spreads[0].Mean)
				}
				f.halo(vg.Point{X: f.px(end) + 4, Y: f.py(y)}, label, 8, ink, leftMid)
			}
		})
		sh.panels = append(sh.panels, p)
	}
	if len(sh.panels) == 0 {
		return Figure{}, noData(id, "no metric can be told from these runs")
	}
	sh.caption = "The same rush with one layer switched off at a time; the dotted line is the run with all layers on, × is the factor against it. " + seedsNote(seeds[0], seeds[1], "whiskers")
	if len(zero) > 0 {
		sh.caption += " Zero in every run, so not drawn: " + strings.Join(zero, "; ") + "."
	}
	if cut > 0 {
		sh.caption += fmt.Sprintf(" %d more variants are left out.", cut)
	}
	return sh.figure()
}
