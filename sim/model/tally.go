package model

import (
	"fmt"
	"time"

	"spillway/internal/booking"
	"spillway/internal/record"
)

// Spans in the tally's own numbering, after the steps.
const (
	spanBooking = uint8(booking.StepPoll) + 1 + iota
	spanLedger
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
	bins   bins
	runs   []spell         // by step, outcome and group
	tables []*record.Dense // for the next who need one

	second int // the one asked for last, and where it begins
	from   time.Duration
}

// spell is so many answers in a row that took the same time in the same second: most
// do, and a histogram is a map. Where they take many times, a table counts them until
// their second of the record is over.
type spell struct {
	sec      int32
	n        uint32
	response time.Duration
	service  time.Duration
	found    int32            // the second of the record whose histograms are at hand
	varied   int32            // spells in it
	hists    [2]*record.Hist  // response and service; nil = none
	tables   [3]*record.Dense // of response and service where they differ, of both where not; nil = none
}

// worthTables is after how many spells in a second of the record the next are counted
// in tables.
const worthTables = 64

// bins says into which second of the record a second of the run goes. Every second
// has its own, but in runs of more than a quarter of an hour: there, away from the
// opening, wide seconds share the first of them, or a six-hour evening would hold a
// third of a million histograms. No bin reaches over the edge of a window.
type bins struct {
	width      int32
	from, till int32   // seconds that keep their own
	edges      []int32 // of the windows, ascending
}

// The opening's surroundings that keep every second, in scenario time, and how many
// wide bins a run has at the most: as many as its figures.
const (
	fineBefore = time.Minute
	fineAfter  = 10 * time.Minute
	binsMax    = 500
	alwaysFine = 900 // seconds
)

func newTally(rec *record.Record, groups []string) *tally {
	return &tally{rec: rec, groups: groups, hists: map[uint64]*record.Hist{}, bins: binsOf(&rec.Header),
		runs: make([]spell, (int(booking.StepPoll)+1)*outcomeMax*len(groups))}
}

const outcomeMax = int(booking.Unmapped) + 1

// answered counts the answer to a request that was due at base and sent at sent.
func (t *tally) answered(step booking.Step, o booking.Outcome, group uint8, base, sent, now time.Duration) {
	r := &t.runs[(int(step)*outcomeMax+int(o))*len(t.groups)+int(group)]
	sec := int32(t.secondOf(base))
	if r.n > 0 && r.sec == sec && r.response == now-base && r.service == now-sent {
		r.n++
		return
	}
	t.flush(r, step, o, group)
	r.sec, r.n, r.response, r.service = sec, 1, now-base, now-sent
}

func (t *tally) flush(r *spell, step booking.Step, o booking.Outcome, group uint8) {
	if r.n == 0 {
		return
	}
	if sec := t.bins.of(r.sec); r.hists[0] == nil || r.found != sec {
		t.settle(r)
		at := time.Duration(r.sec) * time.Second
		r.found, r.varied = sec, 0
		r.hists[0] = t.hist(uint8(step), record.Response, o, group, at)
		r.hists[1] = t.hist(uint8(step), record.Service, o, group, at)
	}
	n := uint64(r.n)
	r.n = 0
	if r.varied++; r.varied > worthTables {
		if r.response == r.service {
			if t.table(&r.tables[2]).AddN(r.response, n) {
				return
			}
		} else if t.table(&r.tables[0]).AddN(r.response, n) {
			if !t.table(&r.tables[1]).AddN(r.service, n) {
				r.hists[1].AddN(r.service, n)
			}
			return
		}
	}
	r.hists[0].AddN(r.response, n)
	r.hists[1].AddN(r.service, n)
}

// table is a spell's table, which it is given if it has none.
func (t *tally) table(d **record.Dense) *record.Dense {
	if *d == nil {
		if free := len(t.tables); free > 0 {
			*d, t.tables = t.tables[free-1], t.tables[:free-1]
		} else {
			*d = new(record.Dense)
		}
	}
	return *d
}

// settle moves what tables have counted to the histograms, and gives them back.
func (t *tally) settle(r *spell) {
	for i, d := range r.tables {
		if d == nil {
			continue
		}
		if i < len(r.hists) {
			d.MoveTo(r.hists[i])
		} else {
			d.MoveTo(r.hists[:]...)
		}
		r.tables[i], t.tables = nil, append(t.tables, d)
	}
}

// flushAll leaves no run uncounted.
func (t *tally) flushAll() {
	for i := range t.runs {
		r := &t.runs[i]
		group := i % len(t.groups)
		i /= len(t.groups)
		t.flush(r, booking.Step(i/outcomeMax), booking.Outcome(i%outcomeMax), uint8(group))
		t.settle(r)
	}
}

// hists are the histograms of a tally, as a record has them.
type hists = map[record.Key]*record.Hist

// giveHists gives the histograms away; the tally starts new ones.
func (t *tally) giveHists() hists {
	for i := range t.runs {
		t.settle(&t.runs[i])
		t.runs[i].hists = [2]*record.Hist{}
	}
	clear(t.hists)
	given := t.rec.Hists
	t.rec.Hists = hists{}
	return given
}

// takeHists adds histograms. Sums of whole numbers do not depend on the order.
func (t *tally) takeHists(given hists) {
	for k, h := range given {
		if mine, ok := t.rec.Hists[k]; ok {
			mine.Merge(h)
		} else {
			t.rec.Hists[k] = h
		}
	}
}

// add adds what another tally counted.
func (t *tally) add(o *tally) {
	o.flushAll()
	t.takeHists(o.giveHists())
	for i, from := range o.counts {
		c := t.counts[i]
		for len(c) < len(from) {
			c = append(c, 0)
		}
		for s, n := range from {
			c[s] += n
		}
		t.counts[i] = c
	}
}

func binsOf(h *record.Header) bins {
	second := func(scenario time.Duration) int32 {
		return int32((h.RunTime(scenario) + time.Second - 1) / time.Second)
	}
	b := bins{width: 1, from: second(-fineBefore), till: second(fineAfter)}
	if n := second(h.To); n > alwaysFine {
		b.width = (n + binsMax - 1) / binsMax
	}
	for _, w := range h.Windows {
		b.edges = append(b.edges, second(w.From))
	}
	return b
}

// of is the second of the record that stands for a second of the run.
func (b *bins) of(sec int32) int32 {
	if b.width <= 1 || sec >= b.from && sec < b.till {
		return sec
	}
	start := sec - sec%b.width
	if sec >= b.till {
		start = max(start, b.till)
	}
	for _, edge := range b.edges {
		if edge <= sec {
			start = max(start, edge)
		}
	}
	return start
}

// secondOf is the second that holds a moment; most are asked in a row.
func (t *tally) secondOf(at time.Duration) int {
	if d := at - t.from; d < 0 || d >= time.Second {
		t.second = max(int(at/time.Second), 0)
		t.from = time.Duration(t.second) * time.Second
	}
	return t.second
}

func (t *tally) count(which int, at time.Duration) {
	s := t.secondOf(at)
	if c := t.counts[which]; s < len(c) {
		c[s]++
		return
	}
	t.countN(which, s, 1)
}

// countN counts n in a second.
func (t *tally) countN(which, sec int, n uint64) {
	c := t.counts[which]
	for len(c) <= sec {
		c = append(c, 0)
	}
	c[sec] += n
	t.counts[which] = c
}

// takeBack uncounts what was counted at a moment.
func (t *tally) takeBack(which int, at time.Duration) { t.counts[which][t.secondOf(at)]-- }

// hist is the histogram of a span, found without hashing strings.
func (t *tally) hist(span uint8, clock record.Clock, o booking.Outcome, group uint8, at time.Duration) *record.Hist {
	sec := t.bins.of(max(int32(at/time.Second), 0))
	key := uint64(span)<<56 | uint64(clock)<<52 | uint64(o)<<44 | uint64(group)<<32 | uint64(uint32(sec))
	h := t.hists[key]
	if h == nil {
		name := booking.Step(span).String()
		switch span {
		case spanBooking:
			name = record.SpanBooking
		case spanLedger:
			name = record.SpanLedger
		}
		h = t.rec.Hist(record.Key{Span: name, Clock: clock, Outcome: o.String(), Group: t.groups[group], Second: sec})
		t.hists[key] = h
	}
	return h
}

// closeTally writes the counters and what the header has to say.
func (e *evening) closeTally() {
	e.tally.flushAll()
	for i, c := range e.tally.counts {
		for len(c) > 0 && c[len(c)-1] == 0 { // taken back
			c = c[:len(c)-1]
		}
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
