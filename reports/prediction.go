package reports

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"spillway/internal/booking"
	"spillway/internal/record"
)

// The goal that predictions are held to, away from the tipping line.
const (
	GoalMedian = 0.10 // of the errors of all figures, at most
	GoalWorst  = 0.25 // any error, at most
)

// nearLine is the distance to the tipping line, in σ, below which a prediction is
// no better than a coin.
const nearLine = 2

// Predicted is one figure of a prediction held against its measurement.
type Predicted struct {
	Name      string  `json:"name"`
	Label     string  `json:"label"`
	Unit      Unit    `json:"-"`
	Predicted Value   `json:"predicted"`     // the mean, where several evenings were simulated
	From      Value   `json:"predicted_low"` // 95 % prediction interval of one evening; n/a of a single simulation
	To        Value   `json:"predicted_high"`
	Measured  Value   `json:"measured"`
	Low       Value   `json:"low"` // 95 % interval of the measured figure; n/a where none applies
	High      Value   `json:"high"`
	Interval  string  `json:"interval"` // which interval, or why there is none
	N         float64 `json:"n"`        // events behind the measured figure
	Error     Value   `json:"error"`    // predicted / measured - 1
	Counts    bool    `json:"counts"`   // the error is held to the goal
	// Slack is how far prediction and measurement may lie apart by chance alone, 95 %
	// and as a share of the measured: sampling, the luck of the evening, and what the
	// machine adds to calls of milliseconds. Where it exceeds the goal an error says
	// nothing by itself, and is held to it only beyond three standard errors.
	Slack  Value  `json:"slack"`
	Within bool   `json:"within_slack"` // the slack exceeds the goal, and explains the error
	Why    string `json:"why,omitempty"`
}

// Prediction is a prediction held against a measurement.
type Prediction struct {
	Schema   int         `json:"schema"`
	Name     string      `json:"name"`
	Seeds    [2]uint64   `json:"seeds"`    // of prediction, the first of several, and measurement
	Evenings int         `json:"evenings"` // simulated; the prediction is their mean
	Margin   Value       `json:"margin"`   // to the tipping line, in σ; n/a = not predicted
	Near     bool        `json:"too_close_to_call"`
	Figures  []Predicted `json:"figures"`
	Errors   Errors      `json:"errors"`
}

// Errors sums up the errors that count.
type Errors struct {
	N        int    `json:"n"`
	Median   Value  `json:"median"`
	Worst    Value  `json:"worst"`
	WorstOf  string `json:"worst_of,omitempty"`
	Within   int    `json:"within_slack"` // figures whose slack exceeds the goal and explains the error
	Uncalled int    `json:"not_counted"`  // other figures that do not count, see Predicted.Why
}

// Met reports whether the goal is met: there are errors, and none is too large.
func (e Errors) Met() bool {
	return e.N > 0 && e.Median.V <= GoalMedian && e.Worst.V <= GoalWorst
}

// Text is the errors and the goal on one line.
func (e Errors) Text() string {
	if e.N == 0 {
		return "no figure could be judged"
	}
	verdict := "met"
	if !e.Met() {
		verdict = "missed"
	}
	text := fmt.Sprintf("median error %s, worst %s (%s), of %d figures; goal %s and %s: %s", percent(e.Median.V), percent(e.Worst.V),
		oneLine(e.WorstOf), e.N, percent(GoalMedian), percent(GoalWorst), verdict)
	if e.Within > 0 {
		text += fmt.Sprintf("; %d more differ by no more than chance, which alone exceeds %s", e.Within, percent(GoalWorst))
	}
	return text
}

func percent(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) }

// ErrNoPair says that two records are no prediction and measurement of one run.
var ErrNoPair = errors.New("not a prediction and a measurement of the same run")

// leastEvents is what a figure needs behind it to be held to the goal as it is: with
// fewer than 62 events the 95 % interval of a count is wider than the ±25 % that the
// worst error may be.
const leastEvents = 62

// beyondChance is how many 95 % half-widths an error whose slack exceeds the goal may
// be: three standard errors, since one run in twenty lies beyond the interval itself.
const beyondChance = 3 / 1.96

// compared is one figure of the list: its value, the events behind it and its
// interval.
type compared struct {
	name, label string
	unit        Unit
	of          func(*record.Record) Value
	interval    func(r *record.Record, v float64) (low, high, n float64, kind string)
	quantile    float64 // of a call's response time, which the machine's noise is part of; 0 = of none
}

// Predict holds the prediction in sim against the measurement in attack. Both must
// be of one scenario, scale and window.
func Predict(name string, sim, attack *record.Record) (Prediction, error) {
	return PredictBy(name, []*record.Record{sim}, attack)
}

// PredictBy holds several simulations of one run against its measurement: evenings
// that differ in nothing but luck, such as other visitors or another moment of the
// writer's beat. The prediction is their mean, and they say how far one evening may
// lie from it.
func PredictBy(name string, sims []*record.Record, attack *record.Record) (Prediction, error) {
	for _, sim := range sims {
		if err := paired(sim, attack); err != nil {
			return Prediction{}, err
		}
	}
	if len(sims) == 0 {
		return Prediction{}, fmt.Errorf("%w: nothing was simulated", ErrNoPair)
	}
	sim, b := sims[0], &attack.Header
	p := Prediction{Schema: 2, Name: name, Seeds: [2]uint64{sim.Header.Seed, b.Seed}, Evenings: len(sims), Margin: Got(b.Margin)}
	if p.Name == "" {
		p.Name = b.Scenario
	}
	p.Near = math.Abs(b.Margin) < nearLine // NaN, not predicted, is not near
	for _, c := range comparedFigures(append(slices.Clone(sims), attack)...) {
		f := Predicted{Name: c.name, Label: c.label, Unit: c.unit, Measured: c.of(attack)}
		halfP := f.predict(c, sims)
		if !f.Predicted.OK && !f.Measured.OK {
			continue
		}
		var halfM float64
		if f.Measured.OK {
			var low, high float64
			if low, high, f.N, f.Interval = c.interval(attack, f.Measured.V); high > 0 {
				f.Low, f.High = Got(low), Got(high)
				halfM = (high - low) / 2
			}
		}
		switch {
		case p.Near:
			f.Why = "too close to call"
		case f.Measured.Unsure || f.Predicted.Unsure:
			f.Why = "too few samples for the percentile"
		case !f.Measured.OK:
			f.Why = "predicted, but not measured"
		case !f.Predicted.OK:
			f.Why = "measured, but not predicted"
		case f.Measured.V == 0:
			f.Why = "measured 0"
		default:
			f.Error = Got(f.Predicted.V/f.Measured.V - 1)
			switch {
			case len(sims) >= leastEvenings && sim.Header.Seed != b.Seed:
				halfM = 0 // an evening's own sampling is in the spread of the evenings
			case sim.Header.Seed != b.Seed: // the one simulation is a sample too
				if low, high, _, _ := c.interval(sim, f.Predicted.V); high > 0 {
					halfP = (high - low) / 2
				}
			}
			half := math.Hypot(math.Hypot(halfM, halfP), c.noise(sim, attack))
			f.Slack = Got(half / math.Abs(f.Measured.V))
			wide := f.Slack.V > GoalWorst || f.N < leastEvents
			f.Within = wide && half > 0 && math.Abs(f.Predicted.V-f.Measured.V) <= beyondChance*half
			f.Counts = !wide || half > 0 && !f.Within
			switch {
			case f.Within:
				f.Why = "no more than chance"
			case !f.Counts:
				f.Why = "too few events to count"
			}
		}
		p.Figures = append(p.Figures, f)
	}
	p.Errors = Summed(p)
	return p, nil
}

// leastEvenings is how many simulations are needed for an interval of one evening.
const leastEvenings = 3

// predict fills in what the simulations say, and returns the 95 % half-width of one
// evening around their mean; 0 where they are too few.
func (f *Predicted) predict(c compared, sims []*record.Record) (half float64) {
	var vs []float64
	for _, sim := range sims {
		v := c.of(sim)
		if !v.OK {
			f.Predicted.Unsure = f.Predicted.Unsure || v.Unsure
			continue
		}
		vs = append(vs, v.V)
	}
	if len(vs) == 0 || f.Predicted.Unsure {
		return 0
	}
	n := float64(len(vs))
	var mean, sq float64
	for _, v := range vs {
		mean += v / n
	}
	for _, v := range vs {
		sq += (v - mean) * (v - mean)
	}
	f.Predicted = Got(mean)
	if len(vs) < leastEvenings {
		return 0
	}
	half = Student(len(vs)-1) * math.Sqrt(sq/(n-1)*(1+1/n))
	f.From, f.To = Got(mean-half), Got(mean+half)
	return half
}

// noise is how far the machine may be from what the simulation takes it for: in the
// same percentile the generator's lateness, which is in every measured response time,
// and the difference in the one call that needs no service, an object from the edge.
// It is full size and 0 for what is no call's response time.
func (c compared) noise(sim, attack *record.Record) float64 {
	if c.quantile == 0 {
		return 0
	}
	late := Quantile(attack, attack.Merged(record.Select{Span: record.SpanLateness, Clock: record.Response}), c.quantile).V
	at := func(r *record.Record) Value {
		return Quantile(r, Response(r, booking.StepConfig.String(), nil, nil), c.quantile)
	}
	a, b := at(sim), at(attack)
	if !a.OK || !b.OK {
		return late
	}
	return math.Hypot(a.V-b.V, late)
}

// paired says why two records are no prediction and measurement of one run.
func paired(sim, attack *record.Record) error {
	a, b := &sim.Header, &attack.Header
	switch {
	case a.Scenario != b.Scenario:
		return fmt.Errorf("%w: scenario %s is predicted and %s was measured", ErrNoPair, short(a.Scenario, 40), short(b.Scenario, 40))
	case a.People != b.People, a.TimeScale != b.TimeScale:
		return fmt.Errorf("%w: predicted at %s, ×%g and measured at %s, ×%g; simulate at the measured scale (--scale, --time)",
			ErrNoPair, Thinning(a.People), a.TimeScale, Thinning(b.People), b.TimeScale)
	case a.From != b.From, a.To != b.To:
		return fmt.Errorf("%w: predicted from %v to %v and measured from %v to %v; simulate the measured window (--window opening)", ErrNoPair, a.From, a.To, b.From, b.To)
	case a.Digest != b.Digest:
		return fmt.Errorf("%w: the scenarios of that name differ; simulate with the settings of the measured run (--set)", ErrNoPair)
	case a.Partial, b.Partial:
		return fmt.Errorf("%w: one of them was interrupted", ErrNoPair)
	case b.Saturated:
		return fmt.Errorf("%w: the generator of the measured run lagged", ErrNoPair)
	}
	return nil
}

// Summed sums up the errors of several predictions.
func Summed(ps ...Prediction) Errors {
	var e Errors
	var all []float64
	for _, p := range ps {
		for _, f := range p.Figures {
			switch {
			case f.Within:
				e.Within++
				continue
			case !f.Counts:
				e.Uncalled++
				continue
			}
			v := math.Abs(f.Error.V)
			if len(all) == 0 || v > e.Worst.V {
				e.Worst, e.WorstOf = Got(v), f.Label
				if len(ps) > 1 {
					e.WorstOf += ", " + p.Name
				}
			}
			all = append(all, v)
		}
	}
	slices.Sort(all)
	if e.N = len(all); e.N > 0 {
		e.Median = Got((all[(e.N-1)/2] + all[e.N/2]) / 2)
	}
	return e
}

// comparedFigures is the one list of what a prediction is held to, in the order of
// a table: throughput, refusals, response times, the queue, the sale, retries.
// Refusals are those that either record has.
func comparedFigures(rs ...*record.Record) []compared {
	length := func(r *record.Record) float64 { return (r.Header.To - r.Header.From).Seconds() / r.Header.TimeScale }
	rate := func(name, label string, n func(*record.Record) float64) compared {
		return compared{name, label, Factor, func(r *record.Record) Value { return Got(n(r) / length(r)) },
			func(r *record.Record, v float64) (float64, float64, float64, string) {
				k := n(r)
				low, high := poisson(k)
				return low / length(r), high / length(r), k, "Poisson"
			}, 0}
	}
	counter := func(name string) func(*record.Record) float64 {
		return func(r *record.Record) (n float64) {
			for _, c := range r.Counters[name] {
				n += float64(c)
			}
			return n
		}
	}
	out := []compared{
		rate("requests.rate", "requests/s of the run, polls excluded", counter(record.CountRequests)),
		rate("submits.rate", "submits/s of the run", counter(record.CountOffered)),
	}
	if slices.ContainsFunc(rs, func(r *record.Record) bool {
		return r.Header.Capacity["ledger.rows/s"] > 0 || r.Header.Capacity["ledger.units/s"] > 0
	}) {
		out = append(out, rate("confirmed.rate", "bookings confirmed/s of the run", func(r *record.Record) float64 { return Confirmed(r).V }))
	}
	for _, name := range booking.Outcomes() {
		o, err := booking.ParseOutcome(name)
		lost := o == booking.Timeout || o == booking.Failed || o == booking.Unsent
		if err != nil || !o.Refusal() && !lost && o != booking.Closed {
			continue
		}
		n := func(r *record.Record) (n, all float64) {
			for _, s := range booking.Steps() {
				n, all = n+float64(outcomes(r, s, name)), all+float64(outcomes(r, s))
			}
			return n, all
		}
		if !slices.ContainsFunc(rs, func(r *record.Record) bool { k, _ := n(r); return k > 0 }) {
			continue
		}
		out = append(out, compared{"share." + name, name + ", of answers", fine,
			func(r *record.Record) Value { k, all := n(r); return Got(k / all) },
			func(r *record.Record, v float64) (float64, float64, float64, string) {
				k, all := n(r)
				low, high := wilson(k, all)
				return low, high, k, "binomial (Wilson)"
			}, 0})
	}
	for _, x := range []struct {
		span, label string
		outcomes    []booking.Outcome
	}{
		{"status", "status, open", []booking.Outcome{booking.Open}},
		{"check", "check, open", []booking.Outcome{booking.Open}},
		{"submit", "submit, accepted", []booking.Outcome{booking.Queued, booking.Confirmed}},
		{record.SpanLedger, "accepted to written", nil},
		{record.SpanBooking, "first press to confirmed", []booking.Outcome{booking.Confirmed}},
	} {
		hist := func(r *record.Record) *record.Hist {
			var names []string
			for _, o := range x.outcomes {
				names = append(names, o.String())
			}
			return Response(r, x.span, names, nil)
		}
		for _, q := range []struct {
			name string
			q    float64
		}{{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}} {
			call := q.q // beside whole bookings and the queue the machine's noise is nothing
			if x.span == record.SpanLedger || x.span == record.SpanBooking {
				call = 0
			}
			out = append(out, compared{x.span + "." + q.name, x.label + ", " + q.name, Seconds,
				func(r *record.Record) Value { return Quantile(r, hist(r), q.q) },
				func(r *record.Record, v float64) (float64, float64, float64, string) {
					h := hist(r)
					low, high := orderStatistics(h, q.q)
					return r.Header.ScenarioSpan(low).Seconds(), r.Header.ScenarioSpan(high).Seconds(), float64(h.Count()), "order statistic"
				}, call})
		}
	}
	alone := func(why string, n func(*record.Record) float64) func(*record.Record, float64) (float64, float64, float64, string) {
		return func(r *record.Record, v float64) (float64, float64, float64, string) { return 0, 0, n(r), why }
	}
	out = append(out,
		compared{"queue.depth.max", "peak depth of the queue", Count, QueueDepth,
			alone("none: a maximum of samples", func(r *record.Record) float64 { return float64(len(r.Samples[record.SampleQueueDepth])) }), 0},
		compared{"backlog.max", "peak backlog of the database", Seconds, func(r *record.Record) Value {
			v := scaled(r, record.SampleDatabaseWait)
			if v.V == 0 {
				return Value{}
			}
			return v
		}, alone("none: a maximum of samples", func(r *record.Record) float64 { return float64(len(r.Samples[record.SampleDatabaseWait])) }), 0},
		compared{"sold-out.at", "time to sell-out", Seconds, SoldOut,
			func(r *record.Record, v float64) (float64, float64, float64, string) {
				n := r.Header.Capacity["stock.reservations"]
				if !(n > 0) {
					return 0, 0, 0, "none: the stock is not known"
				}
				return v * (1 - 1.96/math.Sqrt(n)), v * (1 + 1.96/math.Sqrt(n)), n, "Poisson (the stock-th arrival)"
			}, 0},
		compared{"amplification.max", "peak retry amplification", Factor, Amplification,
			func(r *record.Record, v float64) (float64, float64, float64, string) {
				first := worstFirstTries(r)
				// Requests beyond the first tries, as a Poisson count for given first tries.
				more := first * max(v-1, 0)
				low, high := poisson(more)
				return 1 + low/first, 1 + high/first, first, "Poisson (retries of the worst second)"
			}, 0},
	)
	return out
}

// worstFirstTries is the first tries of the second that Amplification is of.
func worstFirstTries(r *record.Record) float64 {
	all, first := r.Counters[record.CountRequests], r.Counters[record.CountFirstTries]
	best, n := 0.0, 0.0
	for i, f := range first {
		if f >= leastFirstTries && i < len(all) {
			if a := float64(all[i]) / float64(f); a > best {
				best, n = a, float64(f)
			}
		}
	}
	return n
}

// poisson is the 95 % interval of the mean of a count (Wilson and Hilferty's
// approximation of the exact one; 0 to 3.69 for 0).
func poisson(n float64) (low, high float64) {
	const z = 1.96
	if n > 0 {
		low = n * math.Pow(1-1/(9*n)-z/(3*math.Sqrt(n)), 3)
	}
	m := n + 1
	return max(low, 0), m * math.Pow(1-1/(9*m)+z/(3*math.Sqrt(m)), 3)
}

// wilson is the 95 % interval of a share k of n.
func wilson(k, n float64) (low, high float64) {
	const z = 1.96
	if !(n > 0) {
		return 0, 1
	}
	p, d := k/n, 1+z*z/n
	mid, half := p+z*z/(2*n), z*math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return max((mid-half)/d, 0), min((mid+half)/d, 1)
}

// orderStatistics is the 95 % interval of a quantile: the samples whose ranks the
// binomial distribution allows, and a histogram's bucket (1/256) to either side.
func orderStatistics(h *record.Hist, q float64) (low, high time.Duration) {
	half := 1.96 * math.Sqrt(q*(1-q)/float64(h.Count()))
	low, high = h.Quantile(max(q-half, 0)), h.Quantile(min(q+half, 1))
	return low - low/256, high + high/256
}

// Table is the prediction as a table, with median and worst error below it.
func (p Prediction) Table() Table {
	t := Table{Title: "Predicted and measured: " + p.Name, Columns: []string{"figure", "predicted", "measured", "95 % of measured", "n", "error", "chance alone", "interval"}}
	if p.Evenings >= leastEvenings {
		t.Columns[1] = "predicted, 95 % of an evening"
	}
	for _, f := range p.Figures {
		row := []string{f.Label, shown(f.Unit, f.Predicted), shown(f.Unit, f.Measured), "–", "–", "", "–", f.Interval}
		if f.To.OK && f.From.V != f.To.V {
			row[1] += " (" + shown(f.Unit, Got(max(f.From.V, 0))) + " to " + shown(f.Unit, f.To) + ")"
		}
		if f.Slack.OK {
			row[6] = "± " + percent(f.Slack.V)
		}
		if f.High.OK {
			row[3] = shown(f.Unit, f.Low) + " to " + shown(f.Unit, f.High)
		}
		if f.Measured.OK {
			row[4] = Count.Format(f.N)
		}
		switch {
		case f.Error.OK && f.Counts:
			row[5] = fmt.Sprintf("%+.1f %%", 100*f.Error.V)
		case f.Error.OK:
			row[5] = fmt.Sprintf("(%+.1f %%)", 100*f.Error.V)
		default:
			row[5] = f.Why
		}
		t.Rows = append(t.Rows, row)
	}
	if p.Near {
		t.Notes = append(t.Notes, fmt.Sprintf("Too close to call: the tipping line is %.1f σ away, a verdict needs %d.", math.Abs(p.Margin.V), nearLine))
	} else {
		t.Notes = append(t.Notes, upper(p.Errors.Text())+".")
		if p.Errors.Uncalled+p.Errors.Within > 0 {
			t.Notes = append(t.Notes, fmt.Sprintf("In brackets: chance alone exceeds %s (sampling, fewer than %d events, the luck of the evening, the machine's own noise as lateness and the edge's calls show it), and the error is within three of its standard errors; not held to the goal.", percent(GoalWorst), leastEvents))
		}
	}
	seeds := fmt.Sprintf("Seeds %d (predicted) and %d (measured)", p.Seeds[0], p.Seeds[1])
	if p.Evenings > 1 {
		seeds = fmt.Sprintf("Predicted: the mean of %d simulated evenings. ", p.Evenings) + seeds
	}
	if p.Seeds[0] == p.Seeds[1] {
		seeds += ": the same visitors come at the same moments, so that luck in the arrivals is no part of the error"
	}
	t.Notes = append(t.Notes, seeds+". Times are full size; response times of people, the generator's lateness is in the measured ones.")
	return t
}

func upper(s string) string {
	if s == "" {
		return s
	}
	return string(s[0]-'a'+'A') + s[1:]
}

// fine is a share with a digit more than Share has.
const fine Unit = 200

func shown(u Unit, v Value) string {
	if u == fine && v.OK {
		return fmt.Sprintf("%.2f %%", 100*v.V)
	}
	return v.Text(u)
}
