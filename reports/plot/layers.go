package plot

import (
	"fmt"
	"math"

	"spillway/internal/booking"
	"spillway/internal/record"
)

// Queue draws the depth of the queue, the age of its oldest entry, and whatever
// else waits: dead letters, and the database's backlog in synchronous mode.
func Queue(rec *record.Record) (Figure, error) {
	const id = "queue"
	r := newRun(rec)
	rec = r.rec
	var ps []*panel
	if xs, ys := r.sample(record.SampleQueueDepth, 1); xs != nil && !r.brief(xs, ys) {
		p := r.over("Entries waiting", 120)
		p.y.label = "entries"
		bound := rec.Header.Capacity["queue.depth"]
		high := top(ys)
		if bound > 0 && bound < 20*max(high, 1) {
			high = max(high, bound)
			p.draw = append(p.draw, func(f *frame) { f.hline(bound, "", vermilion) })
			p.keys = append(p.keys, key{label: "bound, " + short(bound), color: vermilion, dash: dashed})
		}
		p.y.linear(0, high, 0.22, number)
		p.area(xs, ys, blue, "depth")
		ps = append(ps, p)
	}
	if xs, ys := r.sample(record.SampleQueueAge, r.k); xs != nil && !r.brief(xs, ys) {
		p := r.over("Age of the oldest entry", 90)
		p.y.label = "scenario seconds"
		p.y.linear(0, top(ys), 0.15, number)
		p.area(xs, ys, orange, "")
		ps = append(ps, p)
	}
	if xs, ys := r.sample(record.SampleDatabaseWait, r.k); xs != nil && !r.brief(xs, ys) {
		p := r.over("Work waiting at the database", 120)
		p.y.label = "scenario seconds"
		p.y.linear(0, top(ys), 0.2, number)
		p.area(xs, ys, vermilion, "")
		ps = append(ps, p)
	}
	if xs, ys := r.sample(record.SampleDead, 1); top(ys) > 0 {
		p := r.over("Dead letters", 70)
		p.y.label = "entries"
		p.y.linear(0, top(ys), 0.15, number)
		p.area(xs, ys, black, "")
		ps = append(ps, p)
	}
	if len(ps) == 0 {
		return Figure{}, noData(id, "the backend reported no queue and no backlog, or none beyond the opening")
	}
	depth := "n/a"
	if v, ok := rec.MaxSample(record.SampleQueueDepth); ok {
		depth = short(v)
	}
	return (&sheet{id: id, title: "What waits", sub: about(rec), panels: stack(ps...),
		caption: fmt.Sprintf("As the backend sampled it. The queue's bound decides how early people are told \"queued\" and how many are told \"busy\"; the writer's rate decides how long they then wait. What stands in the queue is what a lost queue would lose. Peak depth: %s entries of the run.", depth)}).figure()
}

// area adds a filled line and, with a label, its legend entry.
func (p *panel) area(xs, ys []float64, c paint, label string) {
	zero := make([]float64, len(xs))
	if label != "" {
		p.keys = append(p.keys, key{label: label, color: c})
	}
	p.draw = append(p.draw, func(f *frame) {
		f.band(xs, zero, ys, fade(c, 0.22))
		f.line(xs, ys, c, 1.5, nil)
	})
}

// Layers draws the gateways' load, room and rung and the edge's hit rate.
func Layers(rec *record.Record) (Figure, error) {
	const id = "layers"
	r := newRun(rec)
	rec = r.rec
	var ps []*panel
	if xs, ys := r.sample(record.SampleGatewayLoad, 1); xs != nil {
		p := r.over("Work offered to the gateways ÷ their capacity", 120)
		p.y.label = "load"
		p.y.linear(0, max(top(ys), 1.05), 0.22, number)
		p.area(xs, ys, blue, "")
		p.draw = append(p.draw, func(f *frame) { f.hline(1, "capacity", vermilion) })
		ps = append(ps, p)
	}
	if xs, ys := r.sample(record.SampleGatewayRoom, 100); xs != nil {
		p := r.over("Waiting room", 64)
		p.y.label = "filled (%)"
		p.y.linear(0, 100, 0.02, number)
		p.area(xs, ys, orange, "")
		ps = append(ps, p)
	}
	if xs, ys := r.sample(record.SampleRung, 1); xs != nil {
		p := r.over("Rung of the degradation ladder", 64)
		p.y.min, p.y.max, p.y.grid = 0.7, float64(booking.RungTopOnly)+0.3, true
		for g := booking.RungFull; g <= booking.RungTopOnly; g++ {
			p.y.ticks = append(p.y.ticks, tick(float64(g), g.String()))
		}
		var sx, sy []float64
		for i := range xs {
			if i > 0 {
				sx, sy = append(sx, xs[i]), append(sy, ys[i-1])
			}
			sx, sy = append(sx, xs[i]), append(sy, ys[i])
		}
		p.draw = append(p.draw, func(f *frame) { f.line(sx, sy, purpleInk, 1.6, nil) })
		ps = append(ps, p)
	}
	if xs, ys := r.hitRate(); xs != nil {
		p := r.over("Served by the edge's cache", 64)
		p.y.label = "hits (%)"
		p.y.linear(0, 100, 0.02, number)
		p.draw = append(p.draw, func(f *frame) { f.line(xs, ys, green, 1.5, nil) })
		ps = append(ps, p)
	}
	if len(ps) == 0 {
		return Figure{}, noData(id, "the backend reported no gateways and no edge")
	}
	return (&sheet{id: id, title: "Gateways and edge", sub: about(rec), panels: stack(ps...),
		caption: "As the backend sampled it. Above a load of 1 more work arrives than can be done: the waiting room fills, then requests are shed. A higher rung of the ladder serves less."}).figure()
}

// hitRate is the share of hits at the edge between samples, in percent, over at
// least a second each.
func (r *run) hitRate() (xs, ys []float64) {
	hits, misses := r.rec.Samples[record.SampleEdgeHits], r.rec.Samples[record.SampleEdgeMisses]
	n := min(len(hits), len(misses))
	for i, j := 0, 1; j < n; j++ {
		if (hits[j].At - hits[i].At).Seconds() < max(1, float64(r.n)/maxBins)-1e-9 {
			continue
		}
		h, m := hits[j].Value-hits[i].Value, misses[j].Value-misses[i].Value
		share := math.NaN()
		if finite(h) && finite(m) && h >= 0 && m >= 0 && h+m > 0 {
			share = 100 * h / (h + m)
		}
		xs, ys = append(xs, r.scenario((hits[i].At+hits[j].At).Seconds()/2)), append(ys, share)
		i = j
	}
	return xs, ys
}
