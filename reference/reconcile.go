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
	books := ledger.Books{Items: c.Stock.Items, Mode: c.Mode, Accepted: in.Accepted, Drained: in.Drained, DemandLeft: in.DemandLeft}
	if c.direct() {
		return ledger.Reconcile(ctx, db, nil, books)
	}
	view, closeView, err := storeView(ctx, at.Redis, c, db)
	if err != nil {
		return Report{}, err
	}
	defer closeView()
	return ledger.Reconcile(ctx, db, view, books)
}

// storeView is a view of Redis that only reads.
func storeView(ctx context.Context, url string, c Config, db *ledger.DB) (*ledger.View, func(), error) {
	if url == "" {
		return nil, nil, errors.New("reconcile: this mode keeps its queue in Redis; give the URL of the ready line")
	}
	client, err := dialRedis(ctx, url, nil)
	if err != nil {
		return nil, nil, err
	}
	fail := func(err error) (*ledger.View, func(), error) {
		_ = client.Close() // the first error is the one that tells
		return nil, nil, err
	}
	wall := clock.NewWall() // only ages would use it
	st, err := stock.New(client, stock.Options{Event: c.Event, Items: len(c.Stock.Items), Entries: c.Mode == booking.ModeLottery, Clock: wall})
	if err != nil {
		return fail(err)
	}
	q, err := queue.New(client, queue.Options{Event: c.Event, Consumer: "reconciler", Clock: wall})
	if err != nil {
		return fail(err)
	}
	cache, err := ledger.NewCache(client, c.Event, db)
	if err != nil {
		return fail(err)
	}
	return &ledger.View{Free: st.Free, Holders: st.Holders, Queued: q.Entries, Dead: q.Dead, Resolved: q.Resolved, Results: cache.All},
		func() { _ = client.Close() }, nil
}

// direct reports whether submits are booked synchronously in the database, so
// that there is no Redis to look at.
func (c Config) direct() bool { return c.Mode == booking.ModeLossless || c.Off["queue"] }
