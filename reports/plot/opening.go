package plot

import (
	"math"
	"time"

	"spillway/internal/record"
)

// A run longer than long has figures of its opening besides: on an axis of hours a
// sale of half a minute is one upright line.
const long = 30 * time.Minute

// Seconds around the opening for which records keep every second, however long
// the run; beyond them a histogram may stand for many.
const (
	everyBefore = time.Minute
	everyAfter  = 10 * time.Minute
)

// openingFigures are those of All that an axis of hours would flatten.
var openingFigures = []func(*record.Record) (Figure, error){Flow, Response, Queue, Layers, Amplification, Lateness}

// Opening draws the opening of a long run second by second; a run that is short
// enough to show it by itself has none.
func Opening(rec *record.Record) ([]Figure, error) {
	from, to, ok := openingOf(rec)
	if !ok {
		return nil, nil
	}
	out, err := each(cut(rec, from, to), openingFigures)
	for i := range out {
		out[i].ID += "-opening"
		out[i].Caption = "The opening alone. " + out[i].Caption
	}
	return out, err
}

// openingOf is the part of a long run in which the sale is decided, in scenario
// time: to the end of the peak or the last row written, whichever is later, and
// some way on.
func openingOf(rec *record.Record) (from, to time.Duration, ok bool) {
	if rec == nil {
		return 0, 0, false
	}
	h := &rec.Header
	if h.To-h.From <= long || h.From >= 0 || h.To <= 0 || timeScale(h) != h.TimeScale {
		return 0, 0, false
	}
	end := 10 * time.Second
	for _, w := range h.Windows {
		if w.Name == "peak" {
			end = max(end, w.To)
		}
	}
	for _, m := range []string{record.MarkSoldOut, record.MarkLastConfirmed} {
		if at, known := rec.Marks[m]; known {
			end = max(end, h.ScenarioTime(at))
		}
	}
	to = min(end*8/5, everyAfter, h.To).Round(time.Second)
	from = max(-to/4, -everyBefore, h.From).Round(time.Second)
	return from, to, true
}

// cut is the part of a record between two moments of scenario time, as a record of
// its own; what is not counted over time stays that of the whole.
func cut(rec *record.Record, from, to time.Duration) *record.Record {
	h := rec.Header
	lo := int32(max(math.Floor(h.RunTime(from).Seconds()+1e-9), 0))
	hi := int32(min(math.Ceil(h.RunTime(to).Seconds()-1e-9), maxSeconds))
	start := time.Duration(lo) * time.Second
	h.From, h.To = rec.Header.ScenarioTime(start), rec.Header.ScenarioTime(time.Duration(hi)*time.Second)
	h.Windows = nil
	for _, w := range rec.Header.Windows {
		w.From, w.To = max(w.From, h.From), min(w.To, h.To)
		if w.From < w.To {
			h.Windows = append(h.Windows, w)
		}
	}
	out := record.New(h)
	out.Groups, out.Deciles, out.Invariants = rec.Groups, rec.Deciles, rec.Invariants
	for k, hist := range rec.Hists {
		if k.Second >= lo && k.Second < hi {
			k.Second -= lo
			out.Hists[k] = hist
		}
	}
	for name, c := range rec.Counters {
		c = c[min(int(lo), len(c)):min(int(hi), len(c))]
		out.Counters[name] = c
	}
	for name, ps := range rec.Samples {
		for _, p := range ps {
			if p.At -= start; p.At >= 0 && p.At <= time.Duration(hi-lo)*time.Second {
				out.Samples[name] = append(out.Samples[name], p)
			}
		}
	}
	for name, at := range rec.Marks {
		if at -= start; at >= 0 && at < time.Duration(hi-lo)*time.Second {
			out.Marks[name] = at
		}
	}
	return out
}

// brief reports whether all that a curve shows lies within the opening, whose own
// figures show it better. Values at rest are not shown: gaps and zeros.
func (r *run) brief(xs, ys []float64) bool {
	from, to, ok := openingOf(r.rec)
	if !ok {
		return false
	}
	// A bin that the opening falls into is wider than it.
	bin := float64(r.w) * r.k
	for i, x := range xs {
		if x *= r.unit; finite(ys[i]) && ys[i] != 0 && (x < from.Seconds()-bin || x > to.Seconds()+bin) {
			return false
		}
	}
	return true
}
