package reports

import (
	"slices"
	"strings"
	"time"

	"spillway/internal/booking"
	"spillway/internal/record"
)

// leastFirstTries is how many first tries a second needs to have a say in the
// peak of the retry amplification.
const leastFirstTries = 20

// Measure is one number of a run that tables of several runs compare.
type Measure struct {
	Name  string // stable, for JSON
	Label string
	Unit  Unit
	Of    func(*record.Record) Value
}

// Measures lists the measures in the order of a table.
func Measures() []Measure {
	return []Measure{
		{"confirmed", "confirmed, of stock", Share, ConfirmedShare},
		{"sold_out_s", "sold out at", Moment, SoldOut},
		{"last_confirmed_s", "last confirmed at", Moment, LastConfirmed},
		{"wait_p50_s", "wait for confirmation, p50", Seconds, wait(0.5)},
		{"wait_p95_s", "wait for confirmation, p95", Seconds, wait(0.95)},
		{"wait_p99_s", "wait for confirmation, p99", Seconds, wait(0.99)},
		{"submit_p95_s", "accepted submit, p95", Seconds, accepted(0.95)},
		{"submit_p99_s", "accepted submit, p99", Seconds, accepted(0.99)},
		{"refused_per_booking", "refusals (busy, shed) per booking", Factor, RefusedPerBooking},
		{"timeouts", "timeouts, of requests", Share, Timeouts},
		{"gave_up", "gave up, of visits to book", Share, GaveUp},
		{"gateway_load_max", "peak load of the gateways", Factor, GatewayLoad},
		{"queue_depth_max", "peak depth of the queue", Count, QueueDepth},
		{"amplification_max", "peak retry amplification", Factor, Amplification},
		{"first_tenth", "won by the first 10 % of pressers", Share, FirstTenth},
	}
}

// Confirmed is the number of confirmed reservations: rows written where the
// backend reports them, else the confirmations that visitors saw.
func Confirmed(r *record.Record) Value {
	if v, ok := r.MaxSample(record.SampleWritten); ok {
		return Got(v)
	}
	if len(r.Groups) == 0 {
		return Value{}
	}
	return Got(float64(r.Stage(record.StageConfirmed, true)))
}

// ConfirmedShare is confirmed reservations over stock.
func ConfirmedShare(r *record.Record) Value {
	c, stock := Confirmed(r), r.Header.Capacity["stock.reservations"]
	if !c.OK || !(stock > 0) {
		return Value{}
	}
	return Got(c.V / stock)
}

// SoldOut is when the last reservation was taken, in seconds after the opening.
func SoldOut(r *record.Record) Value { return mark(r, record.MarkSoldOut) }

// LastConfirmed is when the last row was written, in seconds after the opening.
func LastConfirmed(r *record.Record) Value { return mark(r, record.MarkLastConfirmed) }

func mark(r *record.Record, name string) Value {
	at, ok := r.Marks[name]
	if !ok {
		return Value{}
	}
	return Got(r.Header.ScenarioTime(at).Seconds())
}

// GaveUp is the share of people's visits that gave up, for any reason, among
// those that tried to book.
func GaveUp(r *record.Record) Value {
	books := r.Stage(record.StageBooks, false)
	if books == 0 {
		return Value{}
	}
	return Got(float64(gaveUp(r)) / float64(books))
}

func gaveUp(r *record.Record) (n uint64) {
	for _, g := range r.Groups {
		if g.Name == record.GroupBots {
			continue
		}
		for final, c := range g.Finals {
			if strings.HasPrefix(final, "gave-up") {
				n += c
			}
		}
	}
	return n
}

// Amplification is requests over first tries in the worst second of the run,
// polls excluded, among seconds with at least 20 first tries.
func Amplification(r *record.Record) Value {
	all, first := r.Counters[record.CountRequests], r.Counters[record.CountFirstTries]
	var v Value
	for i, f := range first {
		if f >= leastFirstTries && i < len(all) {
			if a := float64(all[i]) / float64(f); !v.OK || a > v.V {
				v = Got(a)
			}
		}
	}
	return v
}

// QueueDepth is the greatest number of entries that waited in the queue.
func QueueDepth(r *record.Record) Value { return maxSample(r, record.SampleQueueDepth) }

// GatewayLoad is the greatest work offered to the gateways over their capacity in
// one second of the run: the mean of that second's samples. A single sample covers
// a few dozen requests of a thinned run and would show its noise.
func GatewayLoad(r *record.Record) Value {
	var best Value
	points := r.Samples[record.SampleGatewayLoad]
	for i := 0; i < len(points); {
		second, sum, n := points[i].At/time.Second, 0.0, 0
		for ; i < len(points) && points[i].At/time.Second == second; i++ {
			sum += points[i].Value
			n++
		}
		if mean := sum / float64(n); !best.OK || mean > best.V {
			best = Got(mean)
		}
	}
	return best
}

// returnLeast is how many samples each end of a Return must have: below, a few
// unlucky ones would be its median.
const returnLeast = 100

// Return is how far a sample came back to where it was: its median over the last
// twentieth of the run, divided by that over the second twentieth, when what is made
// at the start is there. One is added to both, so that an empty queue is no division
// by zero. n/a for a partial run, and with fewer than 100 samples at either end.
func Return(r *record.Record, name string) Value {
	if r.Header.Partial || r.Header.TimeScale <= 0 {
		return Value{}
	}
	length := time.Duration(float64(r.Header.To-r.Header.From) / r.Header.TimeScale)
	median := func(from, to time.Duration) (float64, bool) {
		var in []float64
		for _, p := range r.Samples[name] {
			if p.At >= from && p.At < to {
				in = append(in, p.Value)
			}
		}
		if len(in) < returnLeast {
			return 0, false
		}
		slices.Sort(in)
		return in[len(in)/2], true
	}
	before, ok1 := median(length/20, length/10)
	after, ok2 := median(length-length/20, length)
	if !ok1 || !ok2 {
		return Value{}
	}
	return Got((after + 1) / (before + 1))
}

func maxSample(r *record.Record, name string) Value {
	v, ok := r.MaxSample(name)
	if !ok {
		return Value{}
	}
	return Got(v)
}

// FirstTenth is the share of all confirmations that went to the first tenth of
// those who pressed, by their first press.
func FirstTenth(r *record.Record) Value {
	var all uint64
	for _, d := range r.Deciles {
		all += d.Confirmed
	}
	if len(r.Deciles) != 10 || all == 0 {
		return Value{}
	}
	return Got(float64(r.Deciles[0].Confirmed) / float64(all))
}

// RefusedPerBooking is submits refused as busy or shed per confirmed reservation.
func RefusedPerBooking(r *record.Record) Value {
	c := Confirmed(r)
	if !c.OK || c.V == 0 {
		return Value{}
	}
	n := outcomes(r, "submit", booking.Busy.String(), booking.Shed.String())
	return Got(float64(n) / c.V)
}

// Timeouts is the share of all requests that ended in the client's timeout.
func Timeouts(r *record.Record) Value {
	var all, late uint64
	for _, step := range booking.Steps() {
		all += outcomes(r, step)
		late += outcomes(r, step, booking.Timeout.String())
	}
	if all == 0 {
		return Value{}
	}
	return Got(float64(late) / float64(all))
}

func outcomes(r *record.Record, span string, names ...string) uint64 {
	return r.Merged(record.Select{Span: span, Clock: record.Response, Outcomes: names}).Count()
}

func wait(q float64) func(*record.Record) Value {
	return func(r *record.Record) Value {
		return Quantile(r, r.Merged(record.Select{Span: record.SpanLedger, Clock: record.Response}), q)
	}
}

func accepted(q float64) func(*record.Record) Value {
	return func(r *record.Record) Value {
		return Quantile(r, Response(r, "submit", []string{booking.Queued.String(), booking.Confirmed.String()}, nil), q)
	}
}

// Response merges the response times of a span: of people, save for the ledger,
// which does not know who is one. No outcomes means all; a window of nil is the
// whole run. The window is that of the intended moment.
func Response(r *record.Record, span string, outcomes []string, w *record.Window) *record.Hist {
	return merged(r, span, record.Response, outcomes, w)
}

func merged(r *record.Record, span string, c record.Clock, outcomes []string, w *record.Window) *record.Hist {
	s := record.Select{Span: span, Clock: c, Outcomes: outcomes}
	if span != record.SpanLedger {
		s.NotGroup = record.GroupBots
	}
	if w != nil {
		s.From, s.To = r.Seconds(*w)
		if s.From >= s.To { // an empty window must not mean "all"
			return &record.Hist{}
		}
	}
	return r.Merged(s)
}

// Quantile is a quantile in seconds of scenario time, unsure when the samples
// cannot carry it, n/a when there are none.
func Quantile(r *record.Record, h *record.Hist, q float64) Value {
	switch {
	case h.Count() == 0:
		return Value{}
	case !record.Carries(q, h.Count()):
		return Value{Unsure: true}
	}
	return Got(r.Header.ScenarioSpan(h.Quantile(q)).Seconds())
}
