package lottery

import (
	"context"
	"errors"
	"testing"

	"spillway/internal/booking"
)

// book keeps one entry a user, as stock's entries form does.
type book struct {
	tickets map[booking.UserID]booking.Ticket
	down    error
}

func (b *book) Enter(_ context.Context, r Request) (booking.Outcome, booking.Ticket, bool, error) {
	if b.down != nil {
		return booking.Unknown, booking.Ticket{}, false, b.down
	}
	t, again := b.tickets[r.User]
	if !again {
		t = booking.Ticket{byte(r.User), 1}
		b.tickets[r.User] = t
	}
	return booking.Queued, t, again, nil
}

func (b *book) Count(context.Context) (int, error) { return len(b.tickets), b.down }

func TestDeskCounts(t *testing.T) {
	ctx := context.Background()
	b := &book{tickets: map[booking.UserID]booking.Ticket{}}
	d := New(b)
	for _, user := range []booking.UserID{1, 2, 1, 3, 1} {
		if o, ticket, err := d.Enter(ctx, Request{User: user, Key: "k"}); o != booking.Queued || ticket != b.tickets[user] || err != nil {
			t.Errorf("user %d: %v, %v, %v", user, o, ticket, err)
		}
	}
	b.down = errors.New("store down")
	if o, _, err := d.Enter(ctx, Request{User: 4}); o != booking.Unknown || err == nil {
		t.Errorf("with the store down: %v, %v", o, err)
	}
	b.down = nil
	taken, repeated := d.Taken()
	if n, err := d.Count(ctx); n != 3 || err != nil || taken != 3 || repeated != 2 {
		t.Errorf("%d entries, %v; taken %d, repeated %d", n, err, taken, repeated)
	}
}
