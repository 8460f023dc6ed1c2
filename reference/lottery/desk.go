package lottery

import (
	"context"
	"sync/atomic"

	"spillway/internal/booking"
)

// Request is one person's wish to enter.
type Request struct {
	User  booking.UserID
	Item  int
	Key   string // idempotency key
	Other bool   // takes another type in the same shop
}

// Store keeps entries.
type Store interface {
	// Enter keeps an entry: queued with its ticket, also when the user had
	// entered before and keeps the first entry (again true). An error comes only
	// with the outcome unknown.
	Enter(ctx context.Context, r Request) (o booking.Outcome, t booking.Ticket, again bool, err error)
	// Count is the number of users who have entered.
	Count(ctx context.Context) (int, error)
}

// Desk takes entries. It is safe for concurrent use.
type Desk struct {
	store           Store
	taken, repeated atomic.Uint64
}

// New makes a desk over a store.
func New(s Store) *Desk { return &Desk{store: s} }

// Enter takes an entry. A repeated one gets the ticket of the first, which stands.
func (d *Desk) Enter(ctx context.Context, r Request) (booking.Outcome, booking.Ticket, error) {
	o, t, again, err := d.store.Enter(ctx, r)
	switch {
	case o == booking.Queued && again:
		d.repeated.Add(1)
	case o == booking.Queued:
		d.taken.Add(1)
	}
	return o, t, err
}

// Count is the number of users who have entered, from the store itself.
func (d *Desk) Count(ctx context.Context) (int, error) { return d.store.Count(ctx) }

// Taken is how many entries and repetitions this desk has answered since its start.
func (d *Desk) Taken() (taken, repeated uint64) { return d.taken.Load(), d.repeated.Load() }
