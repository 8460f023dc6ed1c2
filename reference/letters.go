package reference

import (
	"context"
	"errors"
	"fmt"

	"spillway/internal/booking"
	"spillway/internal/clock"
	"spillway/reference/ledger"
	"spillway/reference/queue"
	"spillway/reference/stock"
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
	queue  *queue.Queue
	stock  *stock.Store
	cache  *ledger.Cache
	db     *ledger.DB
	client interface{ Close() error }
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
	client, err := dialRedis(ctx, at.Redis, nil)
	if err != nil {
		return nil, err
	}
	l := &Letters{client: client}
	wall := clock.NewWall() // moments of the audit trail are in the ids
	if l.queue, err = queue.New(client, queue.Options{Event: c.Event, Consumer: "letters", Clock: wall}); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if l.stock, err = stock.New(client, stock.Options{Event: c.Event, Items: len(c.Stock.Items), Entries: c.Mode == booking.ModeLottery, Clock: wall}); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if at.Database == "" {
		return l, nil
	}
	if l.db, err = ledger.OpenReadOnly(ctx, at.Database, ledger.DBOptions{}); err != nil {
		return nil, errors.Join(fmt.Errorf("dead letters: %w", err), l.Close())
	}
	if l.cache, err = ledger.NewCache(client, c.Event, l.db); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Close lets go of the stores.
func (l *Letters) Close() error {
	var err error
	if l.db != nil {
		err = l.db.Close()
	}
	return errors.Join(err, l.client.Close())
}

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
func (l *Letters) Discard(ctx context.Context, id, who, why string) error {
	if l.cache == nil {
		return errors.New("dead letters: a discard gives stock back, so it must see the ledger: give the URL of the database too")
	}
	letter, err := l.queue.Discard(ctx, id, who, why)
	if err != nil || !letter.Decoded {
		return err
	}
	written, err := l.db.Result(ctx, letter.Accepted.Ticket)
	if err != nil {
		return err
	}
	if written.Outcome == booking.Confirmed {
		return nil
	}
	t := letter.Accepted.Ticket
	if err := l.cache.Put(ctx, map[booking.Ticket]ledger.Result{t: {Outcome: booking.Refused}}); err != nil {
		return err
	}
	_, err = l.stock.Refund(ctx, letter.Accepted)
	return err
}

// Audit is the last n lines of the audit trail, oldest first.
func (l *Letters) Audit(ctx context.Context, n int) ([]Act, error) { return l.queue.Audit(ctx, n) }
