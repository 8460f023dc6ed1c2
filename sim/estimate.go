package sim

import (
	"fmt"
	"time"

	"spillway/scenarios"
)

// Cost is what a run is expected to need on one core.
type Cost struct {
	Visits float64
	Time   time.Duration
	Memory float64 // bytes, at the peak
}

// What a visit, a user and a second of a run cost, measured on one core of a shared
// 2-core machine (go test ./sim -bench Evening, and the peak of the resident
// memory of the runs that doc.go lists).
const (
	perVisit   = 0.7e-6 // seconds: arrival, user, config
	perBooking = 2.6e-6 // seconds: form, presses, requests of a visit that tries to book
	perUser    = 24     // bytes: what the client remembers, what it holds
	perAlive   = 220    // bytes: a visit under way with its event, and its request
	perPresser = 24     // bytes: for the deciles
	perSecond  = 60e3   // bytes: histograms of one second
	basis      = 30e6   // bytes: the program
)

// Estimate is the expected cost of simulating a scenario.
func Estimate(sc *scenarios.Scaled) Cost {
	v := sc.Prediction.Visits
	books := v * sc.Visitor.BookingShare
	c := Cost{Visits: v, Time: time.Duration(1e9 * (v*perVisit + books*perBooking))}
	// Whoever tries to book stays for the think times and some locks.
	stay := sc.Visitor.Notice + sc.Visitor.Form + 3*sc.Visitor.Lock
	alive := min(sc.Prediction.PeakVisits*sc.Visitor.BookingShare*stay.Seconds(), books)
	c.Memory = basis + sc.Population.Users*perUser + alive*perAlive + books*perPresser +
		min(sc.Length.Seconds(), v)*perSecond
	return c
}

// String is the cost in one line.
func (c Cost) String() string {
	return fmt.Sprintf("%.3g visits, about %v and %.0f MB", c.Visits, c.Time.Round(100*time.Millisecond), c.Memory/1e6)
}
