package reference

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/reference/ledger"
	"spillway/reference/queue"
)

// Letter is a dead letter: an accepted submit that could not be written and waits
// for a person.
type Letter = queue.Letter

// Act is one line of the audit trail: who did what to which letter. The part of
// its ID before the dash is the moment, in milliseconds of Unix time.
type Act = queue.Act

// Letters is a person's way to the dead letters of a backend, from any process.
// Close it after use.
type Letters struct {
	books
	db    *ledger.DB
	clock clock.Clock
	close func() error
}

// OpenLetters connects to the stores that a ready line names. The database may be
// left out for listing and replaying; a discard needs it.
func OpenLetters(ctx context.Context, at Ready, c Config) (*Letters, error) {
	c = c.defaults()
	if at.Event != "" {
		c.Event = at.Event
	}
	if at.Redis == "" {
		return nil, errors.New("dead letters: give the URL of the backend's Redis, as its ready line names it")
	}
	tap := c.crashTap()
	client, err := dialRedis(ctx, at.Redis, nil)
	if err != nil {
		return nil, err
	}
	if tap != nil {
		client.AddHook(TapRedis(tap))
	}
	var db *ledger.DB
	if at.Database != "" {
		if db, err = ledger.Open(ctx, at.Database, ledger.DBOptions{Tap: tap}); err != nil {
			return nil, errors.Join(fmt.Errorf("dead letters: %w", err), client.Close())
		}
	}
	l, err := NewLetters(client, db, c, clock.NewWall()) // moments of the audit trail are in the ids
	if err != nil {
		err = errors.Join(err, client.Close())
		if db != nil {
			err = errors.Join(err, db.Close())
		}
		return nil, err
	}
	l.close = func() error {
		if db != nil {
			return errors.Join(db.Close(), client.Close())
		}
		return client.Close()
	}
	return l, nil
}

// NewLetters is a person's way to the dead letters over stores that are open
// already and stay so. db may be nil as OpenLetters says.
func NewLetters(client redis.UniversalClient, db *ledger.DB, c Config, clk clock.Clock) (*Letters, error) {
	c = c.defaults()
	l := &Letters{db: db, clock: clk, close: func() error { return nil }}
	var err error
	l.books, err = newBooks(client, db, c, clk, "letters")
	return l, err
}

// Close lets go of the stores.
func (l *Letters) Close() error { return l.close() }

// List is up to n letters after the one with the given id, oldest first; "" is
// from the start.
func (l *Letters) List(ctx context.Context, after string, n int) ([]Letter, error) {
	return l.queue.List(ctx, after, n)
}

// Show is one letter.
func (l *Letters) Show(ctx context.Context, id string) (Letter, error) { return l.queue.Show(ctx, id) }

// Replay puts a letter back into the queue and writes who did it.
func (l *Letters) Replay(ctx context.Context, id, who, why string) error {
	return l.queue.Replay(ctx, id, who, why)
}

// Discard closes a letter for good and writes who did it: its user is told
// "refused" and its reservation is free again. A ticket that the ledger holds
// after all is left alone, for it was written and only the letter is stale.
//
// The ledger refuses first, so that the decision outlives Redis. A discard that
// was cut off half-way is finished by doing it again, or by Repair.
func (l *Letters) Discard(ctx context.Context, id, who, why string) error {
	switch {
	case l.cache == nil:
		return errors.New("dead letters: a discard gives stock back, so it must see the ledger: give the URL of the database too")
	case who == "":
		return fmt.Errorf("dead letters: discard of %s: %w", id, queue.ErrNobody)
	}
	letter, err := l.queue.Show(ctx, id)
	gone := errors.Is(err, queue.ErrNoLetter)
	if gone {
		letter, err = l.queue.Discarded(ctx, id)
	}
	if err != nil {
		return err
	}
	a, known := letter.Accepted, letter.Decoded
	if !known && !a.Ticket.IsZero() {
		if a, known, err = l.holder(ctx, a.Ticket); err != nil {
			return err
		}
	}
	var held ledger.Result
	if known {
		if held, err = l.db.Refuse(ctx, a, l.clock.Now(), "discarded by "+who+": "+why); err != nil {
			return err
		}
	}
	switch {
	case gone:
	case held.Outcome == booking.Confirmed:
		err = l.queue.Close(ctx, id, who, why)
	default:
		_, err = l.queue.Discard(ctx, id, who, why)
	}
	if err != nil {
		return err
	}
	if !known {
		return nil // whatever it was, no reservation can be found for it
	}
	if err := l.cache.Put(ctx, map[booking.Ticket]ledger.Result{a.Ticket: held}); err != nil {
		return err
	}
	if held.Outcome == booking.Confirmed {
		return nil
	}
	_, err = l.stock.Refund(ctx, a)
	return err
}

// holder is whoever holds stock by a ticket.
func (l *Letters) holder(ctx context.Context, t booking.Ticket) (a booking.Accepted, ok bool, err error) {
	err = l.stock.Holders(ctx, func(h booking.Accepted) error {
		if h.Ticket == t {
			a, ok = h, true
		}
		return nil
	})
	return a, ok, err
}

// Audit is the last n lines of the audit trail, oldest first.
func (l *Letters) Audit(ctx context.Context, n int) ([]Act, error) { return l.queue.Audit(ctx, n) }
