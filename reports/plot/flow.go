package plot

import (
	"fmt"

	"spillway/internal/booking"
	"spillway/internal/record"
)

// causes lists what a request may end in that nobody wanted: refusals by cause,
// then the troubles that no server spoke of.
func causes() (out []booking.Outcome) {
	for i := range booking.Outcomes() {
		o := booking.Outcome(i + 1)
		if o.Refusal() || o == booking.Unknown || o == booking.Timeout || o == booking.Failed || o == booking.Unsent || o == booking.Unmapped {
			out = append(out, o)
		}
	}
	return out
}

// once matches each request of the steps once, under its best clock.
func (r *run) once(match func(record.Key) bool) func(record.Key) bool {
	clocks := map[string]record.Clock{}
	for _, s := range booking.Steps() {
		clocks[s] = clockOf(r.rec, s)
	}
	return func(k record.Key) bool { return k.Clock == clocks[k.Span] && k.Clock != 0 && match(k) }
}

// outcomeRate is the rate of one outcome over all steps, or over one.
func (r *run) outcomeRate(step string, outcomes ...booking.Outcome) []float64 {
	names := map[string]bool{}
	for _, o := range outcomes {
		names[o.String()] = true
	}
	c := r.counts(r.once(func(k record.Key) bool { return names[k.Outcome] && (step == "" || k.Span == step) }))
	if sum(c) == 0 {
		return nil
	}
	return r.perSecond(c)
}

type curve struct {
	label string
	color paint
	ys    []float64
	dash  bool
}

// curves adds lines over the bins' middles and their legend; it leaves out nil ones.
func (p *panel) curves(xs []float64, cs []curve) {
	for _, c := range cs {
		if c.ys == nil {
			continue
		}
		k := key{label: clean(c.label, 40), color: c.color}
		if c.dash {
			k.dash = dashed
		}
		p.keys = append(p.keys, k)
		p.draw = append(p.draw, func(f *frame) { f.line(xs, c.ys, c.color, 1.5, k.dash) })
	}
}

// Flow draws what was offered, admitted, served and refused per second.
func Flow(rec *record.Record) (Figure, error) {
	const id = "flow"
	r := newRun(rec)
	rec = r.rec
	xs := r.middles()

	people := r.over("People and their requests", 110)
	visits, requests, polls := r.counter(record.CountVisits), r.counter(record.CountRequests), r.counter(record.CountPolls)
	people.curves(xs, []curve{{"visits opened", sky, visits, false}, {"requests, without polls", blue, requests, false}, {"result polls", orange, polls, false}})
	people.y.linear(0, top(visits, requests, polls), 0.2, number)
	people.y.label = r.rateLabel("per second")
	if len(people.keys) == 0 {
		people = nil
	}

	path := r.over("The way to a booking", 130)
	presses, passed, submits := r.counter(record.CountPresses), r.counter(record.CountCoinPassed), r.counter(record.CountOffered)
	accepted := r.outcomeRate(booking.StepSubmit.String(), booking.Queued, booking.Confirmed)
	wx, written := r.rate(record.SampleWritten)
	path.curves(xs, []curve{{"presses (offered)", black, presses, false}, {"passed the gate (admitted)", blue, passed, false},
		{"submits sent", sky, submits, true}, {"accepted", orange, accepted, false}})
	path.curves(wx, []curve{{"written (served)", green, written, false}})
	path.y.linear(0, top(presses, passed, submits, accepted, written), 0.12, number)
	path.y.label = r.rateLabel("per second")
	if len(path.keys) == 0 {
		path = nil
	}

	refused := r.over("Refused or failed, by cause", 110)
	refused.y.label = r.rateLabel("requests per second")
	tops := make([]float64, r.bins())
	edges := r.edges()
	for _, o := range causes() {
		ys := r.outcomeRate("", o)
		if ys == nil {
			continue
		}
		base := append([]float64(nil), tops...)
		for i := range ys {
			tops[i] += ys[i]
		}
		high, c := append([]float64(nil), tops...), causeColors[o]
		refused.keys = append(refused.keys, key{label: o.String(), color: c, area: true})
		refused.draw = append(refused.draw, func(f *frame) {
			for i := range base {
				if high[i] > base[i] {
					f.box(edges[i], base[i], edges[i+1], high[i], c)
				}
			}
		})
	}
	refused.y.linear(0, top(tops), 0.12, number)
	if len(refused.keys) == 0 {
		refused.empty = "nothing was refused and nothing failed"
		if len(r.keys) == 0 {
			refused = nil
		} else {
			refused.height = 40
			refused.y.ticks = nil
		}
	}
	if people == nil && path == nil && refused == nil {
		return Figure{}, noData(id, "no counters and no requests")
	}
	return (&sheet{id: id, title: "Offered, admitted, served, refused", sub: about(rec), panels: stack(people, path, refused),
		caption: "Rates per second of the run" + scaleNote(rec) + ". Offered is every press of the button; the gate in the client holds back presses before they become requests, so a lost press is no refusal. Served is what the writer put into the ledger. Refusals are answers that say no; timeouts and transport errors are shown with them, for the visitor cannot tell." + r.binNote()}).figure()
}

// Amplification draws how many requests each first try cost.
func Amplification(rec *record.Record) (Figure, error) {
	const id = "amplification"
	r := newRun(rec)
	rec = r.rec
	all, first := r.counter(record.CountRequests), r.counter(record.CountFirstTries)
	if all == nil || first == nil {
		return Figure{}, noData(id, "no requests were counted")
	}
	xs := r.middles()
	ratio := make([]float64, len(all))
	for i := range ratio {
		ratio[i] = nan
		if first[i] > 0 {
			ratio[i] = all[i] / first[i]
		}
	}
	a := r.over("Requests per first try", 110)
	a.y.label = "factor"
	a.y.linear(0, max(top(ratio), 1.2), 0.2, number)
	a.curves(xs, []curve{{"requests ÷ first tries", vermilion, ratio, false}})
	a.draw = append(a.draw, func(f *frame) { f.hline(1, "1 = no retries", inkSoft) })

	b := r.over("Requests per second", 110)
	b.y.label = r.rateLabel("per second")
	b.y.linear(0, top(all), 0.12, number)
	repeat := make([]float64, len(all))
	for i := range all {
		repeat[i] = max(all[i]-first[i], 0)
	}
	edges := r.edges()
	b.keys = []key{{label: "first of its step in its visit", color: sky, area: true}, {label: "repeated", color: vermilion, area: true}}
	b.draw = append(b.draw, func(f *frame) {
		for i := range all {
			f.box(edges[i], 0, edges[i+1], first[i], sky)
			f.box(edges[i], first[i], edges[i+1], first[i]+repeat[i], vermilion)
		}
	})
	worst, at := 0.0, 0.0
	for i, v := range ratio {
		if v > worst {
			worst, at = v, xs[i]
		}
	}
	return (&sheet{id: id, title: "Retry amplification", sub: about(rec), panels: stack(a, b),
		caption: fmt.Sprintf("How much load retries add: requests sent in a second over those of them that were the first of their step in their visit. Result polls are not counted. Worst: %s at %s.%s", short(worst), r.moment(at), r.binNote())}).figure()
}

func scaleNote(rec *record.Record) string {
	if h := &rec.Header; h.People > 0 && finite(h.People) && h.People != 1 {
		return " (a scale model: " + scaleText(h) + ")"
	}
	return ""
}

// rateLabel says of which second a rate is, where run and scenario differ.
func (r *run) rateLabel(s string) string {
	if r.k != 1 {
		return s + " of the run"
	}
	return s
}
