package record

import (
	"maps"
	"slices"
	"sort"
	"time"

	"spillway/internal/booking"
)

// Clock says from where a span's durations count.
type Clock uint8

// The clocks.
const (
	Response Clock = iota + 1 // from the intended moment
	Service                   // from the send
)

// String returns the clock's name.
func (c Clock) String() string { return [...]string{"invalid", "response", "service"}[min(c, 2)] }

// Spans beyond the step names.
const (
	SpanBooking  = "booking"  // first press to the visitor's final result
	SpanLedger   = "ledger"   // accepted to written, as the backend reports it
	SpanLateness = "lateness" // sent minus intended, the generator's own
)

// Key names one histogram.
type Key struct {
	Span    string // a step name or one of the spans above
	Clock   Clock
	Outcome string // an outcome name; "" for lateness
	Group   string // class of user, or GroupBots
	Second  int32  // second of the run in which the span's intended moment lies
}

// GroupBots is the group of all bots.
const GroupBots = "bots"

// Names of the counters per second. Every counter counts events in the second in
// which they were due, for people and bots together unless its name says so.
const (
	CountVisits     = "visits"         // openings of the program
	CountPresses    = "presses"        // presses of the button
	CountFirst      = "presses.first"  // first press of a visit
	CountCoinLost   = "coin.lost"      // presses that the gate held back
	CountCoinPassed = "coin.passed"    // presses that passed the gate
	CountRequests   = "requests"       // requests sent, polls excluded
	CountFirstTries = "requests.first" // of those: first of its step in its visit
	CountCut        = "requests.cut"   // requests under way when the run ended: no outcome, polls included
	CountPolls      = "polls"          // result polls sent
	CountOffered    = "submits"        // submits sent
	CountGaveUp     = "gave-up"        // visits that gave up, for any reason
)

// Names of the samples that a backend reports, layer first. A backend that lacks
// a layer leaves its samples out: reports then say "n/a".
const (
	SampleGatewayLoad  = "gateway.load" // work offered to the gateways / their capacity, over the sample's period
	SampleGatewayRoom  = "gateway.room" // fill of the waiting room, 0..1
	SampleGatewayBusy  = "gateway.inflight"
	SampleRung         = "gateway.rung"          // 1 = everything served
	SampleStockFree    = "stock.free"            // reservations left
	SampleClosedAge    = "stock.closed-age"      // seconds since the oldest instance read the closed flag
	SampleQueueDepth   = "queue.depth"           // entries waiting
	SampleQueueAge     = "queue.age"             // seconds, age of the oldest entry
	SampleDead         = "queue.dead"            // dead letters
	SampleWritten      = "ledger.written"        // rows written, cumulative
	SampleDatabaseWait = "ledger.backlog"        // seconds of work waiting at the database, lossless mode
	SampleEdgeHits     = "edge.hits"             // cumulative
	SampleEdgeMisses   = "edge.misses"           // cumulative
	SampleProbability  = "admission.probability" // 0..1, as configured now
	SampleMemory       = "process.memory"        // bytes that are resident, of the backend's process
	SampleHeap         = "process.heap"          // bytes of heap and stacks in use after the last collection, without the bookings of an embedded Redis
	SampleGoroutines   = "process.goroutines"    // of the backend's process
	SampleDescriptors  = "process.descriptors"   // open files and connections of the backend's process
)

// Point is one sample.
type Point struct {
	At    time.Duration // run time
	Value float64
}

// Group is the funnel of one class of users, or of the bots.
type Group struct {
	Name     string
	Visitors uint64            // visits begun
	Stages   map[string]uint64 // stage name to visits that reached it; see the Stage constants
	Finals   map[string]uint64 // final name to visits that ended so; they sum to Visitors
}

// Stages of the funnel, in order. A visit counts once in each stage it reached.
const (
	StageVisit     = "visit"
	StageBooks     = "books"     // tries to book
	StageForm      = "form"      // the form opened
	StagePressed   = "pressed"   // pressed at least once
	StagePassed    = "passed"    // passed the gate at least once
	StageSubmitted = "submitted" // sent at least one submit
	StageAccepted  = "accepted"  // was told "queued" or "confirmed"
	StageConfirmed = "confirmed" // saw a confirmed booking
)

// Stages lists the stages in order.
func Stages() []string {
	return []string{StageVisit, StageBooks, StageForm, StagePressed, StagePassed, StageSubmitted, StageAccepted, StageConfirmed}
}

// Decile is one tenth of those who pressed, by moment of the first press.
type Decile struct {
	Pressers  uint64
	Confirmed uint64
}

// Invariant is one invariant as it was checked after the run.
type Invariant struct {
	Name   string // "oversell", "lost", …: objectives say invariant.NAME
	Broken int64  // how many times it does not hold; 0 = holds
	Detail string // what was counted, in one line
}

// Window is a part of the run that percentiles are given for, in scenario time.
type Window struct {
	Name     string // before, rise, peak, recovery
	From, To time.Duration
}

// Header says what the run was. Wall time and machine are outside the digest of
// the body: two runs of one seed may differ in them.
type Header struct {
	Label         string // "attack", "sim", …: displayed, never branched on
	Scenario      string // name
	Title         string
	Text          string // the scenario file as it was read, all layers merged
	Digest        string // SHA-256 of Text, hex
	Seed          uint64
	Commit        string
	Mode          string
	People        float64       // s of the similarity law: 0.01 = 1:100
	TimeScale     float64       // k
	From, To      time.Duration // window in scenario time, opening = 0
	Windows       []Window
	Capacity      map[string]float64 // capacities of the stages in run terms: "gateway.units/s", "ledger.rows/s", "queue.depth", "stock.reservations"
	Margin        float64            // predicted distance to the tipping line, in σ; NaN = not predicted
	Vary          []Setting          // what a sweep set, in order
	Switched      []string           // layers switched off
	Objectives    []string
	Baseline      bool // meant to collapse: its objectives are shown but do not count
	Assumptions   []Assumption
	Shard, Shards int   // 0 of 1 when whole
	Parts         []int // shards that an unfinished merge holds, ascending; empty = Shard alone

	Requested   uint64 // actions that the plan made due
	Achieved    uint64 // of those, sent
	Partial     bool   // interrupted
	Saturated   bool   // the generator could not send all that was due in time
	WallStart   time.Time
	WallSeconds float64
	Machine     string   // cores, memory, kernel, Go version
	Native      bool     // stages ran at the code's own capacity
	Notes       []string // what the reader must know, one line each
}

// Setting is one key and value of a sweep.
type Setting struct{ Key, Value string }

// Assumption is a number of the scenario that has no published source.
type Assumption struct{ Key, Low, Base, High, Why string }

// Record is one run, or the merge of its shards.
type Record struct {
	Header     Header
	Hists      map[Key]*Hist
	Counters   map[string][]uint64 // counter name to counts per second of the run
	Samples    map[string][]Point  // ascending in time
	Groups     []Group
	Deciles    []Decile // ten, earliest first; empty = not known
	Invariants []Invariant
	Marks      map[string]time.Duration // moments in run time: MarkSoldOut, …
}

// Marks.
const (
	MarkSoldOut       = "sold-out"       // the last reservation was taken
	MarkLastConfirmed = "last-confirmed" // the last row was written
	MarkFault         = "fault"          // the fault of a chaos run began
	MarkFaultEnd      = "fault-end"      // and ended
)

// New is an empty record with its maps made.
func New(h Header) *Record {
	return &Record{Header: h, Hists: map[Key]*Hist{}, Counters: map[string][]uint64{},
		Samples: map[string][]Point{}, Marks: map[string]time.Duration{}}
}

// Hist returns the histogram of a key, making it when there is none.
func (r *Record) Hist(k Key) *Hist {
	h := r.Hists[k]
	if h == nil {
		h = &Hist{}
		r.Hists[k] = h
	}
	return h
}

// Count adds n to a counter at a moment of the run; a moment before 0 counts at 0.
func (r *Record) Count(name string, at time.Duration, n uint64) {
	s := max(int(at/time.Second), 0)
	c := r.Counters[name]
	for len(c) <= s {
		c = append(c, 0)
	}
	c[s] += n
	r.Counters[name] = c
}

// ScenarioTime converts a moment of the run to scenario time.
func (h *Header) ScenarioTime(run time.Duration) time.Duration {
	return h.From + time.Duration(float64(run)*h.TimeScale)
}

// RunTime converts a moment of scenario time to run time.
func (h *Header) RunTime(scenario time.Duration) time.Duration {
	return time.Duration(float64(scenario-h.From) / h.TimeScale)
}

// ScenarioSpan converts a duration of the run to full size.
func (h *Header) ScenarioSpan(d time.Duration) time.Duration {
	return time.Duration(float64(d) * h.TimeScale)
}

// Window finds a window by name.
func (h *Header) Window(name string) (Window, bool) {
	for _, w := range h.Windows {
		if w.Name == name {
			return w, true
		}
	}
	return Window{}, false
}

// Select says which histograms a query merges. Empty fields match everything.
type Select struct {
	Span     string
	Clock    Clock
	Outcomes []string
	Groups   []string
	NotGroup string
	From, To int32 // seconds of the run, To exclusive; both 0 = all
}

// Merged is the merge of all histograms that match, never nil.
func (r *Record) Merged(s Select) *Hist {
	out := &Hist{}
	for k, h := range r.Hists { // in any order: adding whole numbers leaves no trace of it
		if s.matches(k) {
			out.Merge(h)
		}
	}
	return out
}

func (s Select) matches(k Key) bool {
	return (s.Span == "" || s.Span == k.Span) && (s.Clock == 0 || s.Clock == k.Clock) &&
		(len(s.Outcomes) == 0 || slices.Contains(s.Outcomes, k.Outcome)) &&
		(len(s.Groups) == 0 || slices.Contains(s.Groups, k.Group)) &&
		(s.NotGroup == "" || s.NotGroup != k.Group) &&
		(s.From == 0 && s.To == 0 || k.Second >= s.From && k.Second < s.To)
}

// Seconds is the seconds of the run that a window covers, To exclusive.
func (r *Record) Seconds(w Window) (from, to int32) {
	f, t := r.Header.RunTime(w.From), r.Header.RunTime(w.To)
	return int32((f + time.Second - 1) / time.Second), int32((t + time.Second - 1) / time.Second)
}

// Keys lists the histogram keys in a stated order: span, clock, outcome, group, second.
func (r *Record) Keys() []Key {
	ks := slices.Collect(maps.Keys(r.Hists))
	sort.Slice(ks, func(i, j int) bool { return keyLess(ks[i], ks[j]) })
	return ks
}

func keyLess(a, b Key) bool {
	switch {
	case a.Span != b.Span:
		return a.Span < b.Span
	case a.Clock != b.Clock:
		return a.Clock < b.Clock
	case a.Outcome != b.Outcome:
		return a.Outcome < b.Outcome
	case a.Group != b.Group:
		return a.Group < b.Group
	}
	return a.Second < b.Second
}

// Outcomes lists the outcomes that a span has, in the order of the enum.
func (r *Record) Outcomes(span string) []string {
	seen := map[string]bool{}
	for k := range r.Hists {
		if k.Span == span {
			seen[k.Outcome] = true
		}
	}
	var out []string
	for _, o := range booking.Outcomes() {
		if seen[o] {
			out = append(out, o)
		}
	}
	return out
}

// OutcomeCount is how many requests of a span ended so.
func (r *Record) OutcomeCount(span, outcome string) uint64 {
	return r.Merged(Select{Span: span, Clock: Response, Outcomes: []string{outcome}}).Count()
}

// Final sums a final over the groups; people only unless bots is set.
func (r *Record) Final(name string, bots bool) (n uint64) {
	for _, g := range r.Groups {
		if bots || g.Name != GroupBots {
			n += g.Finals[name]
		}
	}
	return n
}

// Stage sums a stage over the groups; people only unless bots is set.
func (r *Record) Stage(name string, bots bool) (n uint64) {
	for _, g := range r.Groups {
		if bots || g.Name != GroupBots {
			n += g.Stages[name]
		}
	}
	return n
}

// MaxSample is the largest value of a sample; ok is false when there is none.
func (r *Record) MaxSample(name string) (v float64, ok bool) {
	for i, p := range r.Samples[name] {
		if i == 0 || p.Value > v {
			v = p.Value
		}
	}
	return v, len(r.Samples[name]) > 0
}
