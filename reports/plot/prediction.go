package plot

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/plot/vg"

	"spillway/internal/booking"
	"spillway/internal/record"
	"spillway/reports"
)

// Predicted draws a simulation over the measurement that it predicts: what was
// offered and served, the queue, and response times. Measured is solid, predicted
// dashed; the band is the 95 % Poisson interval of what was measured.
func Predicted(sim, attack *record.Record) (Figure, error) {
	const id = "prediction"
	m, s := newRun(attack), newRun(sim)
	attack, sim = m.rec, s.rec
	if attack.Header.From != sim.Header.From || m.k != s.k {
		return Figure{}, noData(id, "the two records are not of one window and time scale")
	}
	mx, sx := m.middles(), s.middles()
	var ps []*panel
	panelOf := func(r *run, title string, height float64) *panel {
		p := r.over(title, height)
		p.marks = slices.DeleteFunc(p.marks, func(k mark) bool { return k.at != 0 })
		for i, x := range []*run{m, s} {
			if at, ok := x.rec.Marks[record.MarkSoldOut]; ok {
				label, dash := "stock gone, measured", dotted[:0]
				if i == 1 {
					label, dash = "predicted", dashed
				}
				p.marks = append(p.marks, mark{x.scenario(at.Seconds()), label, purpleInk, dash})
			}
		}
		return p
	}
	p := panelOf(m, "Offered and served", 130)
	p.y.label = m.rateLabel("per second")
	var tops [][]float64
	for _, x := range []struct {
		label string
		c     paint
		of    func(*run) []float64
	}{
		{"requests", blue, func(r *run) []float64 { return r.counter(record.CountRequests) }},
		{"gateway calls answered", green, served},
	} {
		a, b := x.of(m), x.of(s)
		if top(a, b) == 0 {
			continue
		}
		low, high := make([]float64, len(a)), make([]float64, len(a))
		for i, v := range a {
			half := 1.96 * math.Sqrt(v/float64(m.w))
			low[i], high[i] = max(v-half, 0), v+half
		}
		p.keys = append(p.keys, key{label: x.label, color: x.c})
		p.draw = append(p.draw, func(f *frame) {
			f.band(mx, low, high, fade(x.c, 0.16))
			f.line(mx, a, x.c, 1.6, nil)
			f.line(sx, b, x.c, 1.6, dashed)
		})
		tops = append(tops, a, b, high)
	}
	if top(tops...) > 0 {
		p.y.linear(0, top(tops...), 0.22, number)
		ps = append(ps, p)
	}
	qx, qy := m.sample(record.SampleQueueDepth, 1)
	px, py := s.sample(record.SampleQueueDepth, 1)
	if qx != nil || px != nil {
		q := panelOf(m, "Entries waiting in the queue", 110)
		q.y.label = "entries"
		q.y.linear(0, max(top(qy, py), 1), 0.15, number)
		q.draw = append(q.draw, func(f *frame) {
			f.line(qx, qy, orange, 1.6, nil)
			f.line(px, py, orange, 1.6, dashed)
		})
		ps = append(ps, q)
	}
	wait := func(r *run) []*record.Hist {
		return r.hists(func(k record.Key) bool {
			return k.Span == booking.StepStatus.String() && k.Clock == record.Response && k.Group != record.GroupBots
		})
	}
	mh, sh := wait(m), wait(s)
	l := panelOf(m, "Response time of the status call", 130)
	l.y.label = "response time"
	var lists [][]float64
	for _, x := range []struct {
		label string
		q     float64
		c     paint
	}{{"p50", 0.5, blue}, {"p99", 0.99, vermilion}} {
		a, b := m.quantile(mh, x.q, m.k), s.quantile(sh, x.q, s.k)
		lists = append(lists, a, b)
		l.keys = append(l.keys, key{label: x.label, color: x.c})
		l.draw = append(l.draw, func(f *frame) {
			f.line(mx, a, x.c, 1.6, nil)
			f.line(sx, b, x.c, 1.6, dashed)
		})
	}
	if lo, hi, ok := extent(lists...); ok {
		l.y.logarithmic(lo, hi, seconds)
		ps = append(ps, l)
	}
	if len(ps) == 0 {
		return Figure{}, noData(id, "neither record has requests, a queue or response times")
	}
	sub := about(attack)
	if len(attack.Header.Vary) > 0 {
		sub += " ·"
		for _, v := range attack.Header.Vary {
			sub += fmt.Sprintf(" %s = %s", clean(v.Key, 40), clean(v.Value, 20))
		}
	}
	return (&sheet{id: id, title: "Predicted and measured", sub: sub, panels: stack(ps...),
		keys: []key{{label: "measured", color: ink}, {label: "predicted", color: ink, dash: dashed}, keyOf("95 % of the measured count (Poisson)", fade(inkSoft, 0.25), true)},
		caption: "The attack's measurement and the simulation of the same scenario. A measured response time counts from the due moment, so the generator's lateness is in it. A percentile is drawn over as many seconds as it needs to be carried, at most " +
			m.widestText() + "."}).figure()
}

// served is the gateway calls per bin that were answered and not refused.
func served(r *run) []float64 {
	steps := []string{booking.StepStatus.String(), booking.StepCheck.String(), booking.StepSubmit.String(), booking.StepPoll.String()}
	return r.perSecond(r.counts(r.once(func(k record.Key) bool {
		o, err := booking.ParseOutcome(k.Outcome)
		return err == nil && slices.Contains(steps, k.Span) && !o.Refusal() && !silent(o)
	})))
}

// Scales draws one scenario at several scales on full-size axes, so that what the
// scale model distorts shows: counts are divided by the share of people and rates
// are per second of the scenario.
func Scales(recs []*record.Record) (Figure, error) {
	const id = "scales"
	recs = slices.DeleteFunc(slices.Clone(recs), func(r *record.Record) bool { return r == nil || !(r.Header.People > 0) })
	if len(recs) < 2 {
		return Figure{}, noData(id, "two scales at least are needed")
	}
	recs = recs[:min(len(recs), len(cycle))]
	var runs []*run
	var keys []key
	for i, rec := range recs {
		runs = append(runs, newRun(rec))
		keys = append(keys, key{label: scaleText(&rec.Header), color: cycle[i], dash: [][]vg.Length{nil, dashed, dotted}[i%3]})
	}
	widest := slices.MaxFunc(runs, func(a, b *run) int { return int(float64(a.n)*a.k - float64(b.n)*b.k) })
	over := func(title string, height float64, label string) *panel {
		p := widest.over(title, height)
		p.marks = slices.DeleteFunc(p.marks, func(k mark) bool { return k.at != 0 })
		p.y.label = label
		return p
	}
	type curve struct{ xs, ys []float64 }
	add := func(p *panel, of func(*run) curve) (lists [][]float64) {
		for i, r := range runs {
			c := of(r)
			lists = append(lists, c.ys)
			p.draw = append(p.draw, func(f *frame) { f.line(c.xs, c.ys, keys[i].color, 1.5, keys[i].dash) })
		}
		return lists
	}
	var ps []*panel
	offered := over("Requests offered", 120, "per second, full size")
	if ys := add(offered, func(r *run) curve {
		v := r.counter(record.CountRequests)
		for i := range v {
			v[i] /= r.rec.Header.People * r.k
		}
		return curve{r.middles(), v}
	}); top(ys...) > 0 {
		offered.y.linear(0, top(ys...), 0.2, number)
		ps = append(ps, offered)
	}
	queue := over("Entries waiting in the queue", 120, "entries, full size")
	if ys := add(queue, func(r *run) curve {
		xs, v := r.sample(record.SampleQueueDepth, 1/r.rec.Header.People)
		return curve{xs, v}
	}); top(ys...) > 0 {
		queue.y.linear(0, top(ys...), 0.15, number)
		ps = append(ps, queue)
	}
	load := over("Work offered to the gateways ÷ their capacity", 110, "load")
	if ys := add(load, func(r *run) curve {
		xs, v := r.sampleMeans(record.SampleGatewayLoad)
		return curve{xs, v}
	}); top(ys...) > 0 {
		load.y.linear(0, max(top(ys...), 1.05), 0.2, number)
		load.draw = append(load.draw, func(f *frame) { f.hline(1, "capacity", vermilion) })
		ps = append(ps, load)
	}
	for _, q := range []struct {
		name string
		q    float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		lat := over("Response time of the status call, "+q.name, 100, "scenario time")
		ys := add(lat, func(r *run) curve {
			hs := r.hists(func(k record.Key) bool {
				return k.Span == booking.StepStatus.String() && k.Clock == record.Response && k.Group != record.GroupBots
			})
			return curve{r.middles(), r.quantile(hs, q.q, r.k)}
		})
		if lo, hi, ok := extent(ys...); ok {
			lat.y.logarithmic(lo, hi, seconds)
			ps = append(ps, lat)
		}
	}
	if len(ps) == 0 {
		return Figure{}, noData(id, "the records have no requests, no queue and no response times")
	}
	h := &recs[0].Header
	return (&sheet{id: id, title: "What the scale model distorts", sub: fmt.Sprintf("%s · %s · seed %d", clean(h.Scenario, 40), clean(h.Label, 16), h.Seed),
		keys: keys, panels: stack(ps...),
		caption: "The same scenario simulated at several scales, on axes of full size. A thinner run is noisier and its queue is counted in coarser steps; with time quickened, service times that do not shrink weigh more against the visitors' waits. A percentile is drawn only where the samples carry it."}).figure()
}

// ScaleTable is the measures of several scales side by side.
func ScaleTable(recs []*record.Record) reports.Table {
	var names []string
	for _, r := range recs {
		names = append(names, scaleText(&r.Header))
	}
	t := reports.Compare(names, recs...)
	t.Title = "The same scenario at several scales"
	t.Notes = append(t.Notes, "Times are full size; the depth of the queue is that of the run, thinned with the people.")
	return t
}

// sampleMeans is a sample as its mean per bin, for samples that cover too few
// requests each to be drawn alone.
func (r *run) sampleMeans(name string) (xs, ys []float64) {
	sums, n := make([]float64, r.bins()), make([]float64, r.bins())
	for _, p := range r.rec.Samples[name] {
		if i := int(math.Ceil(p.At.Seconds())) - 1; finite(p.Value) && i >= 0 && i < r.n {
			sums[i/r.w] += p.Value
			n[i/r.w]++
		}
	}
	for i := range sums {
		if n[i] == 0 {
			sums[i] = nan
		} else {
			sums[i] /= n[i]
		}
	}
	return r.middles(), sums
}
