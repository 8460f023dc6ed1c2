package plot

import (
	"fmt"
	"math"
	"slices"
	"time"

	"spillway/internal/booking"
	"spillway/internal/record"
	"spillway/reports"
)

// family is a set of requests whose response times belong together.
type family struct {
	label    string
	color    paint
	steps    []booking.Step
	outcomes func(booking.Outcome) bool
}

func families() []family {
	is := func(want ...booking.Outcome) func(booking.Outcome) bool {
		return func(o booking.Outcome) bool { return slices.Contains(want, o) }
	}
	refused := func(o booking.Outcome) bool { return o.Refusal() || o == booking.Closed }
	answered := func(o booking.Outcome) bool { return !silent(o) }
	return []family{
		{"submit, accepted", green, []booking.Step{booking.StepSubmit}, is(booking.Queued, booking.Confirmed)},
		{"submit, refused", vermilion, []booking.Step{booking.StepSubmit}, refused},
		{"status, answered", blue, []booking.Step{booking.StepStatus}, answered},
		{"check, answered", rgb(0x332288), []booking.Step{booking.StepCheck}, answered},
		{"poll, answered", orange, []booking.Step{booking.StepPoll}, answered},
		{"edge: config and catalogue", rgb(0x44aa99), []booking.Step{booking.StepConfig, booking.StepCatalogue}, answered},
	}
}

// silent are the outcomes that no server spoke of.
func silent(o booking.Outcome) bool {
	return o == booking.Timeout || o == booking.Failed || o == booking.Unsent
}

func (fam family) matches(k record.Key) bool {
	if k.Clock != record.Response || k.Group == record.GroupBots {
		return false
	}
	o, err := booking.ParseOutcome(k.Outcome)
	if err != nil || !fam.outcomes(o) {
		return false
	}
	return slices.ContainsFunc(fam.steps, func(s booking.Step) bool { return s.String() == k.Span })
}

// bands adds p50, p90 and p99 of one family to a panel, filled between.
func (r *run) bands(p *panel, hs []*record.Hist, c paint) (lists [][]float64, total uint64) {
	for _, h := range hs {
		total += h.Count()
	}
	edges := r.edges()
	// Doubled at the edges, so that bands have steps like the lines.
	var xs []float64
	for i := range hs {
		xs = append(xs, edges[i], edges[i+1])
	}
	var doubled [][]float64
	for _, q := range []float64{0.5, 0.9, 0.99} {
		vs := r.quantile(hs, q, r.k)
		lists = append(lists, vs)
		var twice []float64
		for _, v := range vs {
			twice = append(twice, v, v)
		}
		doubled = append(doubled, twice)
	}
	p.draw = append(p.draw, func(f *frame) {
		f.band(xs, doubled[1], doubled[2], fade(c, 0.16))
		f.band(xs, doubled[0], doubled[1], fade(c, 0.32))
		f.line(xs, doubled[2], fade(c, 0.75), 1.0, dotted)
		f.line(xs, doubled[1], c, 1.0, dashed)
		f.line(xs, doubled[0], c, 1.8, nil)
	})
	return lists, total
}

// bandKeys explains the bands of all panels, whatever their colour.
func bandKeys() []key {
	return []key{{label: "p50", color: inkSoft}, {label: "p90", color: inkSoft, dash: dashed}, {label: "p99", color: inkSoft, dash: dotted},
		{label: "p50 to p90", color: fade(inkSoft, 0.45), area: true}, {label: "p90 to p99", color: fade(inkSoft, 0.16), area: true}}
}

// Response draws percentile bands of the response time, a panel per family of
// outcomes.
func Response(rec *record.Record) (Figure, error) {
	const id = "response"
	r := newRun(rec)
	rec = r.rec
	var ps []*panel
	var all [][]float64
	for _, fam := range families() {
		hs := r.hists(fam.matches)
		p := r.over("", 104)
		lists, n := r.bands(p, hs, fam.color)
		if n == 0 || r.brief(r.middles(), lists[0]) {
			continue
		}
		p.title = fmt.Sprintf("%s · n %s", fam.label, short(float64(n)))
		p.y.label = "response time"
		p.quiet = true
		if _, _, ok := extent(lists...); !ok {
			p.empty = "too few samples for any percentile"
		}
		all = append(all, lists...)
		ps = append(ps, p)
	}
	if len(ps) == 0 {
		return Figure{}, noData(id, "no answered requests")
	}
	lo, hi, _ := extent(all...)
	cols := 2
	if len(ps) == 1 {
		cols = 1
	}
	for i, p := range ps {
		p.y.logarithmic(lo, hi, seconds)
		p.x.bare = i+cols < len(ps)
		if i%cols > 0 {
			p.y.label = ""
		}
	}
	return (&sheet{id: id, title: "Response time over the evening", sub: about(rec), panels: ps, cols: cols, keys: bandKeys(),
		caption: "People only: bots would flatter it. From the moment a request was due to its answer, in scenario time, on one logarithmic scale. Refusals have panels of their own: a fast no never improves the time of a yes. A percentile is drawn only where at least ten samples lie beyond it; bins widen up to " + r.widestText() + " for that, else there is a gap. Upright lines: the opening, and dashed where they fell the moments at which the stock was gone and the last row was written. Requests that got no answer are in the figure of refusals."}).figure()
}

// ecdf is the share of h at or below each bucket, in percent, over scenario seconds.
func ecdf(h *record.Hist, k float64) (xs, ys []float64) {
	var seen uint64
	for i, b := range h.Buckets() {
		if t := b.Top.Seconds() * k; t > 0 {
			if i == 0 || len(xs) == 0 {
				xs, ys = append(xs, t), append(ys, 100*float64(seen)/float64(h.Count()))
			}
			seen += b.Count
			xs, ys = append(xs, t, t), append(ys, ys[len(ys)-1], 100*float64(seen)/float64(h.Count()))
			continue
		}
		seen += b.Count
	}
	return xs, ys
}

// Confirmation draws how long a booking took, by class of user and for bots, and
// who won: the share of each tenth of those who pressed.
func Confirmation(rec *record.Record) (Figure, error) {
	const id = "confirmation"
	r := newRun(rec)
	rec = r.rec
	wait := &panel{title: "Time to a confirmed booking", height: 190}
	wait.x.label, wait.y.label = "scenario time, logarithmic", "confirmed within (%)"
	wait.y.linear(0, 100, 0, number)
	var lo, hi float64
	note := func(h *record.Hist) {
		low := max(h.Min().Seconds()*r.k, h.Max().Seconds()*r.k/1e4, 1e-4)
		if lo == 0 || low < lo {
			lo = low
		}
		hi = max(hi, h.Max().Seconds()*r.k, lo)
	}
	confirmed := booking.Confirmed.String()
	for i, g := range groupNames(rec) {
		h := rec.Merged(record.Select{Span: record.SpanBooking, Clock: record.Response, Outcomes: []string{confirmed}, Groups: []string{g}})
		if h.Count() == 0 {
			continue
		}
		note(h)
		xs, ys := ecdf(h, r.k)
		c, dash := groupColor(g, i), []vgLength(nil)
		if g == record.GroupBots {
			dash = dashed
		}
		wait.keys = append(wait.keys, key{label: fmt.Sprintf("%s (%s)", clean(g, 24), short(float64(h.Count()))), color: c, dash: dash})
		wait.draw = append(wait.draw, func(f *frame) { f.line(xs, ys, c, 1.6, dash) })
	}
	written := rec.Merged(record.Select{Span: record.SpanLedger, Clock: clockOf(r.rec, record.SpanLedger), Outcomes: []string{confirmed}})
	if written.Count() > 0 {
		note(written)
		xs, ys := ecdf(written, r.k)
		wait.keys = append(wait.keys, key{label: fmt.Sprintf("accepted to written, all (%s)", short(float64(written.Count()))), color: inkSoft, dash: dotted})
		wait.draw = append(wait.draw, func(f *frame) { f.line(xs, ys, inkSoft, 1.4, dotted) })
	}
	wait.x.logarithmic(lo, hi, seconds)

	share := decilePanel(rec)
	if len(wait.keys) == 0 && share == nil {
		return Figure{}, noData(id, "no confirmed booking was timed and the pressers are not known")
	}
	if len(wait.keys) == 0 {
		wait.empty = "no confirmed booking was timed"
	}
	ps := []*panel{wait}
	if share != nil {
		ps = append(ps, share)
	}
	return (&sheet{id: id, title: "Who got a booking, and how soon", sub: about(rec), panels: ps, cols: 1,
		caption: "Above: share of the confirmed bookings that were seen by the visitor within a time of the first press, by class of user; in brackets how many. Visitors learn of a result when they next poll. Below: the people who pressed, in ten equal groups by the moment of their first press, and the share of all their bookings that each group won; whiskers are the 95 % interval (Wilson) that so few bookings leave. Without any advantage of being early every bar would stand at 10 %."}).figure()
}

func decilePanel(rec *record.Record) *panel {
	var won, pressed uint64
	for _, d := range rec.Deciles {
		won += d.Confirmed
		pressed += d.Pressers
	}
	if won == 0 || len(rec.Deciles) > 100 {
		return nil
	}
	n := float64(len(rec.Deciles))
	p := &panel{title: fmt.Sprintf("Bookings won by each tenth of %s pressers", short(float64(pressed))), height: 130}
	if len(rec.Deciles) != 10 {
		p.title = "Bookings won by the pressers in order of their first press"
	}
	p.y.label, p.x.label = "share of bookings (%)", "tenth of the pressers, earliest first"
	p.x.min, p.x.max = 0.4, n+0.6
	var high float64
	for i, d := range rec.Deciles {
		p.x.ticks = append(p.x.ticks, tick(float64(i+1), short(float64(i+1))))
		_, h := reports.Wilson(d.Confirmed, won)
		high = max(high, 100*h)
	}
	p.y.linear(0, high, 0.1, number)
	p.draw = append(p.draw, func(f *frame) {
		for i, d := range rec.Deciles {
			x, v := float64(i+1), 100*float64(d.Confirmed)/float64(won)
			f.box(x-0.36, 0, x+0.36, v, blue)
			lo, hi := reports.Wilson(d.Confirmed, won)
			f.whisker(x, 100*lo, 100*hi, ink)
		}
		f.hline(100/n, "equal chances", vermilion)
	})
	return p
}

// Lateness draws the generator's own delay: what it adds before a request leaves.
func Lateness(rec *record.Record) (Figure, error) {
	const id = "lateness"
	r := newRun(rec)
	rec = r.rec
	clock := clockOf(r.rec, record.SpanLateness)
	match := func(k record.Key) bool { return k.Span == record.SpanLateness && k.Clock == clock }
	hs := r.hists(match)
	all := &record.Hist{}
	for _, h := range hs {
		all.Merge(h)
	}
	if all.Count() == 0 {
		return Figure{}, noData(id, "no lateness was measured")
	}
	limit, what := lateLimit(rec)

	a := r.over("Lateness over time", 110)
	a.y.label = "wall time"
	p50, p99 := r.quantile(hs, 0.5, 1), r.quantile(hs, 0.99, 1)
	most := make([]float64, len(hs))
	for i, h := range hs {
		most[i] = nan
		if h.Count() > 0 {
			most[i] = h.Max().Seconds()
		}
	}
	xs := r.middles()
	a.curves(xs, []curve{{"p50", blue, p50, false}, {"p99", vermilion, p99, false}, {"largest", inkSoft, most, true}})
	lo, hi, _ := extent(p50, p99, most, []float64{limit})
	a.y.logarithmic(max(lo, 1e-6), max(hi, 1e-6), seconds)
	a.quiet = true
	if limit > 0 {
		a.keys = append(a.keys, key{label: what, color: black, dash: dotted})
		a.draw = append(a.draw, func(f *frame) {
			f.line([]float64{f.x.min, f.x.max}, []float64{limit, limit}, black, 1.2, dotted)
		})
	}

	d := &panel{title: fmt.Sprintf("All %s requests", short(float64(all.Count()))), height: 110}
	d.x.label, d.y.label = "lateness, wall time, logarithmic", "share of requests (%)"
	heights, steps := logHistogram(all, 6)
	d.x.logarithmic(max(steps[0], 1e-6), max(steps[len(steps)-1], limit, 2e-6), seconds)
	d.y.linear(0, top(heights), 0.12, number)
	d.draw = append(d.draw, func(f *frame) {
		for i, v := range heights {
			f.box(steps[i], 0, steps[i+1], v, fade(blue, 0.8))
		}
	})
	if limit > 0 {
		d.marks = []mark{{limit, what, black, dotted}}
	}
	return (&sheet{id: id, title: "The generator's own lateness", sub: about(rec), cols: 1, panels: []*panel{a, d},
		caption: fmt.Sprintf("How long after its due moment each request left the generator, in wall time. It is part of every response time shown, and has a limit of its own: beyond it the run measures the generator and is invalid. Median %s, p99 %s, largest %s.",
			quantileText(all, 0.5), quantileText(all, 0.99), seconds(all.Max().Seconds()))}).figure()
}

func quantileText(h *record.Hist, q float64) string {
	if !record.Carries(q, h.Count()) {
		return "cannot tell (n " + short(float64(h.Count())) + ")"
	}
	return seconds(h.Quantile(q).Seconds())
}

// lateLimit is the limit of the record's lateness objective in seconds; 0 when
// there is none.
func lateLimit(rec *record.Record) (limit float64, what string) {
	for _, text := range rec.Header.Objectives {
		o, err := record.ParseObjective(text)
		if err == nil && o.Kind == record.KindLateness && (o.Op == "<" || o.Op == "<=") && o.Value > 0 {
			return o.Value, "limit of " + o.Stat + ", " + seconds(o.Value)
		}
	}
	return 0, ""
}

// logHistogram puts a histogram into bars of equal ratio, per decade many, from
// 1 µs on; heights in percent, and one more step than heights.
func logHistogram(h *record.Hist, perDecade int) (heights, steps []float64) {
	const floor = float64(time.Microsecond) / 1e9
	at := func(v float64) int { return int(math.Floor(math.Log10(max(v, floor)/floor)*float64(perDecade) + 1e-6)) }
	bs := h.Buckets()
	first, last := at(bs[0].Top.Seconds()), at(bs[len(bs)-1].Top.Seconds())
	heights = make([]float64, last-first+1)
	for _, b := range bs {
		heights[at(b.Top.Seconds())-first] += 100 * float64(b.Count) / float64(h.Count())
	}
	for i := range len(heights) + 1 {
		steps = append(steps, floor*math.Pow(10, float64(first+i)/float64(perDecade)))
	}
	return heights, steps
}
