package plot

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"spillway/internal/record"
)

// Figure is one drawing in two formats. The zero value is no figure.
type Figure struct {
	ID      string // names files and anchors: "flow", "sweep-queue-depth"
	Title   string // one line, plain text
	Caption string // what to see and how it was measured, plain text
	SVG     []byte // begins with <svg; may stand inside an HTML page
	PNG     []byte // 192 dpi, 1,920 pixels wide
}

// ErrNoData is what a figure's error wraps when the record has nothing to draw.
var ErrNoData = errors.New("no data")

func noData(id, why string) error { return fmt.Errorf("figure %s: %w: %s", id, ErrNoData, why) }

// figures of one run, in the order of a report.
var figures = []func(*record.Record) (Figure, error){
	Flow, Funnel, Response, Confirmation, Queue, Layers, Amplification, Lateness,
}

// All draws every figure of one run that the record has data for, in the order of
// a report. It fails only when drawing fails.
func All(rec *record.Record) ([]Figure, error) {
	return each(rec, figures)
}

// each draws the figures that there is data for.
func each[T any](of T, figures []func(T) (Figure, error)) ([]Figure, error) {
	var out []Figure
	for _, draw := range figures {
		f, err := draw(of)
		switch {
		case errors.Is(err, ErrNoData):
		case err != nil:
			return nil, err
		default:
			out = append(out, f)
		}
	}
	return out, nil
}

// Omitted says which figures of All a record has no data for and why, one line each.
func Omitted(rec *record.Record) []string {
	var out []string
	for _, draw := range figures {
		if _, err := draw(rec); errors.Is(err, ErrNoData) {
			out = append(out, err.Error())
		}
	}
	return out
}

// run is a record made ready for drawing: its seconds, bins and indexed histograms.
type run struct {
	rec  *record.Record
	k    float64 // scenario seconds a run second
	from float64 // scenario second of the run's start
	unit float64 // seconds a unit of the time axis: 1, or 60 or 3600 for long runs
	n    int     // seconds of the run that hold data or lie in the window
	w    int     // seconds a bin
	keys []record.Key
}

const (
	maxSeconds = 200_000 // 55 h; what lies beyond is not drawn
	maxBins    = 500     // a longer run is drawn in wider bins
	maxSamples = 1000    // a curve of more is drawn by the largest of each group
)

func newRun(rec *record.Record) *run {
	if rec == nil {
		rec = record.New(record.Header{})
	}
	h := &rec.Header
	r := &run{rec: rec, k: timeScale(h), from: h.From.Seconds(), unit: 1, keys: rec.Keys()}
	if !h.Partial {
		r.n = int(min(math.Ceil((h.To-h.From).Seconds()/r.k-1e-9), maxSeconds))
	}
	r.n = max(r.n, 0)
	for _, c := range rec.Counters {
		r.n = max(r.n, min(len(c), maxSeconds))
	}
	for _, k := range r.keys {
		if k.Second >= 0 && k.Second < maxSeconds {
			r.n = max(r.n, int(k.Second)+1)
		}
	}
	for _, ps := range rec.Samples {
		for _, p := range ps {
			r.n = max(r.n, int(min(max(p.At.Seconds(), 0), maxSeconds)))
		}
	}
	r.n = max(r.n, 1)
	r.w = (r.n + maxBins - 1) / maxBins
	switch span := float64(r.n) * r.k; {
	case span > 2*3600:
		r.unit = 3600
	case span > long.Seconds():
		r.unit = 60
	}
	return r
}

// timeScale is k, or 1 where a broken header has none.
func timeScale(h *record.Header) float64 {
	if !finite(h.TimeScale) || h.TimeScale <= 0 || h.TimeScale > 1e6 {
		return 1
	}
	return h.TimeScale
}

// scenario is the scenario time of a run second, in units of the axis.
func (r *run) scenario(sec float64) float64 { return (r.from + sec*r.k) / r.unit }

func (r *run) bins() int { return (r.n + r.w - 1) / r.w }

// edges are the bins' borders on the time axis, one more than bins.
func (r *run) edges() []float64 {
	out := make([]float64, r.bins()+1)
	for i := range out {
		out[i] = r.scenario(float64(min(i*r.w, r.n)))
	}
	return out
}

// middles are the bins' middles on the time axis.
func (r *run) middles() []float64 {
	e := r.edges()
	out := make([]float64, len(e)-1)
	for i := range out {
		out[i] = (e[i] + e[i+1]) / 2
	}
	return out
}

// perSecond turns counts per second into a rate per bin.
func (r *run) perSecond(counts []uint64) []float64 {
	out := make([]float64, r.bins())
	for i, c := range counts {
		if i < r.n {
			out[i/r.w] += float64(c)
		}
	}
	for i := range out {
		out[i] /= float64(min(r.w, r.n-i*r.w))
	}
	return out
}

// counter is a counter as a rate per bin; nil when the record has none.
func (r *run) counter(name string) []float64 {
	if sum(r.rec.Counters[name]) == 0 {
		return nil
	}
	return r.perSecond(r.rec.Counters[name])
}

// clockOf is the clock by which a span is counted: Response where it has any.
func clockOf(rec *record.Record, span string) record.Clock {
	var c record.Clock
	for k := range rec.Hists {
		if k.Span == span && (c == 0 || k.Clock < c) && k.Clock > 0 {
			c = k.Clock
		}
	}
	return c
}

// counts are the requests per second of the run whose key matches; each request
// once, whatever clocks it was timed by.
func (r *run) counts(match func(record.Key) bool) []uint64 {
	out := make([]uint64, r.n)
	for _, k := range r.keys {
		if k.Second >= 0 && int(k.Second) < r.n && match(k) {
			out[k.Second] += r.rec.Hists[k].Count()
		}
	}
	return out
}

// hists are the merged histograms per bin; nil where there is nothing.
func (r *run) hists(match func(record.Key) bool) []*record.Hist {
	out := make([]*record.Hist, r.bins())
	for _, k := range r.keys {
		if k.Second >= 0 && int(k.Second) < r.n && match(k) {
			i := int(k.Second) / r.w
			if out[i] == nil {
				out[i] = &record.Hist{}
			}
			out[i].Merge(r.rec.Hists[k])
		}
	}
	return out
}

// quantile is a quantile in seconds (times scale) for each bin, taken over as many
// bins as it needs to be carried, up to widest; NaN where even those are too few.
// It never reaches across the border of a window.
func (r *run) quantile(hs []*record.Hist, q, scale float64) []float64 {
	out := make([]float64, len(hs))
	for i := range out {
		out[i] = nan
	}
	widest, borders := r.widest(), r.borders()
	for i := 0; i < len(hs); {
		h, end := &record.Hist{}, i
		for end < len(hs) && end-i < widest && !record.Carries(q, h.Count()) && (end == i || !slices.Contains(borders, end)) {
			h.Merge(hs[end])
			end++
		}
		if h.Count() == 0 || !record.Carries(q, h.Count()) {
			i++
			continue
		}
		v := h.Quantile(q).Seconds() * scale
		for ; i < end; i++ {
			out[i] = v
		}
	}
	return out
}

// widest is how many bins a percentile may be taken over: ten seconds of the run or
// a fifth of it, for more would show no course over time; one bin at least.
func (r *run) widest() int { return max(1, min(10, r.n/5)/r.w) }

// widestText is the same in scenario time, for captions.
func (r *run) widestText() string { return seconds(float64(r.widest()*r.w) * r.k) }

// borders are the bins at which a window begins or ends.
func (r *run) borders() []int {
	var out []int
	for _, w := range r.rec.Header.Windows {
		for _, t := range []float64{w.From.Seconds(), w.To.Seconds()} {
			if s := (t - r.from) / r.k; s > 0 && s < float64(r.n) {
				out = append(out, int(math.Ceil(s-1e-9))/r.w)
			}
		}
	}
	return out
}

// sample is a backend sample on the time axis; both nil when there is none.
func (r *run) sample(name string, scale float64) (xs, ys []float64) {
	ps := r.rec.Samples[name]
	step := max(1, len(ps)/maxSamples)
	for i := 0; i < len(ps); i += step {
		top := ps[i]
		for _, p := range ps[i:min(i+step, len(ps))] { // of a group the largest: peaks must stay
			if p.Value > top.Value {
				top = p
			}
		}
		if t := top.At.Seconds(); finite(top.Value) && t >= 0 && t <= float64(r.n) {
			xs, ys = append(xs, r.scenario(t)), append(ys, top.Value*scale)
		}
	}
	return xs, ys
}

// rate is the growth per second of the run of a cumulative sample.
func (r *run) rate(name string) (xs, ys []float64) {
	ps := r.rec.Samples[name]
	if len(ps) < 2 {
		return nil, nil
	}
	// At least a second, and at most maxBins steps.
	width := max(1, ps[len(ps)-1].At.Seconds()/maxBins)
	for i, j := 0, 1; j < len(ps); j++ {
		dt := (ps[j].At - ps[i].At).Seconds()
		if dt < width-1e-9 {
			continue
		}
		if d := ps[j].Value - ps[i].Value; finite(d) && d >= 0 { // a restart counts from 0: no rate there
			xs = append(xs, r.scenario((ps[i].At+ps[j].At).Seconds()/2))
			ys = append(ys, d/dt)
		}
		i = j
	}
	return xs, ys
}

// timeAxis is the scenario-time axis of all figures over time.
func (r *run) timeAxis() axis { return timeTicks(r.scenario(0), r.scenario(float64(r.n)), r.unit) }

func timeTicks(lo, hi, unit float64) axis {
	word, step := "seconds", niceStep((hi-lo)/12)
	switch unit {
	case 60:
		word = "minutes"
		for _, step = range []float64{5, 10, 15, 30} { // as a clock's face is divided
			if (hi-lo)/step <= 12 {
				break
			}
		}
	case 3600:
		word, step = "hours", niceStep((hi-lo)/9)
	}
	a := axis{label: word + " after the opening (scenario time)", min: lo, max: hi}
	for i := math.Ceil(lo/step - 1e-9); i*step <= hi+1e-9*step && len(a.ticks) < 40; i++ {
		a.ticks = append(a.ticks, tick(i*step, number(i*step, step)))
	}
	return a
}

// over is a panel over time, with windows and the moments of the evening.
func (r *run) over(title string, height float64) *panel {
	rec := r.rec
	p := &panel{title: clean(title, 80), height: points(height), x: r.timeAxis()}
	for _, w := range rec.Header.Windows {
		p.spans = append(p.spans, span{clean(w.Name, 24), w.From.Seconds() / r.unit, w.To.Seconds() / r.unit})
	}
	if p.x.min < 0 && p.x.max > 0 {
		p.marks = append(p.marks, mark{0, "opening", inkSoft, nil})
	}
	for _, m := range []struct{ name, label string }{{record.MarkSoldOut, "stock gone"}, {record.MarkLastConfirmed, "last row written"}} {
		if at, ok := rec.Marks[m.name]; ok {
			t := r.scenario(at.Seconds())
			// On an axis of hours they stand on the opening's own line; its figures have them.
			if _, _, ok := openingOf(rec); ok && math.Abs(t) < (p.x.max-p.x.min)/100 {
				continue
			}
			p.marks = append(p.marks, mark{t, m.label + " " + r.moment(t), purpleInk, dashed})
		}
	}
	return p
}

// moment writes a place on the time axis: to a tenth of a second near the opening,
// of a minute far from it.
func (r *run) moment(t float64) string {
	if s := t * r.unit; r.unit == 1 || math.Abs(s) < 120 {
		return number(s, 0.1) + " s"
	}
	return number(t*r.unit/60, 0.1) + " min"
}

// binNote says in a caption what a point of a long run stands for.
func (r *run) binNote() string {
	if r.w == 1 {
		return ""
	}
	return " Each point is the mean over " + seconds(float64(r.w)*r.k) + ", so a single second may lie higher."
}

// stack lays panels that share the time axis under each other: only the last one
// labels it, only the first one names the moments.
func stack(ps ...*panel) []*panel {
	ps = slices.DeleteFunc(ps, func(p *panel) bool { return p == nil })
	for i, p := range ps {
		p.x.bare = i < len(ps)-1
		p.quiet = i > 0
		if i > 0 {
			for j := range p.spans {
				p.spans[j].name = ""
			}
		}
	}
	return ps
}

// about is the second line of a figure: which run this is.
func about(rec *record.Record) string {
	h := &rec.Header
	s := fmt.Sprintf("%s · %s · %s · seed %d · %s", clean(h.Scenario, 40), clean(h.Mode, 16), clean(h.Label, 16), h.Seed, scaleText(h))
	if h.Partial {
		s += " · PARTIAL: the run was interrupted"
	}
	if h.Saturated {
		s += " · the generator could not keep up"
	}
	return s
}

func scaleText(h *record.Header) string {
	s := "people 1:1"
	if h.People > 0 && finite(h.People) && h.People != 1 {
		s = "people 1:" + short(1/h.People)
	}
	if k := timeScale(h); k != 1 {
		s += ", time × " + short(k)
	} else {
		s += ", real time"
	}
	return s
}

func sum(c []uint64) (n uint64) {
	for _, v := range c {
		n += v
	}
	return n
}

func top(lists ...[]float64) float64 {
	m := 0.0
	for _, l := range lists {
		for _, v := range l {
			if finite(v) {
				m = max(m, v)
			}
		}
	}
	return m
}

// extent is the smallest and largest positive value; ok is false without any.
func extent(lists ...[]float64) (lo, hi float64, ok bool) {
	for _, l := range lists {
		for _, v := range l {
			if !finite(v) || v <= 0 {
				continue
			}
			if !ok || v < lo {
				lo = v
			}
			hi, ok = max(hi, v), true
		}
	}
	return lo, hi, ok
}
