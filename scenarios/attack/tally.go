package attack

import (
	"time"

	"spillway/internal/booking"
	"spillway/internal/record"
)

// Spans in the tally's own numbering, after the steps.
const (
	spanBooking = uint8(booking.StepPoll) + 1 + iota
	spanLateness
)

// tally folds exchanges into a record's histograms and counters. Not safe for
// concurrent use.
type tally struct {
	rec    *record.Record
	groups []string // names; the last one is the bots'
	hists  map[uint64]*record.Hist

	late     record.Hist // of the whole run, for the progress line
	latest   time.Duration
	sent     uint64
	unsent   uint64
	waited   time.Duration // longest that an unsent request had been due
	cut      uint64
	oldest   time.Duration // longest that a cut request had waited
	outcomes [booking.StepPoll + 1][booking.Unmapped + 1]uint64
}

func newTally(rec *record.Record, groups []string) *tally {
	return &tally{rec: rec, groups: groups, hists: map[uint64]*record.Hist{}}
}

// hist is the histogram of a span (0 = the plain schedule's only one), found
// without hashing strings.
func (t *tally) hist(span uint8, clock record.Clock, o booking.Outcome, group uint8, at time.Duration) *record.Hist {
	sec := secondOf(at)
	key := uint64(span)<<56 | uint64(clock)<<52 | uint64(o)<<44 | uint64(group)<<32 | uint64(uint32(sec))
	h := t.hists[key]
	if h != nil {
		return h
	}
	k := record.Key{Clock: clock, Second: sec}
	switch span {
	case spanLateness:
		k.Span = record.SpanLateness
	case spanBooking:
		k.Span = record.SpanBooking
	case 0:
		k.Span = "plain"
	default:
		k.Span = booking.Step(span).String()
	}
	if o != 0 {
		k.Outcome = o.String()
		k.Group = t.groups[group]
	}
	h = t.rec.Hist(k)
	t.hists[key] = h
	return h
}

func secondOf(at time.Duration) int32 { return max(int32(at/time.Second), 0) }

// fold counts one exchange: sent and answered, cut, or never sent.
func (t *tally) fold(x *exchange) {
	span := uint8(x.step)
	if x.unsent {
		t.unsent++
		t.waited = max(t.waited, x.done-x.intended)
		t.outcomes[x.step][booking.Unsent]++
		t.hist(span, record.Response, booking.Unsent, x.group, x.base).Add(x.done - x.base)
		return
	}
	t.sent++
	lateness := x.sent - x.intended
	t.late.Add(lateness)
	t.latest = max(t.latest, lateness)
	t.hist(spanLateness, record.Response, 0, 0, x.intended).Add(lateness)
	switch {
	case x.step == booking.StepPoll:
		t.rec.Count(record.CountPolls, x.intended, 1)
	default:
		t.rec.Count(record.CountRequests, x.intended, 1)
		if x.attempt == 1 {
			t.rec.Count(record.CountFirstTries, x.intended, 1)
		}
		if x.step == booking.StepSubmit {
			t.rec.Count(record.CountOffered, x.intended, 1)
		}
	}
	if x.cut {
		t.cut++
		t.oldest = max(t.oldest, x.done-x.sent)
		t.rec.Count(record.CountCut, x.intended, 1)
		return
	}
	o := x.reply.Outcome
	t.outcomes[x.step][o]++
	t.hist(span, record.Response, o, x.group, x.base).Add(x.done - x.base)
	t.hist(span, record.Service, o, x.group, x.base).Add(x.done - x.sent)
}
