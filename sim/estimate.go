package sim

import (
	"fmt"
	"runtime"
	"time"

	"spillway/scenarios"
)

// Cost is what a run is expected to need on this machine's cores, to a factor of two.
type Cost struct {
	Visits float64
	Time   time.Duration
	Memory float64 // bytes, at the peak, with the report
}

// Measured on a shared 2-core machine, see the package's documentation.
const (
	perVisit    = 70e-9  // seconds of one core: the arrival
	perBooking  = 120e-9 // and more for a visit that tries to book
	perPresser  = 1.5e-6 // and more for one that comes before all is gone, with its presses and submits
	perWindow   = 2e-6   // and for a window of time
	windows     = 0.268  // its width, seconds
	gather      = 20.0   // seconds before the opening from which people wait for it
	sharedFrom  = 10e6   // visits from which a run is shared among cores
	sharedBy    = 2      // cores that it can use
	sharedGains = 1.9    // what two of them gain
	perUser     = 20     // bytes: what the client remembers
	perHolder   = 4      // bytes: which row a user holds, where many may
	perAlive    = 50     // bytes: a visit under way, its marks and its request
	perTenth    = 16     // bytes: a presser, for the tenths, up to a million
	tenthsMax   = 1 << 20
	perRow      = 24   // bytes: a booking
	perBin      = 30e3 // bytes: histograms of one second, or of several in a long run
	bins        = 1400
	program     = 60e6 // bytes: the program and its report
)

// Estimate is the expected cost of simulating a scenario.
func Estimate(sc *scenarios.Scaled) Cost {
	v, users := sc.Prediction.Visits, sc.Population.Users
	books := v * sc.Visitor.BookingShare
	until := sc.Window.To
	if at := sc.Prediction.SoldOutAt; at >= 0 {
		until = min(at, until)
	}
	from := max(sc.Window.From, -time.Duration(gather*1e9))
	pressers := sc.S * sc.Curve().Integral(from, until) * sc.Visitor.BookingShare
	seconds := perVisit*v + perBooking*books + perPresser*pressers + perWindow*sc.Length.Seconds()/windows
	if v > sharedFrom && runtime.GOMAXPROCS(0) >= sharedBy {
		seconds /= sharedGains
	}
	// Whoever tries to book stays for the think times and some locks.
	stay := sc.Visitor.Notice + sc.Visitor.Form + 3*sc.Visitor.Lock
	alive := min(sc.Prediction.PeakVisits*sc.Visitor.BookingShare*stay.Seconds(), books)
	c := Cost{Visits: v, Time: time.Duration(seconds * 1e9)}
	c.Memory = program + users*perUser + alive*perAlive + min(pressers, tenthsMax)*perTenth +
		min(sc.Stock.Reservations, users)*perRow + min(sc.Length.Seconds(), v, bins)*perBin
	if sc.Stock.Reservations >= users/16 {
		c.Memory += users * perHolder
	}
	return c
}

// String is the cost in one line.
func (c Cost) String() string {
	return fmt.Sprintf("%.3g visits, about %v and %.0f MB", c.Visits, c.Time.Round(100*time.Millisecond), c.Memory/1e6)
}
