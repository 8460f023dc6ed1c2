package plot

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"spillway/internal/booking"
	"spillway/internal/record"
)

// Metric is one number that a sweep or a comparison is judged by.
type Metric struct {
	Name  string // stable, for tables and files: "sold-out.at"
	Label string // what it is, for people
	Unit  string // of the value: "s", "ms", "%", "×", "entries"
	// Of is the metric of one record. ok is false when the record does not have it
	// or its samples cannot carry it.
	Of func(*record.Record) (v float64, ok bool)
	// Coarser names the metric to show instead where Of cannot tell; "" = none.
	Coarser string
}

// Title is the label with the unit.
func (m Metric) Title() string { return m.Label + " (" + m.Unit + ")" }

// Metrics lists every metric. Durations and moments are scenario time; depth is
// scaled up to full size, so that runs of different scale compare.
func Metrics() []Metric {
	waited := []string{booking.Confirmed.String()}
	yes := []string{booking.Queued.String(), booking.Confirmed.String()}
	ms := []Metric{
		{Name: "sold-out.at", Label: "Stock gone after", Unit: "s", Of: soldOut},
		quantile("wait.p50", "Accepted to written, p50", "s", 1, record.SpanLedger, waited, 0.5, ""),
		quantile("wait.p90", "Accepted to written, p90", "s", 1, record.SpanLedger, waited, 0.9, "wait.p50"),
		quantile("wait.p99", "Accepted to written, p99", "s", 1, record.SpanLedger, waited, 0.99, "wait.p90"),
		quantile("booking.p50", "First press to confirmed, p50", "s", 1, record.SpanBooking, waited, 0.5, ""),
		quantile("booking.p90", "First press to confirmed, p90", "s", 1, record.SpanBooking, waited, 0.9, "booking.p50"),
		quantile("booking.p99", "First press to confirmed, p99", "s", 1, record.SpanBooking, waited, 0.99, "booking.p90"),
		{Name: "refusals", Label: "Busy or shed answers per booking", Unit: "×", Of: refusalsPerBooking},
		{Name: "gave-up.gate", Label: "Gave up at the gate, of form visits", Unit: "%", Of: gaveUpAtGate},
		{Name: "gave-up", Label: "Gave up, of visits that tried", Unit: "%", Of: gaveUp},
		{Name: "gateway.load", Label: "Peak load of the gateways", Unit: "×", Of: peakLoad},
		quantile("submit.p50", "Accepted submit, p50", "ms", 1e3, booking.StepSubmit.String(), yes, 0.5, ""),
		quantile("submit.p90", "Accepted submit, p90", "ms", 1e3, booking.StepSubmit.String(), yes, 0.9, "submit.p50"),
		quantile("submit.p99", "Accepted submit, p99", "ms", 1e3, booking.StepSubmit.String(), yes, 0.99, "submit.p90"),
		quantile("status.p99", "Status call, p99", "ms", 1e3, booking.StepStatus.String(), nil, 0.99, ""),
		{Name: "first-tenth", Label: "Won by the first tenth of pressers", Unit: "%", Of: firstTenth},
		{Name: "depth-at-risk", Label: "Peak depth, full-size", Unit: "entries", Of: depthAtRisk},
		{Name: "amplification", Label: "Retry amplification, worst second", Unit: "×", Of: amplification},
		{Name: "timeouts", Label: "Requests timed out or failed", Unit: "%", Of: timeouts},
		{Name: "confirmed.share", Label: "Stock confirmed", Unit: "%", Of: confirmedShare},
	}
	return ms
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

func quantile(name, label, unit string, scale float64, span string, outcomes []string, q float64, coarser string) Metric {
	return Metric{Name: name, Label: label, Unit: unit, Coarser: coarser, Of: func(rec *record.Record) (float64, bool) {
		h := rec.Merged(record.Select{Span: span, Clock: clockOf(rec, span), Outcomes: outcomes})
		if h.Count() == 0 || !record.Carries(q, h.Count()) {
			return 0, false
		}
		return h.Quantile(q).Seconds() * timeScale(&rec.Header) * scale, true
	}}
}

func soldOut(rec *record.Record) (float64, bool) {
	at, ok := rec.Marks[record.MarkSoldOut]
	return rec.Header.From.Seconds() + at.Seconds()*timeScale(&rec.Header), ok
}

// confirmed is how many reservations stand: rows written where the backend says
// so, else the visits that saw a confirmation.
func confirmed(rec *record.Record) (float64, bool) {
	if v, ok := rec.MaxSample(record.SampleWritten); ok && finite(v) {
		return v, true
	}
	n := rec.Stage(record.StageConfirmed, true)
	return float64(n), n > 0 || len(rec.Groups) > 0
}

func share(num, den float64) (float64, bool) {
	if den <= 0 || !finite(num) || !finite(den) {
		return 0, false
	}
	return num / den, true
}

func percent(num, den float64) (float64, bool) {
	v, ok := share(num, den)
	return 100 * v, ok
}

// answers counts the requests of all steps that ended in one of the outcomes; with
// none named, all.
func answers(rec *record.Record, outcomes ...booking.Outcome) float64 {
	clocks := map[string]record.Clock{}
	for _, s := range booking.Steps() {
		clocks[s] = clockOf(rec, s)
	}
	var n uint64
	for k, h := range rec.Hists {
		if c := clocks[k.Span]; c == 0 || k.Clock != c {
			continue
		}
		if len(outcomes) == 0 || slices.ContainsFunc(outcomes, func(o booking.Outcome) bool { return o.String() == k.Outcome }) {
			n += h.Count()
		}
	}
	return float64(n)
}

func refusalsPerBooking(rec *record.Record) (float64, bool) {
	n, ok := confirmed(rec)
	if !ok || answers(rec) == 0 {
		return 0, false
	}
	return share(answers(rec, booking.Busy, booking.Shed), n)
}

func gaveUpAtGate(rec *record.Record) (float64, bool) {
	return percent(float64(rec.Final("gave-up-at-gate", false)), float64(rec.Stage(record.StageForm, false)))
}

func gaveUp(rec *record.Record) (float64, bool) {
	var n uint64
	for _, g := range rec.Groups {
		for name, c := range g.Finals {
			if g.Name != record.GroupBots && strings.HasPrefix(name, "gave-up") {
				n += c
			}
		}
	}
	return percent(float64(n), float64(rec.Stage(record.StageBooks, false)))
}

func peakLoad(rec *record.Record) (float64, bool) {
	v, ok := rec.MaxSample(record.SampleGatewayLoad)
	return v, ok && finite(v)
}

func firstTenth(rec *record.Record) (float64, bool) {
	var all uint64
	for _, d := range rec.Deciles {
		all += d.Confirmed
	}
	if len(rec.Deciles) != 10 {
		return 0, false
	}
	return percent(float64(rec.Deciles[0].Confirmed), float64(all))
}

func depthAtRisk(rec *record.Record) (float64, bool) {
	v, ok := rec.MaxSample(record.SampleQueueDepth)
	if !ok || !finite(v) || !(rec.Header.People > 0) {
		return 0, false
	}
	return v / rec.Header.People, true
}

// amplification is requests over first tries in the worst second of those with at
// least twenty first tries: in an emptier one a single visitor decides.
func amplification(rec *record.Record) (worst float64, ok bool) {
	all, first := rec.Counters[record.CountRequests], rec.Counters[record.CountFirstTries]
	for i := range min(len(all), len(first)) {
		if first[i] >= 20 {
			worst, ok = max(worst, float64(all[i])/float64(first[i])), true
		}
	}
	return worst, ok
}

func timeouts(rec *record.Record) (float64, bool) {
	return percent(answers(rec, booking.Timeout, booking.Failed, booking.Unsent), answers(rec))
}

func confirmedShare(rec *record.Record) (float64, bool) {
	n, ok := confirmed(rec)
	if !ok {
		return 0, false
	}
	return percent(n, rec.Header.Capacity["stock.reservations"])
}

// RunPoint is one point of a sweep: its settings and its runs, a record a seed.
type RunPoint struct {
	Settings []record.Setting
	Records  []*record.Record
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
			out = append(out, RunPoint{Settings: slices.Clone(rec.Header.Vary)})
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
	Lo, Hi float64 // 95 % t-interval of the mean from three seeds on, else smallest and largest
	T      bool    // Lo and Hi are a t-interval
}

// Of is the spread of a metric over the point's seeds; ok is false when none of
// them can tell.
func (p RunPoint) Of(m Metric) (s Spread, ok bool) {
	var vs []float64
	for _, rec := range p.Records {
		if v, ok := m.Of(rec); ok && finite(v) {
			vs = append(vs, v)
		}
	}
	if len(vs) == 0 {
		return Spread{}, false
	}
	s = Spread{N: len(vs), Lo: slices.Min(vs), Hi: slices.Max(vs)}
	for _, v := range vs {
		s.Mean += v / float64(len(vs))
	}
	if len(vs) >= 3 {
		var sq float64
		for _, v := range vs {
			sq += (v - s.Mean) * (v - s.Mean)
		}
		half := student(len(vs)-1) * math.Sqrt(sq/float64(len(vs)-1)/float64(len(vs)))
		s.Lo, s.Hi, s.T = s.Mean-half, s.Mean+half, true
	}
	return s, true
}

// student is the 97.5 % quantile of Student's t, from the usual table; between its
// rows the wider value holds.
func student(df int) float64 {
	table := []float64{12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
		2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
		2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042}
	switch {
	case df < 1:
		return math.Inf(1)
	case df <= len(table):
		return table[df-1]
	case df < 60:
		return table[len(table)-1]
	case df < 120:
		return 2.000
	}
	return 1.980
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
