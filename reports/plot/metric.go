package plot

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"spillway/internal/booking"
	"spillway/internal/record"
	"spillway/reports"
)

// Metric is one number that a sweep or a comparison is judged by.
type Metric struct {
	Name  string // stable, for tables and files: "sold-out.at"
	Label string // what it is, for people
	Unit  string // of the value: "s", "ms", "%", "×", "entries"
	// Of is the metric of one record. ok is false when the record does not have it
	// or its samples cannot carry it.
	Of func(*record.Record) (v float64, ok bool)
	// Share says that a run has the metric or not, 100 or 0: over several seeds it is
	// a share of them, with Wilson's interval.
	Share bool
	// pool is the metric of several records' samples together, for percentiles that
	// those of a single one cannot carry; nil = there is no such thing.
	pool func([]*record.Record) (v float64, ok bool)
	// Coarser names the metric to show instead where Of cannot tell; "" = none.
	Coarser string
}

// Title is the label with the unit.
func (m Metric) Title() string { return m.Label + " (" + m.Unit + ")" }

// Metrics lists every metric. Durations and moments are scenario time; depth is
// scaled up to full size, so that runs of different scale compare. What package
// reports measures too is measured there.
func Metrics() []Metric {
	submit, status := booking.StepSubmit.String(), booking.StepStatus.String()
	yes := []booking.Outcome{booking.Queued, booking.Confirmed}
	metric := func(name, label, unit string, scale float64, of func(*record.Record) reports.Value, coarser string) Metric {
		return Metric{Name: name, Label: label, Unit: unit, Coarser: coarser, Of: func(rec *record.Record) (float64, bool) {
			v := of(rec)
			return v.V * scale, v.OK && finite(v.V)
		}}
	}
	// A percentile of the seconds that a span took, in wanted outcomes or in any.
	quantile := func(name, label, unit string, scale float64, span string, q float64, coarser string, outcomes ...booking.Outcome) Metric {
		var names []string
		for _, o := range outcomes {
			names = append(names, o.String())
		}
		of := func(recs ...*record.Record) reports.Value {
			h := &record.Hist{}
			for _, r := range recs {
				h.Merge(reports.Response(r, span, names, nil))
			}
			return reports.Quantile(recs[0], h, q)
		}
		m := metric(name, label, unit, scale, func(rec *record.Record) reports.Value { return of(rec) }, coarser)
		m.pool = func(recs []*record.Record) (float64, bool) {
			if slices.ContainsFunc(recs, func(r *record.Record) bool { return r.Header.TimeScale != recs[0].Header.TimeScale }) {
				return 0, false // their seconds are not of one length
			}
			v := of(recs...)
			return v.V * scale, v.OK && finite(v.V)
		}
		return m
	}
	return []Metric{
		metric("sold-out.at", "Stock gone after", "s", 1, reports.SoldOut, ""),
		quantile("wait.p50", "Accepted to written, p50", "s", 1, record.SpanLedger, 0.5, ""),
		quantile("wait.p90", "Accepted to written, p90", "s", 1, record.SpanLedger, 0.9, "wait.p50"),
		quantile("wait.p99", "Accepted to written, p99", "s", 1, record.SpanLedger, 0.99, "wait.p90"),
		quantile("booking.p50", "First press to confirmed, p50", "s", 1, record.SpanBooking, 0.5, "", booking.Confirmed),
		quantile("booking.p90", "First press to confirmed, p90", "s", 1, record.SpanBooking, 0.9, "booking.p50", booking.Confirmed),
		quantile("booking.p99", "First press to confirmed, p99", "s", 1, record.SpanBooking, 0.99, "booking.p90", booking.Confirmed),
		metric("refusals", "Busy or shed submits per booking", "×", 1, reports.RefusedPerBooking, ""),
		metric("gave-up.gate", "Gave up at the gate, of form visits", "%", 100, gaveUpAtGate, ""),
		metric("gave-up", "Gave up, of visits that tried", "%", 100, reports.GaveUp, ""),
		metric("gateway.load", "Peak load of the gateways", "×", 1, reports.GatewayLoad, ""),
		quantile("submit.p50", "Accepted submit, p50", "ms", 1e3, submit, 0.5, "", yes...),
		quantile("submit.p90", "Accepted submit, p90", "ms", 1e3, submit, 0.9, "submit.p50", yes...),
		quantile("submit.p99", "Accepted submit, p99", "ms", 1e3, submit, 0.99, "submit.p90", yes...),
		quantile("status.p99", "Status call, p99", "ms", 1e3, status, 0.99, ""),
		metric("first-tenth", "Won by the first tenth of pressers", "%", 100, reports.FirstTenth, ""),
		metric("depth-at-risk", "Peak depth, full size", "entries", 1, depthAtRisk, ""),
		metric("amplification", "Retry amplification, worst second", "×", 1, reports.Amplification, ""),
		metric("timeouts", "Requests timed out", "%", 100, reports.Timeouts, ""),
		metric("confirmed.share", "Stock confirmed", "%", 100, reports.ConfirmedShare, ""),
		{Name: "collapse", Label: "Runs that collapsed", Unit: "%", Share: true, Of: collapsed},
	}
}

// gaveUpAtGate is the share of people's form visits that gave up after a lost press.
func gaveUpAtGate(rec *record.Record) reports.Value {
	forms := rec.Stage(record.StageForm, false)
	if forms == 0 {
		return reports.Value{}
	}
	return reports.Got(float64(rec.Final("gave-up-at-gate", false)) / float64(forms))
}

// collapsed is 100 or 0; a record without a single call cannot tell.
func collapsed(rec *record.Record) (v float64, ok bool) {
	if reports.Collapsed(rec) {
		v = 100
	}
	return v, slices.ContainsFunc(booking.Steps(), func(step string) bool {
		return reports.Response(rec, step, nil, nil).Count() > 0
	})
}

// depthAtRisk is what a lost queue would lose, at full size.
func depthAtRisk(rec *record.Record) reports.Value {
	v := reports.QueueDepth(rec)
	if !v.OK || !(rec.Header.People > 0) {
		return reports.Value{}
	}
	return reports.Got(v.V / rec.Header.People)
}

// MetricByName finds a metric; ok is false when there is none of that name.
func MetricByName(name string) (m Metric, ok bool) {
	ms := Metrics()
	if i := slices.IndexFunc(ms, func(m Metric) bool { return m.Name == name }); i >= 0 {
		return ms[i], true
	}
	return Metric{}, false
}

// sweepNames are the metrics that admission probability and queue depth move, and
// at the end the one that they do not: confirmed is pinned to the stock.
var sweepNames = []string{"sold-out.at", "wait.p50", "wait.p99", "refusals", "gave-up.gate", "first-tenth",
	"gateway.load", "submit.p99", "status.p99", "depth-at-risk", "amplification", "confirmed.share"}

// RunPoint is one point of a sweep: its settings and its runs, a record a seed.
type RunPoint struct {
	Settings []record.Setting
	Records  []*record.Record
	spreads  map[string]*Spread // of what was asked before, by metric; a nil one cannot be told
}

// Points groups records by what the sweep set, in order of first appearance.
func Points(recs []*record.Record) []RunPoint {
	var out []RunPoint
	for _, rec := range recs {
		if rec == nil {
			continue
		}
		i := slices.IndexFunc(out, func(p RunPoint) bool { return slices.Equal(p.Settings, rec.Header.Vary) })
		if i < 0 {
			i = len(out)
			out = append(out, RunPoint{Settings: slices.Clone(rec.Header.Vary), spreads: map[string]*Spread{}})
		}
		out[i].Records = append(out[i].Records, rec)
	}
	return out
}

// Setting is the value of one key as it was written; "" when the point has none.
func (p RunPoint) Setting(key string) string {
	for _, s := range p.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

// X is a setting as a number: durations in seconds, shares in percent, else the
// number itself. ok is false when the point lacks the key or it is no number.
func (p RunPoint) X(key string) (v float64, ok bool) { return settingNumber(p.Setting(key)) }

func settingNumber(s string) (float64, bool) {
	s = strings.TrimSpace(s)
	if d, err := time.ParseDuration(s); err == nil {
		return d.Seconds(), true
	}
	end := strings.LastIndexAny(s, "0123456789.") + 1
	if end == 0 {
		return 0, false
	}
	num, unit := strings.ReplaceAll(strings.ReplaceAll(s[:end], ",", ""), "_", ""), strings.TrimSpace(s[end:])
	if a, b, ratio := strings.Cut(num, ":"); ratio {
		x, err1 := strconv.ParseFloat(a, 64)
		y, err2 := strconv.ParseFloat(b, 64)
		if err1 != nil || err2 != nil || y == 0 {
			return 0, false
		}
		return x / y, finite(x / y)
	}
	v, err := strconv.ParseFloat(num, 64)
	if err != nil || !finite(v) || strings.ContainsAny(unit, "0123456789") {
		return 0, false
	}
	return v, true
}

// Near reports whether any run of the point was predicted within two standard
// deviations of the tipping line, where a scale model is a coin toss.
func (p RunPoint) Near() bool {
	return slices.ContainsFunc(p.Records, func(r *record.Record) bool { return math.Abs(r.Header.Margin) < 2 })
}

// Spread is what the seeds of a point say of one metric.
type Spread struct {
	N      int     // seeds that could tell
	Mean   float64 //
	Lo, Hi float64 // 95 % t-interval of the mean from three seeds on, else smallest and largest; of a share Wilson's; NaN = none
	T      bool    // Lo and Hi are a t-interval
	Pooled bool    // no seed's samples carry it, all of theirs together do; the interval is that of leaving one out
}

// Of is the spread of a metric over the point's seeds; ok is false when they
// cannot tell.
func (p RunPoint) Of(m Metric) (s Spread, ok bool) {
	was, known := p.spreads[m.Name]
	if !known {
		if s, ok := p.of(m); ok {
			was = &s
		}
		if p.spreads != nil {
			p.spreads[m.Name] = was
		}
	}
	if was == nil {
		return Spread{}, false
	}
	return *was, true
}

func (p RunPoint) of(m Metric) (s Spread, ok bool) {
	var vs []float64
	for _, rec := range p.Records {
		if v, ok := m.Of(rec); ok && math.Abs(v) < 1e150 { // beyond it squares overflow
			vs = append(vs, v)
		}
	}
	// The seeds that could tell are those with the most samples: their mean would be
	// of another crowd than the rest.
	if len(vs) < len(p.Records) && m.pool != nil {
		if pooled, ok := p.pooled(m); ok {
			return pooled, true
		}
	}
	if len(vs) == 0 {
		return Spread{}, false
	}
	s = Spread{N: len(vs), Lo: slices.Min(vs), Hi: slices.Max(vs)}
	for _, v := range vs {
		s.Mean += v / float64(len(vs))
	}
	switch {
	case m.Share:
		lo, hi := reports.Wilson(uint64(math.Round(s.Mean/100*float64(len(vs)))), uint64(len(vs)))
		s.Lo, s.Hi = 100*lo, 100*hi
	case len(vs) >= 3:
		s.Lo, s.Hi = interval(vs, s.Mean, 1/float64(len(vs)))
		s.T = true
	}
	return s, true
}

// pooled is a metric of all seeds' samples together. Its interval comes from leaving
// out one seed at a time (the jackknife): the spread of those values, which share
// all seeds but one, times n-1.
func (p RunPoint) pooled(m Metric) (s Spread, ok bool) {
	n := len(p.Records)
	s = Spread{N: n, Lo: nan, Hi: nan, Pooled: true}
	if n < 2 {
		return s, false
	}
	if s.Mean, ok = m.pool(p.Records); !ok {
		return s, false
	}
	var vs []float64
	mean := 0.0
	for i := range p.Records {
		rest := slices.Concat(p.Records[:i], p.Records[i+1:])
		if v, ok := m.pool(rest); ok {
			vs = append(vs, v)
			mean += v / float64(n)
		}
	}
	if n >= 3 && len(vs) == n {
		lo, hi := interval(vs, mean, float64(n-1)*float64(n-1)/float64(n))
		s.Lo, s.Hi, s.T = s.Mean-(mean-lo), s.Mean+(hi-mean), true
	}
	return s, true
}

// interval is the t-interval around a mean whose variance is a factor times that of
// the values.
func interval(vs []float64, mean, factor float64) (lo, hi float64) {
	var sq float64
	for _, v := range vs {
		sq += (v - mean) * (v - mean)
	}
	half := reports.Student(len(vs)-1) * math.Sqrt(factor*sq/float64(len(vs)-1))
	return mean - half, mean + half
}

// telling is the metric itself, or the coarser one that at least half of the
// points can tell. ok is false when no point can tell any.
func telling(m Metric, points []RunPoint) (Metric, bool) {
	for {
		n := 0
		for _, p := range points {
			if _, ok := p.Of(m); ok {
				n++
			}
		}
		if 2*n >= len(points) && n > 0 {
			return m, true
		}
		next, ok := MetricByName(m.Coarser)
		if !ok {
			return m, n > 0
		}
		m = next
	}
}
