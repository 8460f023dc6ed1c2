package clock

import "time"

// Clock tells the offset since its run began and calls back at an offset.
// Implementations must be safe for concurrent use.
type Clock interface {
	// Now is the offset since the run began. It never goes back.
	Now() time.Duration
	// AfterFunc calls f in a goroutine of its own once d has passed; a d of zero
	// or less means at once. The returned stop reports whether it came in time.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// Wall is the wall clock, counted from an origin on the monotonic clock.
type Wall struct{ origin time.Time }

var _ Clock = Wall{}

// NewWall starts a wall clock whose offset 0 is now.
func NewWall() Wall { return Wall{time.Now()} }

// WallFrom starts a wall clock whose offset 0 is the given instant, which may
// lie in the future (offsets are then negative until it comes). Only the
// distance to now is taken from it: later steps of the system clock do no harm.
func WallFrom(origin time.Time) Wall {
	now := time.Now()
	return Wall{now.Add(origin.Sub(now))}
}

// Now implements Clock.
func (w Wall) Now() time.Duration { return time.Since(w.origin) }

// AfterFunc implements Clock.
func (w Wall) AfterFunc(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }

// Origin is the instant of offset 0, for the header of a record.
func (w Wall) Origin() time.Time { return w.origin }
