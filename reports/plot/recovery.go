package plot

import (
	"slices"
	"strings"

	"spillway/internal/record"
	"spillway/reports"
)

// Recovery draws a run under a fault beside the calm run: the age of the queue's oldest
// entry, and the requests that went wrong, with the fault shaded.
func Recovery(calm, rec *record.Record) (Figure, error) {
	fault := reports.FaultOf(rec)
	id := "recovery-" + strings.ReplaceAll(fault, ":", "-") // it names a file
	begin, ok1 := rec.Marks[record.MarkFault]
	end, ok2 := rec.Marks[record.MarkFaultEnd]
	if fault == "" || !ok1 || !ok2 {
		return Figure{}, noData(id, "no fault is marked")
	}
	r, c := newRun(rec), newRun(calm)
	from, to := r.scenario(begin.Seconds()), r.scenario(end.Seconds())
	shade := func(p *panel, high float64) {
		p.draw = append(p.draw, func(f *frame) { f.box(from, 0, to, high, fade(vermilion, 0.12)) })
	}

	age := r.over("Age of the oldest entry in the queue", 90)
	cx, cy := c.sample(record.SampleQueueAge, 1)
	xs, ys := r.sample(record.SampleQueueAge, 1)
	high := max(top(cy, ys)*1.15, 0.1)
	shade(age, high)
	age.curves(cx, []curve{{"without the fault", inkSoft, cy, true}})
	age.curves(xs, []curve{{"with it", blue, ys, false}})
	age.y.linear(0, high, 0, number)
	age.y.label = "seconds of the run"

	wrong := r.over("Requests turned away, unknown or without an answer", 90)
	edges := r.edges()
	tops := make([]float64, r.bins())
	type layer struct {
		base, high []float64
		color      paint
	}
	var layers []layer
	for _, o := range slices.Concat(reports.TurnedAway, reports.Unanswered) {
		rate := r.outcomeRate("", o)
		if rate == nil {
			continue
		}
		base := append([]float64(nil), tops...)
		for i := range rate {
			tops[i] += rate[i]
		}
		layers = append(layers, layer{base, append([]float64(nil), tops...), causeColors[o]})
		wrong.keys = append(wrong.keys, key{label: o.String(), color: causeColors[o], area: true})
	}
	most := max(top(tops)*1.15, 1)
	shade(wrong, most)
	wrong.draw = append(wrong.draw, func(f *frame) {
		for _, l := range layers {
			for i := range l.base {
				if l.high[i] > l.base[i] {
					f.box(edges[i], l.base[i], edges[i+1], l.high[i], l.color)
				}
			}
		}
	})
	wrong.y.linear(0, most, 0, number)
	wrong.y.label = r.rateLabel("per second")

	took := reports.Recover(calm, rec).Took
	said := "It did not recover within the run."
	if took.OK {
		said = "Time to recover: " + took.Text(reports.Seconds) + " of the run after the fault's end."
	}
	return (&sheet{id: id, title: "Under " + clean(fault, 60), sub: about(rec), panels: stack(age, wrong),
		caption: "The fault is shaded. " + said}).figure()
}
