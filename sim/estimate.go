package sim

import (
	"fmt"
	"math"
	"time"

	"spillway/scenarios"
)

// Cost is what a run is expected to need on one core.
type Cost struct {
	Visits float64
	Time   time.Duration
	Memory float64 // bytes, at the peak
}

// Measured on one core of a shared 2-core machine, see the package's documentation.
const (
	perVisit   = 1      // events: the arrival
	perBooking = 9      // events of a visit that tries to book
	perEvent   = 170e-9 // seconds, while the table of users stays in the cache
	cached     = 50e3   // users that do
	perDecade  = 200e-9 // seconds more with every tenfold number of users: they are met in no order
	perUser    = 24     // bytes: what the client remembers, what it holds
	perAlive   = 170    // bytes: a visit under way with its event and its request
	perPresser = 24     // bytes: for the deciles
	pressing   = 1. / 3 // visits that press, of those that try to book
	perBin     = 15e3   // bytes: histograms of one second, or of several in a long run
	bins       = 1200
	program    = 30e6 // bytes
)

// Estimate is the expected cost of simulating a scenario, to a factor of two.
func Estimate(sc *scenarios.Scaled) Cost {
	v, users := sc.Prediction.Visits, sc.Population.Users
	books := v * sc.Visitor.BookingShare
	event := perEvent + perDecade*max(math.Log10(users/cached), 0)
	c := Cost{Visits: v, Time: time.Duration(1e9 * event * (v*perVisit + books*perBooking))}
	// Whoever tries to book stays for the think times and some locks.
	stay := sc.Visitor.Notice + sc.Visitor.Form + 3*sc.Visitor.Lock
	alive := min(sc.Prediction.PeakVisits*sc.Visitor.BookingShare*stay.Seconds(), books)
	c.Memory = program + users*perUser + alive*perAlive + books*pressing*perPresser + min(sc.Length.Seconds(), v, bins)*perBin
	return c
}

// String is the cost in one line.
func (c Cost) String() string {
	return fmt.Sprintf("%.3g visits, about %v and %.0f MB", c.Visits, c.Time.Round(100*time.Millisecond), c.Memory/1e6)
}
