package reports

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"spillway/internal/booking"
	"spillway/internal/record"
)

// Summary is one run in numbers. Its JSON names are stable: a field may be
// added, none is renamed. Numbers that are null are n/a or cannot be told.
type Summary struct {
	Schema   int     `json:"schema"` // of this JSON: 1
	Scenario string  `json:"scenario"`
	Title    string  `json:"title"`
	Label    string  `json:"label"` // how the run was made; for display
	Mode     string  `json:"mode"`
	Seed     uint64  `json:"seed"`
	Commit   string  `json:"commit"`
	Digest   string  `json:"digest"` // of the record's body
	People   float64 `json:"people"` // one of the run stands for 1/people
	Time     float64 `json:"time"`   // one wall second is so many of the scenario
	FromS    float64 `json:"from_s"` // seconds after the opening
	ToS      float64 `json:"to_s"`
	Baseline bool    `json:"baseline"`
	Partial  bool    `json:"partial"`

	Planned  uint64   `json:"planned"`  // actions that were due
	Achieved uint64   `json:"achieved"` // of those, sent
	RateS    Value    `json:"requests_per_wall_s_mean"`
	PeakS    Value    `json:"requests_per_wall_s_peak"` // polls included
	Lateness Timing   `json:"lateness_wall"`            // the generator's own, wall time
	Events   []Number `json:"events"`                   // presses, submits, requests …: people and bots
	Funnel   []Number `json:"funnel"`                   // people's visits
	Refusals []Number `json:"refusals"`                 // by cause, over all steps, people and bots
	GaveUp   Number   `json:"gave_up"`
	Spans    []Span   `json:"spans"`
	Groups   []Group  `json:"groups"` // classes of people, then bots

	Stock       Value    `json:"stock"`
	Confirmed   Number   `json:"confirmed"`
	SoldOut     Value    `json:"sold_out_s"` // moments: seconds after the opening
	LastRow     Value    `json:"last_confirmed_s"`
	Wait        Timing   `json:"wait_for_confirmation"` // accepted to written
	QueueDepth  Value    `json:"queue_depth_max"`
	QueueAge    Value    `json:"queue_age_max_s"`
	GatewayLoad Value    `json:"gateway_load_max"`
	Backlog     Value    `json:"database_backlog_max_s"`
	Amplified   Value    `json:"amplification_max"`
	FirstTenth  Value    `json:"first_tenth_share"` // of all confirmations
	Dead        Value    `json:"dead_letters_max"`
	Reason      string   `json:"reason"`      // why the run collapsed, in one sentence; "" = it did not
	Warnings    []string `json:"warnings"`    // what the reader must know
	CannotShow  []string `json:"cannot_show"` // what a run of this kind cannot show
}

// Number is a count with what it is a share of.
type Number struct {
	Name  string `json:"name"`
	N     uint64 `json:"n"`
	Of    string `json:"of"` // the denominator's name; "" = none
	OfN   uint64 `json:"of_n"`
	Share Value  `json:"share"` // 0..1
}

// Timing is a distribution of durations, in seconds.
type Timing struct {
	N   uint64 `json:"n"`
	P50 Value  `json:"p50_s"`
	P95 Value  `json:"p95_s"`
	P99 Value  `json:"p99_s"`
	Max Value  `json:"max_s"`
}

// Span is the durations of one step and outcome.
type Span struct {
	Span    string   `json:"span"`
	Outcome string   `json:"outcome"`
	All     Timing   `json:"response"` // from the intended moment
	Service Timing   `json:"service"`  // from the send
	Windows []Window `json:"windows"`  // response
}

// Window is the durations of one part of the run.
type Window struct {
	Name string `json:"name"`
	Timing
}

// Group is the fate of one class of users, or of the bots.
type Group struct {
	Name      string `json:"name"`
	Visits    uint64 `json:"visits"`
	Pressed   uint64 `json:"pressed"`
	Accepted  uint64 `json:"accepted"`
	Confirmed uint64 `json:"confirmed"` // visits that saw a confirmation
	Share     Value  `json:"confirmed_of_pressed"`
	GaveUp    uint64 `json:"gave_up"`
	Booking   Timing `json:"booking"` // first press to confirmation seen
}

// Summarize computes the summary of a record. It accepts any record that reads,
// partial ones too.
func Summarize(r *record.Record) Summary {
	h := &r.Header
	s := Summary{Schema: 1, Scenario: h.Scenario, Title: h.Title, Label: h.Label, Mode: h.Mode, Seed: h.Seed, Commit: h.Commit,
		Digest: r.Digest(), People: h.People, Time: h.TimeScale, FromS: h.From.Seconds(), ToS: h.To.Seconds(),
		Baseline: h.Baseline, Partial: h.Partial, Planned: h.Requested, Achieved: h.Achieved,
		Confirmed: confirmed(r), SoldOut: SoldOut(r), LastRow: LastConfirmed(r), QueueDepth: QueueDepth(r),
		QueueAge: scaled(r, record.SampleQueueAge), GatewayLoad: GatewayLoad(r), Backlog: scaled(r, record.SampleDatabaseWait),
		Amplified: Amplification(r), FirstTenth: FirstTenth(r), Dead: maxSample(r, record.SampleDead),
		Events: events(r), Funnel: funnel(r), Refusals: refusals(r), Spans: spans(r), Groups: groups(r),
		Warnings: warnings(h), CannotShow: cannotShow(h), Reason: reason(r)}
	if v := h.Capacity["stock.reservations"]; v > 0 {
		s.Stock = Got(v)
	}
	s.RateS, s.PeakS = rates(r)
	s.Lateness = timing(r.Merged(record.Select{Span: record.SpanLateness, Clock: record.Response}), 1)
	s.Wait = timing(Response(r, record.SpanLedger, nil, nil), h.TimeScale)
	s.GaveUp = number("gave up", gaveUp(r), "visits that tried to book", r.Stage(record.StageBooks, false))
	return s
}

func number(name string, n uint64, of string, ofN uint64) Number {
	x := Number{Name: name, N: n, Of: of, OfN: ofN}
	if ofN > 0 {
		x.Share = Got(float64(n) / float64(ofN))
	}
	return x
}

func confirmed(r *record.Record) Number {
	n, stock := Confirmed(r), r.Header.Capacity["stock.reservations"]
	if !(stock > 0) || stock > 1e15 {
		stock = 0
	}
	return number("confirmed", uint64(max(0, n.V)), "reservations in stock", uint64(stock))
}

func scaled(r *record.Record, name string) Value {
	v := maxSample(r, name)
	if !v.OK {
		return v
	}
	return Got(v.V * r.Header.TimeScale)
}

// timing takes a histogram of run time; k makes it full size.
func timing(h *record.Hist, k float64) Timing {
	t := Timing{N: h.Count()}
	if t.N == 0 {
		return t
	}
	q := func(q float64) Value {
		if !record.Carries(q, t.N) {
			return Value{Unsure: true}
		}
		return Got(h.Quantile(q).Seconds() * k)
	}
	t.P50, t.P95, t.P99, t.Max = q(0.5), q(0.95), q(0.99), Got(h.Max().Seconds()*k)
	return t
}

func total(c []uint64) (n uint64) {
	for _, x := range c {
		n += x
	}
	return n
}

func rates(r *record.Record) (mean, peak Value) {
	a, b := r.Counters[record.CountRequests], r.Counters[record.CountPolls]
	for i := range max(len(a), len(b)) {
		var n uint64
		if i < len(a) {
			n += a[i]
		}
		if i < len(b) {
			n += b[i]
		}
		if !peak.OK || float64(n) > peak.V {
			peak = Got(float64(n))
		}
	}
	if s := r.Header.RunTime(r.Header.To).Seconds(); s > 0 && peak.OK && !r.Header.Partial {
		mean = Got(float64(total(a)+total(b)) / s)
	}
	return mean, peak
}

func events(r *record.Record) []Number {
	c := func(name string) uint64 { return total(r.Counters[name]) }
	coins := c(record.CountCoinPassed) + c(record.CountCoinLost)
	return []Number{
		number("visits", c(record.CountVisits), "", 0),
		number("presses", c(record.CountPresses), "", 0),
		number("passed the gate", c(record.CountCoinPassed), "presses at the gate", coins),
		number("submits", c(record.CountOffered), "", 0),
		number("requests, polls aside", c(record.CountRequests), "", 0),
		number("first tries", c(record.CountFirstTries), "requests, polls aside", c(record.CountRequests)),
		number("polls", c(record.CountPolls), "", 0),
	}
}

func funnel(r *record.Record) (out []Number) {
	before, name := uint64(0), ""
	for _, stage := range record.Stages() {
		n := r.Stage(stage, false)
		out = append(out, number(stage, n, name, before))
		before, name = n, stage
	}
	return out
}

// refusals are the answers that said no, and below them the requests that had
// no answer at all.
func refusals(r *record.Record) (out []Number) {
	all := map[string]uint64{}
	var requests uint64
	for _, k := range r.Keys() {
		if k.Clock == record.Response && slices.Contains(booking.Steps(), k.Span) {
			n := r.Hists[k].Count()
			all[k.Outcome] += n
			requests += n
		}
	}
	for i, name := range booking.Outcomes() {
		o := booking.Outcome(i + 1)
		lost := o == booking.Timeout || o == booking.Failed || o == booking.Unsent || o == booking.Unmapped || o == booking.Unknown
		if n := all[name]; n > 0 && (o.Refusal() || lost) {
			out = append(out, number(name, n, "requests", requests))
		}
	}
	return out
}

func spans(r *record.Record) (out []Span) {
	for _, name := range append(slices.Clone(booking.Steps()), record.SpanBooking, record.SpanLedger) {
		for _, outcome := range r.Outcomes(name) {
			of := []string{outcome}
			k := r.Header.TimeScale
			s := Span{Span: name, Outcome: outcome, All: timing(Response(r, name, of, nil), k),
				Service: timing(merged(r, name, record.Service, of, nil), k)}
			if s.All.N == 0 {
				continue
			}
			for _, w := range r.Header.Windows {
				s.Windows = append(s.Windows, Window{w.Name, timing(Response(r, name, of, &w), k)})
			}
			out = append(out, s)
		}
	}
	return out
}

func groups(r *record.Record) (out []Group) {
	for _, g := range r.Groups {
		x := Group{Name: g.Name, Visits: g.Visitors, Pressed: g.Stages[record.StagePressed], Accepted: g.Stages[record.StageAccepted],
			Confirmed: g.Stages[record.StageConfirmed]}
		if x.Pressed > 0 {
			x.Share = Got(float64(x.Confirmed) / float64(x.Pressed))
		}
		for final, n := range g.Finals {
			if strings.HasPrefix(final, "gave-up") {
				x.GaveUp += n
			}
		}
		x.Booking = timing(r.Merged(record.Select{Span: record.SpanBooking, Clock: record.Response,
			Outcomes: []string{booking.Confirmed.String()}, Groups: []string{g.Name}}), r.Header.TimeScale)
		out = append(out, x)
	}
	return out
}

func warnings(h *record.Header) []string {
	out := []string{}
	if h.Partial {
		out = append(out, "The run was interrupted: all numbers are of the part that ran.")
	}
	if h.Saturated {
		out = append(out, "The generator could not send all that was due in time: the run proves nothing about the target.")
	}
	if h.Shards > 1 {
		out = append(out, fmt.Sprintf("Only %d of %d shards are here.", max(len(h.Parts), 1), h.Shards))
	}
	return append(out, h.Notes...)
}

// cannotShow names the limits of a scale model.
func cannotShow(h *record.Header) []string {
	out := []string{}
	if h.People < 1 {
		out = append(out,
			"Memory, connections and sockets at full size: one visitor of this run stands for "+figures(1/h.People)+".",
			"Hot keys cut from the catalogue: with fewer shops' worth of traffic each key is cooler than at full size.",
			"Code whose cost grows faster than its load: it is measured at the small load.",
			"What happens on the tipping line itself: there a small model is a coin toss.")
	}
	if h.TimeScale != 1 {
		out = append(out, "Service times in proportion: time runs "+figures(h.TimeScale)+" times as fast, real code does not.")
	}
	return out
}

// JSON is the summary for a program, indented, with a newline at the end.
func (s Summary) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(s, "", "  ")
	return append(b, '\n'), err
}
