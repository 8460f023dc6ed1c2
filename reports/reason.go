package reports

import (
	"fmt"
	"slices"
	"strings"

	"spillway/internal/booking"
	"spillway/internal/record"
)

// When a run counts as collapsed. A healthy run of a flash crowd refuses much
// and times out on nothing.
const (
	collapseTimeouts = 0.10 // share of a step's calls in a window that had no answer
	collapseRefused  = 0.50 // share of a step's calls in a window that were turned away as overload
	leastCalls       = 100  // calls that a step needs in a window for a share to count
)

// reason names, from measured samples only, why the run collapsed: the step and
// window that suffered most, what was full, and what it did to the bookings. It
// is "" for a run that did not collapse.
func reason(r *record.Record) string {
	noAnswer := []string{booking.Timeout.String(), booking.Failed.String(), booking.Unsent.String()}
	overload := []string{booking.Shed.String(), booking.Limited.String(), booking.Expired.String(), booking.Unknown.String()}
	step, window, n, of := worst(r, noAnswer, collapseTimeouts)
	if of > 0 {
		late := outcomes(r, step, booking.Timeout.String())
		word := "timeouts"
		if late*2 < outcomes(r, step, noAnswer...) {
			word = "transport errors"
		}
		return fmt.Sprintf("%s: %s of the %s calls in the %s had no answer (%s of %s)", word, share(float64(n)/float64(of)), step, window,
			count(float64(n)), count(float64(of))) + causes(r) + "."
	}
	step, window, n, of = worst(r, overload, collapseRefused)
	if of > 0 {
		return fmt.Sprintf("overload: %s of the %s calls in the %s were turned away (%s of %s)", share(float64(n)/float64(of)), step, window,
			count(float64(n)), count(float64(of))) + causes(r) + "."
	}
	return ""
}

// worst is the step and window with most of the given outcomes, among those where
// they are at least a share least of all. all is 0 when there is none.
func worst(r *record.Record, of []string, least float64) (step, window string, n, all uint64) {
	windows := r.Header.Windows
	if len(windows) == 0 {
		windows = []record.Window{{Name: "run", From: r.Header.From, To: r.Header.To}}
	}
	// One pass over the record for all steps and windows: a sweep asks hundreds of runs.
	type calls struct{ all, bad uint64 }
	type place struct {
		step   string
		window int
	}
	counts := map[place]calls{}
	for k, h := range r.Hists {
		if k.Clock != record.Response || k.Group == record.GroupBots {
			continue
		}
		for i, w := range windows {
			if from, to := r.Seconds(w); k.Second < from || k.Second >= to {
				continue
			}
			c := counts[place{k.Span, i}]
			c.all += h.Count()
			if slices.Contains(of, k.Outcome) {
				c.bad += h.Count()
			}
			counts[place{k.Span, i}] = c
		}
	}
	for _, s := range booking.Steps() {
		for i, w := range windows {
			c := counts[place{s, i}]
			if c.all >= leastCalls && float64(c.bad) >= least*float64(c.all) && c.bad > n {
				step, window, n, all = s, w.Name, c.bad, c.all
			}
		}
	}
	return step, window, n, all
}

// causes lists what the backend's own samples say.
func causes(r *record.Record) string {
	var parts []string
	k := r.Header.TimeScale
	patience := r.Merged(record.Select{Clock: record.Service, Outcomes: []string{booking.Timeout.String()}})
	if b := scaled(r, record.SampleDatabaseWait); b.OK && b.V > 0 {
		s := "the database's backlog reached " + duration(b.V)
		if p := patience.Min().Seconds() * k; patience.Count() > 0 && b.V > p {
			s += ", beyond the " + duration(p) + " after which clients hang up"
		}
		parts = append(parts, s)
	}
	if l := GatewayLoad(r); l.OK && l.V > 1 {
		parts = append(parts, "work was offered at "+figures(l.V)+" times capacity")
	}
	if room := maxSample(r, record.SampleGatewayRoom); room.OK && room.V >= 0.99 {
		parts = append(parts, "the waiting room was full")
	}
	if a := Amplification(r); a.OK && a.V >= 1.5 {
		parts = append(parts, "retries made "+figures(a.V)+" requests of each first try")
	}
	// Only what the backend wrote can be set against what visitors were told.
	if written, ok := r.MaxSample(record.SampleWritten); ok && written > 0 {
		if told := float64(r.Stage(record.StageAccepted, true)); told < written {
			parts = append(parts, fmt.Sprintf("%s of the %s rows written belong to visits that were never told so",
				share((written-told)/written), count(written)))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "; " + strings.Join(parts, "; ")
}
