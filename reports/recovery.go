package reports

import (
	"fmt"
	"slices"
	"time"

	"spillway/internal/booking"
	"spillway/internal/record"
)

// VaryFault is the key under which a run says which fault it was under; its value is
// NoFault for the calm run that the others are held against.
const (
	VaryFault = "fault"
	NoFault   = "none"
)

// FaultOf is the fault that a run was under, "" when it says nothing of one.
func FaultOf(r *record.Record) string {
	for _, s := range r.Header.Vary {
		if s.Key == VaryFault {
			return s.Value
		}
	}
	return ""
}

// Recovery is how a run came through a fault.
type Recovery struct {
	Fault   string           `json:"fault"`
	Broken  map[string]int64 `json:"broken"`         // by invariant
	Dead    Value            `json:"dead_letters"`   // at the end
	Unknown uint64           `json:"unknown"`        // answers that could not tell
	Failed  uint64           `json:"no_answer"`      // requests that were refused, reset or timed out
	Age     Value            `json:"oldest_entry_s"` // at most, seconds of the run
	// Took is the time to recover in seconds of the run: from the end of the fault to
	// the last moment at which a figure was still worse than ever in the calm run. The
	// figures are the age of the oldest entry in the queue (by more than 200 ms), and of the
	// requests of a second those that ended unknown or without an answer, and those that
	// were turned away (by more than 5 % of them). 0 = none was; Unsure = until the end.
	Took Value `json:"time_to_recover_s"`
}

// What may be luck: how much older than in the calm run the oldest entry may be, two
// looks; and which share of a second's requests more may end badly.
const (
	agePlay   = 200 * time.Millisecond
	sharePlay = 0.05
)

// Recover holds a run under a fault against the calm run of the same seed. The run's
// marks say when its fault was; without them nothing is known of Took.
func Recover(calm, r *record.Record) Recovery {
	out := Recovery{Fault: FaultOf(r), Broken: map[string]int64{}}
	for _, i := range r.Invariants {
		out.Broken[i.Name] = i.Broken
	}
	if dead := r.Samples[record.SampleDead]; len(dead) > 0 {
		out.Dead = Got(dead[len(dead)-1].Value)
	}
	for _, step := range booking.Steps() {
		out.Unknown += r.OutcomeCount(step, booking.Unknown.String())
		out.Failed += r.OutcomeCount(step, booking.Failed.String()) + r.OutcomeCount(step, booking.Timeout.String())
	}
	out.Age = maxSample(r, record.SampleQueueAge)
	end, known := r.Marks[record.MarkFaultEnd]
	if !known {
		return out
	}
	var last time.Duration // at which something was still worse
	age := time.Duration(maxSample(calm, record.SampleQueueAge).V*1e9) + agePlay
	final := end
	for _, p := range r.Samples[record.SampleQueueAge] {
		final = max(final, p.At)
		if p.At > end && time.Duration(p.Value*1e9) > age {
			last = p.At
		}
	}
	for _, outcomes := range [][]booking.Outcome{Unanswered, TurnedAway} {
		worst := uint64(0)
		bad, _ := perSecond(calm, outcomes)
		for _, n := range bad {
			worst = max(worst, n)
		}
		bad, all := perSecond(r, outcomes)
		for i, n := range bad {
			// The second in which the fault ended is the fault's.
			if at := time.Duration(i+1) * time.Second; time.Duration(i)*time.Second >= end && float64(n) > float64(worst)+sharePlay*float64(all[i]) {
				last = max(last, at)
			}
		}
	}
	length := time.Duration(float64(r.Header.To-r.Header.From) / max(r.Header.TimeScale, 1e-9))
	switch {
	case last >= min(final, length) && last > 0:
		out.Took = Value{Unsure: true}
	default:
		out.Took = Got(max(last-end, 0).Seconds())
	}
	return out
}

// What a recovery is judged by, besides the queue.
var (
	// Unanswered are the requests that nobody can tell the fate of.
	Unanswered = []booking.Outcome{booking.Unknown, booking.Failed, booking.Timeout}
	// TurnedAway are those that the gateways had no room for. "Busy" is not among them: a
	// full queue shows in its age, and a sale that was held up sells on when the calm one
	// is over.
	TurnedAway = []booking.Outcome{booking.Shed, booking.Limited, booking.Expired, booking.Degraded, booking.OverBudget}
)

// perSecond is how many requests of each second of the run had one of the outcomes, and
// how many there were, by the second in which they were due.
func perSecond(r *record.Record, outcomes []booking.Outcome) (bad, all []uint64) {
	for k, h := range r.Hists { // in no order: sums
		if k.Clock != record.Response || k.Second < 0 || k.Second > 1e6 || !slices.Contains(booking.Steps(), k.Span) {
			continue
		}
		for len(all) <= int(k.Second) {
			bad, all = append(bad, 0), append(all, 0)
		}
		all[k.Second] += h.Count()
		if o, err := booking.ParseOutcome(k.Outcome); err == nil && slices.Contains(outcomes, o) {
			bad[k.Second] += h.Count()
		}
	}
	return bad, all
}

// invariants in the order of the table.
var invariants = []string{"oversell", "undersell", "lost", "duplicate", "contradiction", "balance"}

// FaultTable is what each fault did: the first of the runs is the calm one.
func FaultTable(runs []*record.Record) Table {
	t := Table{Title: "Faults, and what was lost", Columns: append(append([]string{"fault"}, invariants...),
		"dead letters", "unknown", "no answer", "oldest entry", "time to recover"),
		Notes: []string{"The invariants must read 0. Dead letters are entries that nobody can read, or that five deliveries could not settle; a person sees to them.",
			"Unknown: answers that could not tell, which the same press again settles. No answer: refused, reset or timed out.",
			"Time to recover, in seconds of the run: from the end of the fault to the last moment at which the oldest entry of the queue, or of the requests of a second those that ended unknown or without an answer or were turned away by the gateways (shed, degraded …), were worse than ever in the run without a fault (by more than 200 ms or 5 % of the requests: less is luck)."}}
	for _, r := range runs {
		x := Recover(runs[0], r)
		row := []string{x.Fault}
		for _, name := range invariants {
			cell := "n/a"
			if n, ok := x.Broken[name]; ok {
				cell = fmt.Sprint(n)
			}
			row = append(row, cell)
		}
		took := x.Took.Text(Seconds)
		switch {
		case x.Fault == NoFault:
			took = "–"
		case x.Took.Unsure:
			took = "not within the run"
		}
		t.Rows = append(t.Rows, append(row, x.Dead.Text(Count), Count.Format(float64(x.Unknown)), Count.Format(float64(x.Failed)), x.Age.Text(Seconds), took))
	}
	return t
}
