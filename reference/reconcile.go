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
	"spillway/reference/stock"
)

// Report is what Reconcile found: the six invariants, proved or broken.
type Report = ledger.Report

// Check is one invariant of a Report.
type Check = ledger.Check

// AcceptedTicket is a ticket that a client was given, as the client remembers it.
type AcceptedTicket = ledger.AcceptedTicket

// Reconciling says what the books are held against.
type Reconciling struct {
	Accepted   []AcceptedTicket // what clients were told; may be empty
	Drained    bool             // the queue was emptied before: nothing may wait any more
	DemandLeft bool             // somebody still wanted a reservation at the end: none may be unsold
}

// Reconcile proves the invariants from the stores' own contents, from any process
// on the machine: the database is opened read-only and Redis by its URL, as the
// ready line names them. It reads and never repairs. The stores must still be
// there, so with the embedded ones it runs before the backend stops.
func Reconcile(ctx context.Context, at Ready, c Config, in Reconciling) (Report, error) {
	c = c.defaults()
	if at.Event != "" {
		c.Event = at.Event
	}
	if len(c.Stock.Items) == 0 {
		return Report{}, errors.New("reconcile: the config names no items")
	}
	db, err := ledger.OpenReadOnly(ctx, at.Database, ledger.DBOptions{})
	if err != nil {
		if errors.Is(err, ledger.ErrDatabase) {
			return Report{}, fmt.Errorf("reconcile: %w", err)
		}
		return Report{}, environment{fmt.Errorf("reconcile: %w", err)}
	}
	defer db.Close() // read only: nothing to lose
	against := ledger.Books{Items: c.Stock.Items, Mode: c.Mode, Accepted: in.Accepted, Drained: in.Drained, DemandLeft: in.DemandLeft}
	if c.direct() {
		return ledger.Reconcile(ctx, db, nil, against)
	}
	if at.Redis == "" {
		return Report{}, errors.New("reconcile: this mode keeps its queue in Redis; give the URL of the ready line")
	}
	client, err := dialRedis(ctx, at.Redis, nil)
	if err != nil {
		return Report{}, err
	}
	defer client.Close()                                             // as above
	b, err := newBooks(client, db, c, clock.NewWall(), "reconciler") // only ages would use the clock
	if err != nil {
		return Report{}, err
	}
	return ledger.Reconcile(ctx, db, b.view(), against)
}

// books are what an event has in Redis, for whoever looks at it or puts it right from
// outside of a backend.
type books struct {
	stock *stock.Store
	queue *queue.Queue
	cache *ledger.Cache // nil without a database
}

// newBooks makes them over a client that stays the caller's. consumer is their name at
// the queue. It talks to nobody.
func newBooks(client redis.UniversalClient, db *ledger.DB, c Config, clk clock.Clock, consumer string) (b books, err error) {
	if b.stock, err = stock.New(client, stock.Options{Event: c.Event, Items: len(c.Stock.Items), Stream: queue.StreamKey(c.Event),
		Entries: c.Mode == booking.ModeLottery, Rules: c.Lottery, Clock: clk}); err != nil {
		return b, err
	}
	if b.queue, err = queue.New(client, queue.Options{Event: c.Event, Consumer: consumer, Clock: clk}); err != nil {
		return b, err
	}
	if db != nil {
		b.cache, err = ledger.NewCache(client, c.Event, db)
	}
	return b, err
}

// view is what the ledger is held against.
func (b *books) view() *ledger.View {
	return &ledger.View{Free: b.stock.Free, Holders: b.stock.Holders, Queued: b.queue.Entries, Dead: b.queue.Dead,
		Resolved: b.queue.Resolved, Results: b.cache.All}
}

// direct reports whether submits are booked synchronously in the database, so
// that there is no Redis to look at.
func (c Config) direct() bool { return c.Mode == booking.ModeLossless || c.Off["queue"] }
