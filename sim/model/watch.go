package model

import (
	"time"

	"spillway/internal/booking"
	"spillway/internal/record"
)

// watch looks at every layer on a beat, as the reference backend's own does, and
// holds the books against each other each time.
type watch struct {
	e       *evening
	every   time.Duration
	offered float64 // units at the last look
	series  map[string][]record.Point
	onLook  func()
}

func (e *evening) openWatch() {
	// A long run is looked at less often: so many samples a series in a record.
	looks := (e.end + sampleEvery - 1) / sampleEvery
	w := &e.watch
	*w = watch{e: e, every: sampleEvery * max((looks+samplesMax-1)/samplesMax, 1), series: map[string][]record.Point{}}
	w.onLook = w.look
	w.again(w.every)
}

// indexOf is the number of the look that first sees what happens at a moment.
func (w *watch) indexOf(at time.Duration) int { return int((at + w.every - 1) / w.every) }

func (w *watch) again(at time.Duration) {
	if at <= w.e.end {
		w.e.kernel.AtPriority(at, watcher, w.onLook)
	}
}

// look takes one sample.
func (w *watch) look() {
	e := w.e
	now := e.kernel.Now()
	g := &e.gateway
	g.advance(now)
	g.setRung(now)
	put := func(name string, v float64) {
		w.series[name] = append(w.series[name], record.Point{At: now, Value: v})
	}
	put(record.SampleGatewayLoad, (g.c.offeredUnits-w.offered)/(g.capacity*w.every.Seconds()))
	w.offered = g.c.offeredUnits
	put(record.SampleGatewayRoom, g.fill())
	put(record.SampleGatewayBusy, float64(g.c.inside))
	put(record.SampleRung, float64(g.rung))
	l := &e.ledger
	if e.sc.Mode != booking.ModeLottery {
		put(record.SampleStockFree, float64(e.stock.total))
	}
	put(record.SampleWritten, float64(l.written))
	if e.direct {
		put(record.SampleDatabaseWait, (max(l.busy, now) - now).Seconds())
	} else {
		put(record.SampleQueueDepth, float64(l.depth()))
		age := time.Duration(0)
		if l.depth() > 0 {
			age = now - l.rows[l.acked].at
		}
		put(record.SampleQueueAge, age.Seconds())
		put(record.SampleDead, 0)
	}
	if age, ok := g.flagAge(now); ok {
		put(record.SampleClosedAge, age.Seconds())
	}
	if e.windows != nil {
		e.edge.hits += e.windows.hitsAt(w.indexOf(now))
	}
	if e.edge.on {
		put(record.SampleEdgeHits, float64(e.edge.hits))
		put(record.SampleEdgeMisses, float64(e.edge.misses))
	}
	put(record.SampleProbability, e.admission.now.Probability)
	if err := e.check(); err != nil && e.err == nil {
		e.err = err
	}
	w.again(now + w.every)
}

// flagAge is the age of the oldest closed flag among the instances that serve.
func (g *gateway) flagAge(now time.Duration) (oldest time.Duration, ok bool) {
	for i := range g.instances {
		if in := &g.instances[i]; in.up && in.has {
			oldest, ok = max(oldest, now-in.readAt), true
		}
	}
	return oldest, ok
}

func (w *watch) into(rec *record.Record) {
	for name, points := range w.series {
		rec.Samples[name] = points
	}
}
