package model

import (
	"fmt"
	"time"

	"spillway/internal/booking"
	"spillway/internal/record"
)

// Spans in the tally's own numbering, after the steps.
const spanBooking = uint8(booking.StepPoll) + 1

const (
	record1 = record.Response
	record2 = record.Service
)

// Counters in the tally's own numbering.
const (
	countVisits = iota
	countPresses
	countFirst
	countCoinLost
	countCoinPassed
	countRequests
	countFirstTries
	countCut
	countPolls
	countOffered
	countGaveUp
	counters
)

var counterNames = [counters]string{record.CountVisits, record.CountPresses, record.CountFirst, record.CountCoinLost,
	record.CountCoinPassed, record.CountRequests, record.CountFirstTries, record.CountCut, record.CountPolls,
	record.CountOffered, record.CountGaveUp}

// tally folds what happens into the record's histograms and counters.
type tally struct {
	rec    *record.Record
	groups []string
	hists  map[uint64]*record.Hist
	counts [counters][]uint64
}

func (e *evening) openTally() {
	e.tally = tally{rec: e.rec, groups: e.groups, hists: map[uint64]*record.Hist{}}
}

func (t *tally) count(which int, at time.Duration) {
	s := max(int(at/time.Second), 0)
	c := t.counts[which]
	for len(c) <= s {
		c = append(c, 0)
	}
	c[s]++
	t.counts[which] = c
}

// hist is the histogram of a span, found without hashing strings.
func (t *tally) hist(span uint8, clock record.Clock, o booking.Outcome, group uint8, at time.Duration) *record.Hist {
	sec := max(int32(at/time.Second), 0)
	key := uint64(span)<<56 | uint64(clock)<<52 | uint64(o)<<44 | uint64(group)<<32 | uint64(uint32(sec))
	h := t.hists[key]
	if h == nil {
		name := record.SpanBooking
		if span != spanBooking {
			name = booking.Step(span).String()
		}
		h = t.rec.Hist(record.Key{Span: name, Clock: clock, Outcome: o.String(), Group: t.groups[group], Second: sec})
		t.hists[key] = h
	}
	return h
}

// closeTally writes the counters and what the header has to say.
func (e *evening) closeTally() {
	for i, c := range e.tally.counts {
		if len(c) > 0 {
			e.rec.Counters[counterNames[i]] = c
		}
	}
	h := &e.rec.Header
	h.Requested, h.Achieved = e.requests.sent, e.requests.sent
	if e.requests.cut > 0 {
		h.Notes = append(h.Notes, fmt.Sprintf("%d requests were still unanswered when the run ended, the oldest after %v: they are in no percentile",
			e.requests.cut, e.oldest.Round(time.Millisecond)))
	}
	if !e.direct {
		h.Notes = append(h.Notes, "the writer's transactions take no time of their own here: its rate alone bounds it")
	}
}
