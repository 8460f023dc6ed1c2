package gate

import (
	"fmt"
	"math"
	"strings"

	"spillway/internal/booking"
	"spillway/internal/record"
	"spillway/reports"
)

// sigmas is the distance to the tipping line within which no verdict is given:
// P(tip) of a thinned run is then between 2 % and 98 %.
const sigmas = 2

// Status is what became of one objective or invariant.
type Status string

// The statuses.
const (
	Held       Status = "held"
	Missed     Status = "missed"            // an objective
	Broken     Status = "broken"            // an invariant
	CannotTell Status = "cannot tell"       // too few samples, or the run has not what it takes
	TooClose   Status = "too close to call" // within 2σ of the tipping line
)

// Line is one objective, judged.
type Line struct {
	Objective string        `json:"objective"` // as written
	Measured  reports.Value `json:"measured"`  // in the unit's base: seconds, 0..1 for shares; null = cannot tell or n/a
	Limit     float64       `json:"limit"`     // in the same unit
	Samples   uint64        `json:"samples"`   // behind a statistic of a span; 0 elsewhere
	Status    Status        `json:"status"`
	Why       string        `json:"why,omitempty"` // when neither held nor missed
	Shown     string        `json:"shown"`         // measured, for people
}

// Invariant is one invariant, judged.
type Invariant struct {
	Name   string `json:"name"`
	Broken int64  `json:"broken"` // how many times
	Detail string `json:"detail"`
	Status Status `json:"status"`
}

// Result is the verdict in one word.
type Result string

// The results, worst first.
const (
	ResultBroken       Result = "broken"       // an invariant is broken
	ResultInvalid      Result = "invalid"      // the generator lagged
	ResultMissed       Result = "missed"       // an objective is missed
	ResultInconclusive Result = "inconclusive" // the run cannot tell
	ResultHeld         Result = "held"         // everything holds
)

// Verdict is the judgement of one record.
type Verdict struct {
	Schema        int         `json:"schema"` // of this JSON: 1
	Scenario      string      `json:"scenario"`
	Seed          uint64      `json:"seed"`
	Digest        string      `json:"digest"` // of the record
	Result        Result      `json:"result"`
	Reason        string      `json:"reason"`   // one sentence
	Baseline      bool        `json:"baseline"` // shown, does not count
	Code          int         `json:"exit_code"`
	CodeIfCounted int         `json:"exit_code_if_counted"`
	Invalid       []string    `json:"invalid"` // why the run is invalid, one line each
	Objectives    []Line      `json:"objectives"`
	Invariants    []Invariant `json:"invariants"`
}

// Judge judges a record by its own objectives.
func Judge(r *record.Record) Verdict {
	v := Verdict{Schema: 1, Scenario: r.Header.Scenario, Seed: r.Header.Seed, Digest: r.Digest(), Baseline: r.Header.Baseline,
		Invalid: []string{}, Objectives: []Line{}, Invariants: []Invariant{}}
	if r.Header.Saturated {
		v.Invalid = append(v.Invalid, "the generator could not send all that was due in time")
	}
	for _, x := range r.Invariants {
		i := Invariant{x.Name, x.Broken, x.Detail, Held}
		if x.Broken != 0 {
			i.Status = Broken
		}
		v.Invariants = append(v.Invariants, i)
	}
	for _, text := range r.Header.Objectives {
		o, err := record.ParseObjective(text)
		l := Line{Objective: text, Shown: "n/a", Status: CannotTell}
		if err != nil {
			l.Why = "cannot be read: " + err.Error()
		} else {
			l = judge(r, o)
		}
		if l.Status == Missed && o.Kind == record.KindLateness {
			v.Invalid = append(v.Invalid, fmt.Sprintf("the generator's lateness is %s where %s is asked", l.Shown, text))
		}
		v.Objectives = append(v.Objectives, l)
	}
	v.conclude(r)
	return v
}

func (v *Verdict) conclude(r *record.Record) {
	var missed, unsure, broken int
	for _, l := range v.Objectives {
		switch l.Status {
		case Missed:
			missed++
		case CannotTell, TooClose:
			unsure++
		case Broken:
			broken++
		}
	}
	for _, i := range v.Invariants {
		if i.Status == Broken {
			broken++
		}
	}
	whole := ""
	switch h := &r.Header; {
	case h.Partial:
		whole = "the run was interrupted"
	case h.Shards > 1:
		whole = fmt.Sprintf("only %d of %d shards are here", max(len(h.Parts), 1), h.Shards)
	}
	switch {
	case broken > 0:
		v.Result, v.CodeIfCounted = ResultBroken, ExitInvariantBroken
		v.Reason = v.firstBroken()
	case len(v.Invalid) > 0:
		v.Result, v.CodeIfCounted = ResultInvalid, ExitLagged
		v.Reason = "The run proves nothing: " + v.Invalid[0] + "."
	case missed > 0:
		v.Result, v.CodeIfCounted = ResultMissed, ExitObjectiveMissed
		v.Reason = fmt.Sprintf("%d of %d objectives missed: %s.", missed, len(v.Objectives), v.first(Missed))
	case unsure > 0:
		v.Result, v.CodeIfCounted = ResultInconclusive, ExitInconclusive
		v.Reason = fmt.Sprintf("%d of %d objectives cannot be decided: %s.", unsure, len(v.Objectives), v.first(CannotTell, TooClose))
	case whole != "":
		v.Result, v.CodeIfCounted = ResultInconclusive, ExitInconclusive
		v.Reason = "What there is holds, but " + whole + "."
	default:
		v.Result, v.CodeIfCounted = ResultHeld, ExitOK
		v.Reason = fmt.Sprintf("All %d objectives and %d invariants hold.", len(v.Objectives), len(v.Invariants))
		if len(v.Objectives)+len(v.Invariants) == 0 {
			v.Reason = "Nothing was asked of this run."
		}
	}
	v.Code = v.CodeIfCounted
	if v.Baseline {
		v.Code = ExitOK
		v.Reason += " It is a baseline and does not count."
	}
}

// Include takes in the invariants of another run of the set that is judged: a broken
// one counts, whatever that run was made for. name is how a reader knows it.
func (v *Verdict) Include(name string, r *record.Record) {
	broken := false
	for _, x := range r.Invariants {
		if x.Broken != 0 {
			broken = true
			v.Invariants = append(v.Invariants, Invariant{x.Name, x.Broken, name + ": " + x.Detail, Broken})
		}
	}
	if broken && v.Result != ResultBroken {
		v.Result, v.Code, v.CodeIfCounted = ResultBroken, ExitInvariantBroken, ExitInvariantBroken
		v.Reason = v.firstBroken()
	}
}

func (v *Verdict) firstBroken() string {
	for _, i := range v.Invariants {
		if i.Status == Broken {
			return fmt.Sprintf("Invariant %s is broken %d times: %s.", i.Name, i.Broken, i.Detail)
		}
	}
	return "Broken: " + v.first(Broken) + "."
}

func (v *Verdict) first(of ...Status) string {
	for _, l := range v.Objectives {
		for _, s := range of {
			if l.Status == s {
				if l.Why != "" {
					return fmt.Sprintf("%s (%s: %s)", l.Objective, s, l.Why)
				}
				return fmt.Sprintf("%s (measured %s)", l.Objective, l.Shown)
			}
		}
	}
	return ""
}

// judge measures one objective and compares.
func judge(r *record.Record, o record.Objective) Line {
	l := Line{Objective: o.Text, Limit: o.Value, Status: CannotTell}
	l.Measured, l.Samples, l.Why = measure(r, &o)
	l.Shown = l.Measured.Text(unitOf(&o))
	if !l.Measured.OK {
		return l
	}
	beyond := l.Why != "" // the true value lies beyond the measured one
	if beyond {
		l.Shown = "later than " + l.Shown
	}
	switch {
	case o.Kind == record.KindInvariant && o.Holds(l.Measured.V):
		l.Status = Held
	case o.Kind == record.KindInvariant:
		l.Status = Broken
	case o.Kind != record.KindLateness && math.Abs(r.Header.Margin) < sigmas:
		l.Status = TooClose
		l.Why = fmt.Sprintf("the tipping line is %.1f σ away, a verdict needs %d", math.Abs(r.Header.Margin), sigmas)
	case r.Header.Partial && o.Kind == record.KindConfirmedShare && strings.HasPrefix(o.Op, ">") && !o.Holds(l.Measured.V):
		l.Why = "the run was interrupted, and what is confirmed only grows"
	case beyond && (o.Op == ">" || o.Op == ">="), !beyond && o.Holds(l.Measured.V):
		l.Status = Held
	default:
		l.Status = Missed
	}
	return l
}

func unitOf(o *record.Objective) reports.Unit {
	switch {
	case o.Kind == record.KindSoldOut:
		return reports.Moment
	case o.Unit == record.UnitSeconds:
		return reports.Seconds
	case o.Unit == record.UnitShare:
		return reports.Share
	case o.Unit == record.UnitCount:
		return reports.Count
	}
	return reports.Factor
}

// measure is the value of an objective's left side, and why there is none.
func measure(r *record.Record, o *record.Objective) (v reports.Value, samples uint64, why string) {
	why = "this run does not measure it"
	switch o.Kind {
	case record.KindConfirmedShare:
		v = reports.ConfirmedShare(r)
	case record.KindGaveUpShare:
		v = reports.GaveUp(r)
	case record.KindAmplification:
		v = reports.Amplification(r)
	case record.KindSoldOut:
		return soldOut(r, o)
	case record.KindQueueDepth:
		v = reports.QueueDepth(r)
	case record.KindGatewayLoad:
		v = reports.GatewayLoad(r)
	case record.KindReturn:
		v = reports.Return(r, o.Stat)
	case record.KindInvariant:
		why = "this invariant was not checked"
		for _, x := range r.Invariants {
			if x.Name == o.Stat {
				v = reports.Got(math.Abs(float64(x.Broken)))
			}
		}
	case record.KindLateness:
		h := r.Merged(record.Select{Span: record.SpanLateness, Clock: record.Response})
		return statistic(r, o, h, 1)
	case record.KindSpan:
		return span(r, o)
	}
	if v.OK {
		why = ""
	}
	return v, 0, why
}

// soldOut is the moment of the last reservation. A run that ended with stock left
// tells that much: the moment lies beyond its end.
func soldOut(r *record.Record, o *record.Objective) (reports.Value, uint64, string) {
	if v := reports.SoldOut(r); v.OK {
		return v, 0, ""
	}
	free := r.Samples[record.SampleStockFree]
	if len(free) == 0 || !(free[len(free)-1].Value > 0) {
		return reports.Value{}, 0, "this run does not measure it"
	}
	last := r.Header.ScenarioTime(free[len(free)-1].At).Seconds()
	if last < o.Value || o.Op == "==" || o.Op == "!=" {
		return reports.Value{}, 0, fmt.Sprintf("stock was left when the run ended, at %+.0f s from the opening", last)
	}
	return reports.Got(last), 0, "stock was left when the run ended: not sold out by then"
}

func span(r *record.Record, o *record.Objective) (reports.Value, uint64, string) {
	var w *record.Window
	if o.Window != "" {
		found, ok := r.Header.Window(o.Window)
		if !ok {
			return reports.Value{}, 0, "the run has no window " + o.Window
		}
		w = &found
	}
	if len(r.Outcomes(o.Span)) == 0 {
		return reports.Value{}, 0, "this run has no " + o.Span
	}
	outcomes := []string{o.Outcome}
	if o.Outcome == "" {
		// A request that was never sent has no response time.
		outcomes = nil
		for _, name := range booking.Outcomes() {
			if o.Stat == "count" || name != booking.Unsent.String() {
				outcomes = append(outcomes, name)
			}
		}
	}
	return statistic(r, o, reports.Response(r, o.Span, outcomes, w), r.Header.TimeScale)
}

// statistic is a percentile, mean, maximum or count; k makes its durations full size.
func statistic(r *record.Record, o *record.Objective, h *record.Hist, k float64) (reports.Value, uint64, string) {
	n := h.Count()
	if o.Stat == "count" {
		return reports.Got(float64(n)), n, ""
	}
	if n == 0 {
		return reports.Value{}, 0, "no samples"
	}
	if q, ok := o.Quantile(); ok {
		if !record.Carries(q, n) {
			need := uint64(math.Ceil(10/(1-q) - 1e-6))
			return reports.Value{Unsure: true}, n, fmt.Sprintf("%d samples, %s needs %d", n, o.Stat, need)
		}
		return reports.Got(h.Quantile(q).Seconds() * k), n, ""
	}
	if o.Stat == "mean" {
		return reports.Got(h.Mean().Seconds() * k), n, ""
	}
	return reports.Got(h.Max().Seconds() * k), n, ""
}
