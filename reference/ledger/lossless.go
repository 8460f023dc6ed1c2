package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"spillway/internal/booking"
	"spillway/internal/clock"
)

// ErrRunning is wrapped by Fill when the database holds other stock already.
var ErrRunning = errors.New("a sale with other stock is already set up in this database; use another one")

// ErrStopped comes with the outcome unknown for work that was still waiting for
// the database when it was closed. Nothing of it was done.
var ErrStopped = errors.New("the database is being closed")

// LosslessOptions sets up a Lossless.
type LosslessOptions struct {
	// Rate is the modelled database's speed in units per second; 0 = its own speed.
	Rate float64
	// ReadUnits and WriteUnits are what a read (form, result) and a booking cost.
	ReadUnits, WriteUnits float64
	Clock                 clock.Clock // required
}

// Lossless is what everybody builds first: stock and bookings read and written in
// the database, in real time. In front stands a modelled station: one server,
// first in first out, unbounded. Work waits its turn and is done even when its
// client has left. It is safe for concurrent use.
type Lossless struct {
	db   *DB
	opts LosslessOptions

	mu      sync.Mutex
	busy    time.Duration // virtual moment at which all work so far is done
	slow    time.Duration
	waiting int
	closed  bool
	quit    chan struct{}
	jobs    sync.WaitGroup
}

// NewLossless makes the synchronous path over a database.
func NewLossless(db *DB, o LosslessOptions) (*Lossless, error) {
	if db == nil || o.Clock == nil {
		return nil, errors.New("ledger: the lossless path needs a database and a clock")
	}
	for _, v := range []float64{o.Rate, o.ReadUnits, o.WriteUnits} {
		if v < 0 || math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("ledger: database rate or units of %v: want 0 or more", v)
		}
	}
	return &Lossless{db: db, opts: o, busy: math.MinInt64, quit: make(chan struct{})}, nil
}

// Fill sets up the stock. Again with the same items it changes nothing; with
// others it fails with ErrRunning.
func (l *Lossless) Fill(ctx context.Context, items []int) error {
	return l.db.transact(ctx, "setting up the stock", func(tx *sql.Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM stock").Scan(&n); err != nil {
			return err
		}
		for i, filled := range items {
			if filled < 0 {
				return fmt.Errorf("item %d has %d reservations: want 0 or more", i, filled)
			}
			if n == 0 {
				if _, err := tx.ExecContext(ctx, l.db.dialect.bind("INSERT INTO stock (item, filled, free) VALUES (?, ?, ?)"),
					i, filled, filled); err != nil {
					return err
				}
				continue
			}
			var was int
			err := tx.QueryRowContext(ctx, l.db.dialect.bind("SELECT filled FROM stock WHERE item = ?"), i).Scan(&was)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			if err != nil || was != filled {
				return ErrRunning
			}
		}
		if n != 0 && n != len(items) {
			return ErrRunning
		}
		return nil
	})
}

// enter waits until the station has done so many units of work; false when it
// was closed first. After true, jobs.Done must be called.
func (l *Lossless) enter(units float64) (ok bool) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return false
	}
	l.jobs.Add(1)
	if l.opts.Rate == 0 && l.slow == 0 {
		l.mu.Unlock()
		return true
	}
	now := l.opts.Clock.Now()
	work := l.slow
	if l.opts.Rate > 0 {
		work += time.Duration(units / l.opts.Rate * 1e9)
	}
	l.busy = max(l.busy, now) + work
	wait := l.busy - now
	l.waiting++
	l.mu.Unlock()

	ring := make(chan struct{})
	stop := l.opts.Clock.AfterFunc(wait, func() { close(ring) })
	select {
	case <-ring:
		ok = true
	case <-l.quit:
		stop()
	}
	l.mu.Lock()
	l.waiting--
	l.mu.Unlock()
	if !ok {
		l.jobs.Done()
	}
	return ok
}

// Backlog is how long work that came now would wait before its turn; 0 when the
// station is idle.
func (l *Lossless) Backlog() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy == math.MinInt64 {
		return 0
	}
	return max(0, l.busy-l.opts.Clock.Now())
}

// Waiting is how many pieces of work are in the station.
func (l *Lossless) Waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting
}

// SlowBy is the fault of a slow store: every call that comes from now on takes d
// longer; 0 ends it.
func (l *Lossless) SlowBy(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slow = max(0, d)
}

// Close turns away what still waits, with unknown: nothing of it was done and
// nobody was told otherwise. It returns when the work under way has ended.
func (l *Lossless) Close() error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.quit)
	}
	l.mu.Unlock()
	l.jobs.Wait()
	return nil
}

// away bounds a database call and frees it from its client's fate.
func away(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), callLimit)
}

// Book books one reservation after its turn: confirmed (again, for the same
// ticket), duplicate, sold-out, closed, or invalid for an item that is not sold.
// The error is non-nil only with the outcome unknown. That ctx ends changes
// nothing: the work is done all the same.
func (l *Lossless) Book(ctx context.Context, a booking.Accepted) (Result, error) {
	if !l.enter(l.opts.WriteUnits) {
		return Result{Outcome: booking.Unknown}, fmt.Errorf("ledger: %w", ErrStopped)
	}
	defer l.jobs.Done()
	ctx, cancel := away(ctx)
	defer cancel()
	var res Result
	err := l.db.transact(ctx, "booking", func(tx *sql.Tx) error {
		var err error
		res, err = l.book(ctx, tx, a)
		return err
	})
	if err != nil {
		return Result{Outcome: booking.Unknown}, err
	}
	return res, nil
}

func (l *Lossless) book(ctx context.Context, tx *sql.Tx, a booking.Accepted) (Result, error) {
	bind := l.db.dialect.bind
	var ticket []byte
	var accepted, written int64
	err := tx.QueryRowContext(ctx, bind("SELECT ticket, accepted, written FROM bookings WHERE person = ? AND cycle = ?"),
		int64(a.User), l.db.cycle).Scan(&ticket, &accepted, &written)
	switch {
	case err == nil && string(ticket) == string(a.Ticket[:]):
		return Result{Outcome: booking.Confirmed, Waited: time.Duration(written - accepted)}, nil
	case err == nil:
		return Result{Outcome: booking.Duplicate}, nil
	case !errors.Is(err, sql.ErrNoRows):
		return Result{}, err
	}
	took, err := tx.ExecContext(ctx, bind("UPDATE stock SET free = free - 1 WHERE item = ? AND free > 0"), a.Item)
	if err != nil {
		return Result{}, err
	}
	n, err := took.RowsAffected()
	if err != nil {
		return Result{}, err
	}
	if n == 0 {
		var total, known int
		if err := tx.QueryRowContext(ctx, bind(`SELECT coalesce(sum(free), 0), coalesce(sum(CASE WHEN item = ? THEN 1 ELSE 0 END), 0)
			FROM stock`), a.Item).Scan(&total, &known); err != nil {
			return Result{}, err
		}
		switch {
		case known == 0:
			return Result{Outcome: booking.Invalid}, nil
		case total == 0:
			return Result{Outcome: booking.Closed}, nil
		}
		return Result{Outcome: booking.SoldOut}, nil
	}
	now := l.opts.Clock.Now()
	if _, err := tx.ExecContext(ctx, bind(`INSERT INTO bookings (ticket, person, cycle, item, accepted, written)
		VALUES (?, ?, ?, ?, ?, ?)`), a.Ticket[:], int64(a.User), l.db.cycle, a.Item, int64(a.At), int64(now)); err != nil {
		return Result{}, err
	}
	return Result{Outcome: booking.Confirmed, Waited: now - a.At}, nil
}

// ReadForm reads what is free of each item, after its turn.
func (l *Lossless) ReadForm(ctx context.Context) ([]int, error) {
	if !l.enter(l.opts.ReadUnits) {
		return nil, fmt.Errorf("ledger: %w", ErrStopped)
	}
	defer l.jobs.Done()
	ctx, cancel := away(ctx)
	defer cancel()
	return l.Free(ctx)
}

// ReadResult reads a ticket's result, after its turn.
func (l *Lossless) ReadResult(ctx context.Context, t booking.Ticket) (Result, error) {
	if !l.enter(l.opts.ReadUnits) {
		return Result{Outcome: booking.Unknown}, fmt.Errorf("ledger: %w", ErrStopped)
	}
	defer l.jobs.Done()
	ctx, cancel := away(ctx)
	defer cancel()
	return l.db.Result(ctx, t)
}

// Free is what is free of each item, at once: for samples and the reconciler.
func (l *Lossless) Free(ctx context.Context) ([]int, error) { return l.db.free(ctx) }

func (db *DB) free(ctx context.Context) ([]int, error) {
	var free []int
	err := db.each(ctx, "SELECT free FROM stock ORDER BY item", func(rows *sql.Rows) error {
		var n int
		if err := rows.Scan(&n); err != nil {
			return err
		}
		free = append(free, n)
		return nil
	})
	return free, err
}
